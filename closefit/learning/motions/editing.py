"""Pure edits of motion: other frame rates and tempi, mirrored, people put together."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float

from closefit.body.pose import mirrored_pose
from closefit.geometry.rotations import interpolate_rotations
from closefit.records import PairMotion


def resample(motion: PairMotion, fps: float) -> PairMotion:
    """Return the motion at another frame rate: linear positions, shortest rotations between frames.

    The first frame stays; the last is the last that lies within the motion.
    """
    rate = float(motion.fps)
    frames = len(motion.pelvis_m)
    count = int((frames - 1) * fps / rate + 1e-6) + 1
    places = np.arange(count) * (rate / fps)
    resampled = _at(motion, np.minimum(places, frames - 1))
    return dataclasses.replace(resampled, fps=np.array(float(fps)))


def retime(motion: PairMotion, factor: float) -> PairMotion:
    """Return the motion `factor` times as fast, at the same frame rate."""
    fps = motion.fps
    faster = dataclasses.replace(motion, fps=np.array(float(fps) * factor))
    retimed = resample(faster, float(fps))
    return dataclasses.replace(retimed, name=np.array(f"{motion.name} x{factor:g}"))


def mirror(motion: PairMotion) -> PairMotion:
    """Return the motion seen in a mirror: x of the world and left and right of both people swap."""
    return dataclasses.replace(
        motion,
        rotations=mirrored_pose(torch.from_numpy(motion.rotations)).numpy(),
        pelvis_m=motion.pelvis_m * np.array([-1.0, 1.0, 1.0], dtype=np.float32),
        name=np.array(f"{motion.name} mirrored"),
    )


def cut(motion: PairMotion, start: int, stop: int) -> PairMotion:
    """Return the frames from `start` up to, not including, `stop`."""
    return dataclasses.replace(
        motion, rotations=motion.rotations[start:stop], pelvis_m=motion.pelvis_m[start:stop]
    )


def join_people(first: PairMotion, second: PairMotion) -> PairMotion:
    """Put the people of two motions of one frame and one frame rate into one, cut to the shorter.

    Raises:
        ValueError: The frame rates or bodies differ.
    """
    if float(first.fps) != float(second.fps) or str(first.body_name) != str(second.body_name):
        raise ValueError("people can only be joined at one frame rate and for one body")
    frames = min(len(first.pelvis_m), len(second.pelvis_m))

    def both(name: str, axis: int, stop: int | None) -> np.ndarray:
        arrays = [getattr(motion, name)[:stop] for motion in (first, second)]
        return np.concatenate(arrays, axis=axis)

    return dataclasses.replace(
        first,
        rotations=both("rotations", 1, frames),
        pelvis_m=both("pelvis_m", 1, frames),
        betas=both("betas", 0, None),
        name=np.array(f"{first.name}+{second.name}"),
    )


def _at(motion: PairMotion, places: Float[np.ndarray, " time"]) -> PairMotion:
    """Return the motion at fractional frame numbers."""
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(motion.pelvis_m) - 1)
    share = (places - before).astype(np.float32)
    start, end = motion.pelvis_m[before], motion.pelvis_m[after]
    pelvis = start + share[:, None, None] * (end - start)
    rotations = torch.from_numpy(motion.rotations[before])
    if share.any():
        following = torch.from_numpy(motion.rotations[after])
        weight = torch.from_numpy(share)[:, None, None]
        rotations = interpolate_rotations(rotations, following, weight)
    return dataclasses.replace(motion, rotations=rotations.numpy(), pelvis_m=pelvis)
