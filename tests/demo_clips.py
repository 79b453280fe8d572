"""Clips of the demo for tests: each is made once per process, and so is the dancers' hold.

The hold takes 7 s and is the same whatever the clip's length and size.
"""

import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from closefit.body.model import Body
from closefit.demo import DemoClip, dance, make_clip
from closefit.demo.hold import Hold, solve_hold

_PLACE = tempfile.TemporaryDirectory(prefix="closefit-demo-")
_HOLDS: list[tuple[Tensor, Hold]] = []


def demo_clip(folder: Path, frames: int, size: tuple[int, int] = (160, 120)) -> DemoClip:
    """Put the clip that `make_clip` makes into a folder; the files are the caller's own."""
    shutil.copytree(_made(frames, size), folder, dirs_exist_ok=True)
    return DemoClip(folder / "video.mp4", folder / "observations.npz", folder / "truth.npz")


@lru_cache
def _made(frames: int, size: tuple[int, int]) -> Path:
    folder = Path(_PLACE.name) / f"{frames}_{size[0]}x{size[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dance, "solve_hold", _kept_hold)
        make_clip(folder, frames, size=size)
    return folder


def _kept_hold(body: Body, betas: Tensor) -> Hold:
    """Solve the hold of these shapes, of the one body that clips have, at the first call."""
    for known, hold in _HOLDS:
        if torch.equal(known, betas):
            return hold
    _HOLDS.append((betas, solve_hold(body, betas)))
    return _HOLDS[-1][1]
