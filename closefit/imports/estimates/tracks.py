"""From what a result file holds to `PersonEstimates`: checks, rotation forms, one time axis.

Frames count from 0 in the source video. A reader makes one `PersonTrack` per person of its file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from closefit.body.files import Array
from closefit.body.skeleton import NUM_JOINTS
from closefit.errors import InputError
from closefit.geometry.camera import intrinsics
from closefit.records import PersonEstimates, VideoInfo

HINT = "docs/estimates.md says which file of which tool to pass, and how to make it"

SHARED_JOINTS = 22
"""The pelvis and the 21 body joints that SMPL, SMPL-H and SMPL-X share, in the same order."""

SMPL_PELVIS_M = (-0.0018, -0.2233, 0.0282)
SMPLX_PELVIS_M = (0.0031, -0.3514, 0.0120)
"""Pelvis of the neutral rest bodies, to which `transl` is added; shapes move it by millimetres."""

FRAME_SLACK = 2
"""Frame counts of tools differ by this much from the video's (other decoders, lost last frames)."""

MAX_SKEW = 0.05
"""A rotation matrix times its transpose may differ this much from the identity."""

ASPECT_SLACK = 0.05


@dataclass(frozen=True)
class PersonTrack:
    """One person of a result file, in the frames in which the tool has them."""

    frames: Int[np.ndarray, " frame"]
    rotations: Float[np.ndarray, "frame 24 3 3"]
    pelvis_m: Float[np.ndarray, "frame 3"]


def refuse(path: Path, problem: str) -> NoReturn:
    """Raise the error that a result file cannot be used."""
    raise InputError(f"the estimate `{path}` cannot be used: {problem}", HINT)


def entry(path: Path, content: object, key: str) -> Any:
    """Return `content[key]`, or refuse the file.

    Raises:
        InputError: `content` is no dictionary or has no such key.
    """
    if not isinstance(content, Mapping):
        refuse(path, f"it has a `{type(content).__name__}` where a dictionary with `{key}` belongs")
    if key not in content:
        refuse(path, f"it has no `{key}`, only {named(content)}")
    return content[key]


def named(keys: Iterable[object], most: int = 6) -> str:
    """Return some of the keys, for an error message."""
    shown = [f"`{key}`" for key in keys]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "") if shown else "nothing"


def numbers(path: Path, name: str, value: object, *shape: int | None) -> Float[np.ndarray, "..."]:
    """Return a value of the file as finite numbers of the given shape (None: any size).

    Raises:
        InputError: It is something else.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy() if value.dtype != torch.bfloat16 else None
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal length
        refuse(path, f"`{name}` is not a rectangular array")
    if array.dtype.kind not in "fiu":
        refuse(path, f"`{name}` holds no numbers but `{array.dtype}`")
    fits = array.ndim == len(shape) and all(
        want in (None, size) for want, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
        refuse(path, f"`{name}` has shape {array.shape} instead of {wanted}")
    if not np.isfinite(array).all():
        where = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
        refuse(path, f"`{name}` has a value that is not a number (first in row {where})")
    return array.astype(np.float64)


def frame_numbers(path: Path, name: str, value: object) -> Int[np.ndarray, " frame"]:
    """Return frame numbers of the file: whole, from 0, each once.

    Raises:
        InputError: They are something else.
    """
    given = numbers(path, name, value, None)
    frames = given.astype(np.int64)
    if len(frames) == 0:
        refuse(path, f"`{name}` is empty")
    if (frames != given).any() or frames.min() < 0:
        worst = given[(frames != given) | (frames < 0)][0]
        refuse(path, f"`{name}` has `{worst:g}`, which is not a frame number")
    if len(np.unique(frames)) != len(frames):
        refuse(path, f"`{name}` names a frame twice")
    return frames


def from_axis_angle(
    vectors: Float[np.ndarray, "frame columns"],
) -> Float[np.ndarray, "frame 24 3 3"]:
    """Rotations of SMPL's joints from the first columns of an axis-angle pose, pelvis first.

    Joints that the pose lacks (SMPL's hands, where it is of SMPL-H or SMPL-X) stay at rest.
    """
    joints = torch.from_numpy(vectors.reshape(len(vectors), -1, 3))
    return _all_joints(roma.rotvec_to_rotmat(joints).numpy())


def from_matrices(
    path: Path, name: str, matrices: Float[np.ndarray, "frame joint 3 3"]
) -> Float[np.ndarray, "frame 24 3 3"]:
    """Rotations of SMPL's joints from matrices that networks put out, made exact.

    Raises:
        InputError: They are not rotations.
    """
    skew = np.abs(matrices @ matrices.swapaxes(-1, -2) - np.eye(3)).max(initial=0.0)
    if skew > MAX_SKEW or (np.linalg.det(matrices) < 0).any():
        refuse(path, f"`{name}` holds matrices that are not rotations (off by {skew:.2g})")
    return _all_joints(roma.special_procrustes(torch.from_numpy(matrices)).numpy())


def _all_joints(matrices: Float[np.ndarray, "frame joint 3 3"]) -> Float[np.ndarray, "..."]:
    rotations = np.tile(np.eye(3), (len(matrices), NUM_JOINTS, 1, 1))
    rotations[:, : matrices.shape[1]] = matrices
    return rotations


def camera_of(
    path: Path,
    focal_px: float,
    centre_px: Float[np.ndarray, "2"],
    video: VideoInfo,
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the tool in pixels of the source video, which it may have scaled down.

    Args:
        path: The result file, for messages.
        focal_px: Focal length in the tool's pixels.
        centre_px: Principal point in the tool's pixels: the middle of its picture.
        video: The source video.

    Raises:
        InputError: The tool saw a picture of another shape.
    """
    width, height = 2.0 * centre_px
    if not (width > 0 and height > 0 and focal_px > 0):
        refuse(path, f"its camera has focal length {focal_px:g} and centre {centre_px.tolist()}")
    if abs(width * video.height / (height * video.width) - 1.0) > ASPECT_SLACK:
        refuse(
            path,
            f"it is of a {width:.0f}x{height:.0f} video, but `{video.path}` has "
            f"{video.width}x{video.height}",
        )
    scale = video.width / width
    return intrinsics(video.width, video.height, focal_px * scale)


def unknown_camera() -> Float[np.ndarray, "3 3"]:
    """What `PersonEstimates.K` holds where the file does not say."""
    return np.full((3, 3), np.nan)


def on_one_axis(
    tracks: Iterable[PersonTrack], K: Array, tool: str, *, has_camera: bool = True
) -> PersonEstimates:
    """Put the people of a file side by side on the video's frames."""
    tracks = list(tracks)
    frames = max((int(track.frames.max()) + 1 for track in tracks if len(track.frames)), default=0)
    shape = (frames, len(tracks))
    rotations = np.tile(np.eye(3, dtype=np.float32), (*shape, NUM_JOINTS, 1, 1))
    transl_m = np.full((*shape, 3), np.nan, dtype=np.float32)
    known = np.zeros(shape, dtype=bool)
    for person, track in enumerate(tracks):
        rotations[track.frames, person] = track.rotations
        transl_m[track.frames, person] = track.pelvis_m
        known[track.frames, person] = True
    return PersonEstimates(
        rotations=rotations, transl_m=transl_m, known=known, K=K, tool=tool, has_camera=has_camera
    )
