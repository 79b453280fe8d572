"""A small results folder, its page, and the system's Chromium."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from closefit import video
from closefit.body.model import Body
from closefit.exporters.contact_file import write_contacts
from closefit.exporters.contacts import find_contacts, touches, write_contact_table
from closefit.exporters.motion_files import Footage, write_motion_files
from closefit.exporters.report.film import film_options
from closefit.exporters.report.page import write_report
from closefit.exporters.scene import scene_from_camera
from closefit.records import OptimizedMotion, VideoInfo
from closefit.storage.workspace import Workspace
from tests.walking import walking_motion

FRAMES, FPS, WIDTH, HEIGHT = 24, 25.0, 320, 240
BIT_PX = 40
NODE_MODULES = Path(__file__).with_name("node_modules")
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture(scope="session")
def node_modules() -> Path:
    if not NODE_MODULES.is_dir():
        pytest.skip("needs `npm install --prefix tests/browser`")
    return NODE_MODULES


@pytest.fixture(scope="session")
def body() -> Body:
    return Body.load(Path(__file__).resolve().parents[2] / "weights" / "closefit_body.npz")


@pytest.fixture(scope="session")
def motion(body: Body) -> OptimizedMotion:
    return walking_motion(body, FRAMES, (WIDTH, HEIGHT))


@pytest.fixture(scope="session")
def folder(
    tmp_path_factory: pytest.TempPathFactory, body: Body, motion: OptimizedMotion
) -> Workspace:
    """Results whose film shows the number of each frame as blocks, in both front panels."""
    workspace = Workspace(tmp_path_factory.mktemp("report"))
    seen = np.ones((FRAMES, 2), bool)
    seen[10:14, 1] = False
    arrays = {"seen": seen, "filled": np.zeros_like(seen), "guessed": ~seen}
    arrays["identity_confidence"] = np.ones((FRAMES, 2))
    times = np.arange(FRAMES) / FPS
    write_motion_files(workspace, body, motion, Footage(times, FPS, (WIDTH, HEIGHT), arrays))
    poses = (motion.rotations, motion.betas, motion.transl)
    posed = body.pose(*map(torch.from_numpy, poses)).vertices
    contacts = find_contacts(posed, body.faces, body.vertex_parts())
    move = scene_from_camera(motion.floor)
    write_contacts(workspace.contacts, contacts, times, FPS, move)
    write_contact_table(workspace.contact_table, touches(contacts), times)
    workspace.artifacts.mkdir()
    film = film_options(FRAMES, FPS, (0, 0, 2 * WIDTH, HEIGHT))
    sheets = map(numbered_sheet, range(FRAMES))
    video.write(workspace.overlay, sheets, FPS, also=(workspace.film, film))
    write_report(workspace, facts())
    return workspace


def facts() -> dict:
    """The content of a `run.json`."""
    info = VideoInfo(
        path="/home/somebody/dance.mp4",
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        num_frames=FRAMES,
        duration_s=FRAMES / FPS,
        rotation_deg=0,
        variable_frame_rate=False,
        content_sha256="",
    )
    return {
        "video": asdict(info),
        "camera": {"focal_px": 300.0, "fov_deg": 67.4, "from": "--focal"},
        "settings": {"preset": "draft", "camera.focal_px": 300.0},
        "quality": {"track": {"frames": 24, "not_seen_frames": [[], [10, 11, 12, 13]]}},
    }


def numbered_sheet(number: int) -> np.ndarray:
    """Four panels, two by two; the upper ones hold `number` in binary, a block for each bit."""
    sheet = np.full((2 * HEIGHT, 2 * WIDTH, 3), 90, np.uint8)
    for bit in range(6):
        value = 255 if number >> bit & 1 else 0
        for left in (0, WIDTH):
            sheet[100:160, left + BIT_PX * bit : left + BIT_PX * (bit + 1)] = value
    return sheet


@pytest.fixture(scope="session")
def browser() -> Iterator:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()
