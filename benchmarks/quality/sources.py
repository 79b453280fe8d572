"""Clips with exact truth: given ones, and ones that are made here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closefit.body.model import Body
from closefit.demo.clip import FPS, film_clip
from closefit.demo.dance import Dance, make_dance
from closefit.demo.room import Room
from closefit.learning.choreography import generate
from closefit.models import weights

SIZE_WH = (480, 360)

ROOMS: dict[str, dict[str, Any]] = {
    "usual": {},
    "near": {"distance_m": 2.6, "pitch_deg": 4.0},
    "wide": {"distance_m": 2.6, "fov_deg": 75.0, "pitch_deg": 4.0},
    "far": {"distance_m": 4.6, "fov_deg": 45.0},
}
"""Places of the camera."""

DANCES = {"dance_1": (40, 1, "usual"), "dance_2": (40, 2, "far")}
"""Frames, seed and room of clips of the demo's dance."""

SCENES = {
    "hug": ("hug", 11, "usual"),
    "side_hug": ("side hug", 12, "near"),
    "ballroom": ("ballroom", 13, "wide"),
    "clinch": ("clinch", 14, "usual"),
    "hold_hands": ("hold hands", 15, "far"),
    "from_behind": ("hug from behind", 16, "near"),
}
"""Kind of contact, seed and room of clips of generated motion."""

SCENE_FRAMES = 28


@dataclass(frozen=True)
class Source:
    """A clip with exact truth.

    Attributes:
        name: Name of its folder.
        family: Clips of one family show similar motion, people and rooms.
        video: Its pictures.
        truth: As `closefit evaluate` takes it.
        body: The body of the truth.
    """

    name: str
    family: str
    video: Path
    truth: Path
    body: Path


def given(folders: list[Path]) -> list[Source]:
    """Clips of the given folders; their body is `body.npz` beside them, else the free one."""
    found = []
    for folder in folders:
        body = folder / "body.npz"
        path = body if body.is_file() else weights.locate("closefit_body")
        found += [
            Source(truth.parent.name, folder.name, truth.parent / "video.mp4", truth, path)
            for truth in sorted(folder.glob("*/truth.npz"))
        ]
    return found


def made(folder: Path) -> list[Source]:
    """Make the clips of `DANCES` and `SCENES` that are not in a folder yet."""
    path = weights.locate("closefit_body")
    body = Body.load(path)
    for name, (frames, seed, room) in DANCES.items():
        if not (folder / name / "observations.npz").is_file():
            dance = make_dance(body, frames, FPS, seed)
            film_clip(folder / name, body, dance, Room.create(*SIZE_WH, **ROOMS[room]), seed)
    for name, (kind, seed, room) in SCENES.items():
        if not (folder / name / "observations.npz").is_file():
            dance = _generated(body, kind, seed)
            film_clip(folder / name, body, dance, Room.create(*SIZE_WH, **ROOMS[room]), seed)
    return [
        Source(name, family, folder / name / "video.mp4", folder / name / "truth.npz", path)
        for family, names in (("dances", DANCES), ("scenes", SCENES))
        for name in names
    ]


def _generated(body: Body, kind: str, seed: int) -> Dance:
    """The middle of a generated scene, where the two are in contact."""
    motion = generate(body, 1, seed, 2 * SCENE_FRAMES, (kind,))[0]
    kept = slice(SCENE_FRAMES // 2, SCENE_FRAMES // 2 + SCENE_FRAMES)
    betas = torch.from_numpy(motion.betas)
    pelvis = torch.from_numpy(motion.pelvis_m[kept])
    middle = pelvis.mean(dim=(0, 1)) * torch.tensor([1.0, 0.0, 1.0])
    rest = body.rest(betas).joints[:, 0]
    return Dance(torch.from_numpy(motion.rotations[kept]), betas, pelvis - middle - rest)


def frames_of(source: Source) -> int:
    """Number of frames of a clip."""
    with np.load(source.truth) as truth:
        return len(truth["transl"])
