"""A batch that is done, with small real results: what review and export start from."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closefit import __version__, video
from closefit.batch.folder import BatchFolder
from closefit.batch.record import ClipRecord
from closefit.body.model import Body
from closefit.exporters.contact_file import write_contacts
from closefit.exporters.contacts import find_contacts
from closefit.exporters.motion_files import Footage, write_motion_files
from closefit.exporters.report.film import film_options
from closefit.exporters.report.page import write_report
from closefit.exporters.scene import scene_from_camera
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.hashing import sha256_of
from closefit.storage.workspace import Workspace
from tests.clips import make_video, numbered_picture
from tests.samples import make_track
from tests.walking import walking_motion

FRAMES, FPS, SIZE_WH = 24, 25.0, (160, 120)
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


def make_results(folder: Path, source: Path) -> Workspace:
    """Results of a clip that shows the number of each frame; person 0 walks into person 1."""
    body = Body.load(WEIGHTS / "closefit_body.npz")
    motion = walking_motion(body, FRAMES, SIZE_WH)
    workspace = Workspace(folder)
    workspace.artifacts.mkdir(parents=True)
    make_video(source, FRAMES, SIZE_WH, FPS)
    info = video.probe(source)
    times = np.arange(FRAMES) / FPS
    seen = np.ones((FRAMES, 2), bool)
    arrays = {"seen": seen, "filled": ~seen, "guessed": ~seen, "identity_confidence": seen * 1.0}
    write_motion_files(workspace, body, motion, Footage(times, FPS, SIZE_WH, arrays))
    posed = body.pose(*map(torch.from_numpy, (motion.rotations, motion.betas, motion.transl)))
    contacts = find_contacts(posed.vertices, body.faces, body.vertex_parts())
    write_contacts(workspace.contacts, contacts, times, FPS, scene_from_camera(motion.floor))
    track = make_track(FRAMES, SIZE_WH)
    track.time_s[:] = times
    artifacts.write(workspace.artifact("track"), track, Provenance(stage="track", fingerprint="0"))
    sheets = (np.tile(numbered_picture(n, *SIZE_WH), (2, 2, 1)) for n in range(FRAMES))
    film = film_options(FRAMES, FPS, (0, 0, 2 * SIZE_WH[0], SIZE_WH[1]))
    video.write(workspace.overlay, sheets, FPS, also=(workspace.film, film))
    facts = {
        "closefit": __version__,
        "video": asdict(info) | {"path": str(source)},
        "camera": {"focal_px": 150.0, "fov_deg": 67.4, "from": "--focal"},
        "settings": {"preset": "draft", "camera.focal_px": 150.0},
        "status": "done",
        "quality": {"track": {"frames": FRAMES}},
    }
    write_report(workspace, facts)
    workspace.update_run(facts)
    return workspace


def make_batch(
    root: Path, results: Path, clips: Sequence[str], words: Mapping[str, Mapping[str, Any]] = {}
) -> BatchFolder:
    """A batch whose clips have copies of `results`, each of a video of its own.

    `words` are entries of the index.
    """
    folder = BatchFolder(root)
    folder.create()
    for number, name in enumerate(clips):
        shutil.copytree(results, folder.results(name))
        _give_own_video(Workspace(folder.results(name)), root.parent / "footage", name)
        folder.index.append({**record(name, number), **words.get(name, {})})
    folder.write_plan({name: name for name in clips}, list(clips))
    return folder


def _give_own_video(workspace: Workspace, footage: Path, name: str) -> None:
    """A copy of the video that differs in an unused part at its end."""
    known = workspace.read_run()["video"]
    footage.mkdir(exist_ok=True)
    digest = hashlib.sha256(os.fsencode(name)).digest()
    path = footage / f"{digest.hex()[:8]}.mp4"
    unused = (8 + len(digest)).to_bytes(4, "big") + b"free" + digest
    path.write_bytes(Path(known["path"]).read_bytes() + unused)
    known |= {"path": str(path), "content_sha256": sha256_of(path)}
    workspace.update_run({"video": known})


def record(name: str, number: int) -> ClipRecord:
    return ClipRecord(
        name=name,
        clip=f"/footage/{name}.mp4",
        start_s=None,
        end_s=None,
        source=None,
        licence=None,
        subjects=None,
        status="done",
        exit_code=0,
        error=None,
        hint=None,
        attempts=1,
        seconds=1.0,
        stages={},
        frames=FRAMES,
        quality={"frames": FRAMES, "confidence": [0.5 + 0.001 * number, 0.9]},
        warnings=[],
        host="here",
        closefit=__version__,
        finished="2026-11-01T00:00:00+00:00",
        fingerprint="0123456789abcdef",
        inputs=[],
    )
