"""`closefit view` in a process of its own, with a real websocket client in the browser's place."""

import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from closefit.appearance.avatar import GaussianMap, SurfaceRig
from closefit.appearance.surface import SurfaceTexels
from closefit.cli.app import app
from closefit.exporters.scene import scene_from_camera
from closefit.records import Track
from closefit.storage import artifacts
from closefit.viewer.posing import joint_transforms, skinned_gaussians
from closefit.viewer.results import read_results
from tests.pipeline.test_track import FRAMES
from tests.viewer.conftest import PROGRAM, Page

pytest.importorskip("viser", reason="needs viser: pip install 'closefit[view]'")
MESH = "/results result/person_{}/body"


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.float32).reshape(-1, 3)


def in_scene(points: np.ndarray, motion) -> np.ndarray:
    move = scene_from_camera(motion.floor)
    return points @ move[:3, :3].T + move[:3, 3]


@pytest.mark.parametrize("frame", [31, 7])
def test_the_slider_moves_bodies_gaussians_and_picture(page, body, motion, frame: int) -> None:
    page.until(lambda p: MESH.format(1) in p.nodes)
    page.set("Gaussians", True)
    splats = "/results result/person_1/gaussians"
    before = page.nodes["/results result/camera"]["_image_data"]
    page.set("Frame", frame)
    pose = [torch.from_numpy(a) for a in (motion.rotations[frame], motion.betas)]
    expected = body.pose(*pose, torch.from_numpy(motion.transl[frame])).vertices.numpy()
    for person in range(2):
        shown = in_scene(expected[person], motion)
        name = MESH.format(person)
        page.until(lambda p: np.allclose(floats(p.nodes[name]["vertices"]), shown, atol=1e-4))  # noqa: B023
    means = posed_means(body, motion, frame)[1]
    page.until(lambda p: np.allclose(centres(p.nodes[splats]["buffer"]), means, atol=1e-4))
    page.until(lambda p: p.nodes["/results result/camera"]["_image_data"] != before)
    assert page.controls["Bodies"]["value"] is False


def centres(data: bytes) -> np.ndarray:
    """The first three numbers of each Gaussian in viser's buffer."""
    return np.frombuffer(data, np.float32).reshape(-1, 8)[:, :3]


def posed_means(body, motion, frame: int) -> np.ndarray:
    """Means in the scene, (2, gaussian, 3), as `optimize` renders them."""
    both = []
    for person in range(2):
        face, barycentric = (
            torch.from_numpy(getattr(motion, f"gaussian_{name}")[person])
            for name in ("face", "barycentric")
        )
        nothing = torch.zeros(len(face), dtype=torch.int64)
        texels = SurfaceTexels(1, nothing, nothing, face, barycentric, torch.ones(len(face)))
        fields = ("offset_m", "colour", "opacity", "rotation", "scale_m", "identity")
        look = {n: torch.from_numpy(getattr(motion, f"gaussian_{n}")) for n in fields}
        gaussians = SurfaceRig(body, texels).pose(
            GaussianMap(**look),
            torch.from_numpy(motion.rotations[frame : frame + 1]),
            torch.from_numpy(motion.betas),
            torch.from_numpy(motion.transl[frame : frame + 1]),
        )
        means = gaussians.means[0].reshape(2, -1, 3)[person].numpy()
        both.append(in_scene(means, motion))
    return np.stack(both)


def test_a_pose_at_rest_keeps_the_shape_of_gaussians(results, motion) -> None:
    """Covariances are turned rigidly where all joints turn alike."""
    read = read_results(results.root)
    gaussians = skinned_gaussians(read.body, read.appearance, 0)
    still = motion.rotations.copy()
    still[:, :, 1:] = np.eye(3)
    rigid = type(motion)(**vars(motion) | {"rotations": still})
    transforms = joint_transforms(read.body, rigid, np.tile(np.eye(4), (len(rigid.K), 1, 1)))[0, 0]
    turned = gaussians.pose(transforms, still[0, 0])[1]
    expected = still[0, 0, 0] @ gaussians.covariances @ still[0, 0, 0].T
    np.testing.assert_allclose(turned, expected, atol=1e-8)


def test_contacts_are_lit_while_the_two_touch(page) -> None:
    lit = "/results result/contacts"
    page.until(lambda p: lit in p.nodes)
    page.set("Frame", FRAMES - 1)  # one stands in the other
    page.until(lambda p: len(floats(p.nodes[lit]["points"])) > 50)
    page.set("Frame", 0)
    page.until(lambda p: len(floats(p.nodes[lit]["points"])) == 1)  # hidden


def test_playing_goes_on_and_pausing_stops(page) -> None:
    page.until(lambda p: "Play" in p.controls)
    page.set("Play", True)
    page.until(lambda p: (p.controls["Frame"]["value"] or 0) > 3)
    page.set("Play", True)  # the same button, called `Pause` by now


def test_playing_goes_on_from_where_the_user_goes(page) -> None:
    page.until(lambda p: "Play" in p.controls)
    page.set("Speed", "0.1")
    page.set("Play", True)
    page.until(lambda p: (p.controls["Frame"]["value"] or 0) > 0)
    page.set("Frame", 20)
    before = page.controls["Frame"]["value"]
    frame = page.until(
        lambda p: p.controls["Frame"]["value"] > before + 2 and p.controls["Frame"]["value"]
    )
    assert 20 < frame < 25
    page.set("Play", True)


def test_corrections_of_the_page_change_who_is_who(page, results) -> None:
    file = results.root / "corrections.json"
    file.write_text('{"drop": [{"person": 1, "frame": 30}]}')
    page.until(lambda p: "Apply" in p.controls)
    for label, value in (("Swapped from", 10), ("Swapped to", 19), ("Mark as swapped", True)):
        page.set(label, value)
    page.set("Apply", True)
    text = page.until(lambda p: next(iter(written(p)), None))
    assert json.loads(file.read_text()) == {
        "drop": [{"person": 1, "frame": 30}],
        "swap": [10, 20],
    }
    before = boxes(results)
    command = shlex.split(text.split("```")[3])
    assert command[:2] == ["closefit", "run"]
    done = subprocess.run(
        [*PROGRAM, *command[1:], "--until", "track"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    after = boxes(results)
    np.testing.assert_allclose(after[10:20], before[10:20, ::-1])
    np.testing.assert_allclose(after[:10], before[:10])


def written(page: Page) -> list[str]:
    contents = [str(c.get("_markdown", c.get("content", ""))) for c in page.controls.values()]
    return [text for text in contents if "corrections.json" in text]


def boxes(results) -> np.ndarray:
    return artifacts.read(results.artifact("track"), Track).boxes_xyxy


def test_a_port_in_use_and_ctrl_c(started, results) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        process, port = started(results.root, "--port", wanted)
        assert port > wanted
        assert f"port {wanted} is in use; {port} is used instead" in process.said
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    # An interrupt just after a line is written makes rich write that line again.
    assert said.splitlines()[-1] == "the viewer has ended"
    assert "Traceback" not in said
    assert time.monotonic() - began < 5.0


def test_without_viser_a_sentence_names_the_extra(results, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    done = CliRunner().invoke(app, ["view", str(results.root)])
    assert done.exit_code == 4
    assert "pip install 'closefit[view]'" in done.stderr


def test_what_another_version_wrote_is_left_out(results, tmp_path, monkeypatch) -> None:
    shutil.copytree(results.root, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(Track, "VERSION", Track.VERSION + 1)
    read = read_results(tmp_path)
    assert read.track is None
    assert read.appearance is not None
    (notice,) = read.notices
    assert "track.npz` has layout version" in notice
    assert "closefit stage track" in notice


@pytest.mark.parametrize("moves", [False, True])
def test_a_first_motion_is_not_shown_before_a_camera_that_nothing_knows(
    results, tmp_path: Path, moves: bool
) -> None:
    """Without `track.npz` only a still camera is known."""
    shutil.copytree(results.root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "artifacts" / "track.npz").unlink()
    with np.load(tmp_path / "motion.npz") as file:
        arrays = dict(file)
    if moves:
        arrays["T_scene_camera"] = np.tile(arrays["T_scene_camera"], (FRAMES, 1, 1))
    np.savez(tmp_path / "motion.npz", **arrays)
    read = read_results(tmp_path)
    assert ("init" in read.motions) is not moves
    assert any("the camera moves" in notice for notice in read.notices) is moves


def refused(*arguments: object) -> tuple[int, str]:
    command = [*PROGRAM, "view", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_folders_that_cannot_be_shown(results, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(results.run_json.read_bytes())
    code, said = refused(tmp_path)
    assert (code, "there is no" in said, "closefit run" in said) == (6, True, True)
    motion = tmp_path / "motion.npz"
    whole = results.motion.read_bytes()
    motion.write_bytes(whole[: len(whole) // 2])
    code, said = refused(tmp_path)
    assert (code, "motion.npz` cannot be used" in said) == (6, True)
    with np.load(results.motion) as archive:
        arrays = dict(archive)
    np.savez(motion, **arrays | {"rotations": arrays["rotations"][:-1]})
    code, said = refused(tmp_path)
    assert (code, "`rotations` is float" in said) == (6, True)
    del arrays["joints"]
    np.savez(motion, **arrays)
    code, said = refused(tmp_path)
    assert (code, "it lacks `joints`" in said) == (6, True)
    assert refused(tmp_path / "nothing")[0] == 6
    assert refused(results.root, "--host", "203.0.113.1")[0] == 4
