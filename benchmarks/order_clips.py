"""Clips in which the depth order can go wrong: `python benchmarks/order_clips.py OUT`.

The demo's two people, one behind the other for all of the clip: in their own clothes, both dressed
alike, cut by the lower edge of the picture, and near a wide lens. Each is a folder with video,
simulated detections and exact truth, as `ablation.py` and `ownership.py` take them:

    python benchmarks/ablation.py OUT --detector yolo lite --rows initial full --name order
"""

import argparse
import math
import shutil
from pathlib import Path
from typing import Any

import torch

from closefit.body.model import Body
from closefit.demo.clip import FPS, film_clip
from closefit.demo.clothing import OUTFITS
from closefit.demo.dance import START_ANGLE_RAD, Dance, make_dance
from closefit.demo.room import Room
from closefit.geometry.rotations import about
from closefit.models import weights

FRAMES, SIZE_WH = 48, (480, 360)
TURN_RAD = 0.5 * math.pi - START_ANGLE_RAD - 0.3
"""Of the whole dance: the two are in line with the camera in the middle of the clip."""

CLIPS: dict[str, dict[str, Any]] = {
    "behind": {},
    "behind_alike": {"outfits": (OUTFITS[0], OUTFITS[0])},
    "behind_cut": {"distance_m": 2.1, "pitch_deg": -2.0},
    "behind_near": {"distance_m": 2.1, "fov_deg": 85.0},
}


def main() -> None:
    """Make the clips that are not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    file = weights.locate("closefit_body")
    body = Body.load(file)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, out / "body.npz")  # the body of the truth, for `ablation.py`
    for seed, (name, look) in enumerate(CLIPS.items()):
        if (out / name / "observations.npz").exists():
            continue
        outfits = look.pop("outfits", OUTFITS)
        dance = turned(body, make_dance(body, FRAMES, FPS, seed), TURN_RAD)
        film_clip(out / name, body, dance, Room.create(*SIZE_WH, **look), seed, outfits)


def turned(body: Body, dance: Dance, angle_rad: float) -> Dance:
    """Turn the whole motion about the middle of the room."""
    turn, rest = about(1, torch.tensor(angle_rad)), body.rest(dance.betas).joints[:, 0]
    rotations = dance.rotations.clone()
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    return Dance(rotations, dance.betas, (dance.transl + rest) @ turn.T - rest)


if __name__ == "__main__":
    main()
