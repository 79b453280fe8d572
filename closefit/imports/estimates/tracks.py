"""From what a result file holds to `PersonEstimates`: checks, rotation forms, one time axis.

Frames count from 0 in the source video. A reader makes one `PersonTrack` per person of its file.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from closefit.body.skeleton import NUM_JOINTS
from closefit.boundary.values import numbers, refuse, whole_numbers
from closefit.geometry.camera import intrinsics
from closefit.records import PersonEstimates, VideoInfo

SHARED_JOINTS = 22
"""The pelvis and the 21 body joints that SMPL, SMPL-H and SMPL-X share, in the same order."""

SMPL_PELVIS_M = np.array([-0.0018, -0.2233, 0.0282])
SMPLX_PELVIS_M = np.array([0.0031, -0.3514, 0.0120])
"""Pelvis of the neutral rest bodies, to which `transl` is added; shapes move it by millimetres."""

FRAME_SLACK = 2
"""Frame counts of tools differ by this much from the video's (other decoders, lost last frames)."""

MAX_SKEW = 0.05
"""A rotation matrix times its transpose may differ this much from the identity."""

ASPECT_SLACK = 0.05

MAX_FRAME = 2_000_000
"""A frame beyond this one, or more people times frames, is a mistake in the file."""


@dataclass(frozen=True)
class PersonTrack:
    """One person of a result file, in the frames in which the tool has them."""

    frames: Int[np.ndarray, " frame"]
    rotations: Float[np.ndarray, "frame 24 3 3"]
    pelvis_m: Float[np.ndarray, "frame 3"]


def frame_numbers(value: object, name: str) -> Int[np.ndarray, " frame"]:
    """Return frame numbers of the file: whole, from 0, each once."""
    frames = whole_numbers(value, name, None, high=MAX_FRAME)
    if len(frames) == 0:
        refuse(f"`{name}` is empty")
    if len(np.unique(frames)) != len(frames):
        refuse(f"`{name}` names a frame twice")
    return frames


def from_axis_angle(poses: object, name: str) -> Float[np.ndarray, "frame 24 3 3"]:
    """Rotations of SMPL's joints from axis-angle poses (frame, at least 66), pelvis first.

    Columns beyond SMPL's 24 joints, or beyond the shared ones where the pose is of SMPL-H or
    SMPL-X, are left out; joints that the pose lacks stay at rest.
    """
    given = numbers(poses, name, None, None)
    joints = NUM_JOINTS if given.shape[1] == 3 * NUM_JOINTS else SHARED_JOINTS
    if len(given) == 0 or given.shape[1] < 3 * joints:
        refuse(f"`{name}` has shape {given.shape}, not at least (1, {3 * joints})")
    vectors = torch.from_numpy(given[:, : 3 * joints].reshape(len(given), joints, 3))
    return _all_joints(roma.rotvec_to_rotmat(vectors).numpy())


def from_matrices(
    matrices: Float[np.ndarray, "frame joint 3 3"], name: str
) -> Float[np.ndarray, "frame 24 3 3"]:
    """Rotations of SMPL's joints from matrices that networks put out, made exact.

    Raises:
        RefusedError: They are not rotations.
    """
    skew = np.abs(matrices @ matrices.swapaxes(-1, -2) - np.eye(3)).max(initial=0.0)
    if skew > MAX_SKEW or (np.linalg.det(matrices) < 0).any():
        refuse(f"`{name}` holds matrices that are not rotations (off by {skew:.2g})")
    return _all_joints(roma.special_procrustes(torch.from_numpy(matrices)).numpy())


def _all_joints(matrices: Float[np.ndarray, "frame joint 3 3"]) -> Float[np.ndarray, "..."]:
    rotations = np.tile(np.eye(3), (len(matrices), NUM_JOINTS, 1, 1))
    rotations[:, : matrices.shape[1]] = matrices
    return rotations


def camera_of(
    focal_px: float, centre_px: Float[np.ndarray, "2"], video: VideoInfo
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the tool in pixels of the source video, which it may have scaled down.

    Args:
        focal_px: Focal length in the tool's pixels.
        centre_px: Principal point in the tool's pixels: the middle of its picture.
        video: The source video.

    Raises:
        RefusedError: The tool saw a picture of another shape.
    """
    width, height = 2.0 * centre_px
    if not (width > 0 and height > 0 and focal_px > 0):
        refuse(f"its camera has focal length {focal_px:g} and centre {centre_px.tolist()}")
    if abs(width * video.height / (height * video.width) - 1.0) > ASPECT_SLACK:
        refuse(
            f"it is of a {width:.0f}x{height:.0f} video, but `{video.path}` has "
            f"{video.width}x{video.height}"
        )
    return intrinsics(video.width, video.height, float(focal_px) * video.width / width)


def unknown_camera() -> Float[np.ndarray, "3 3"]:
    """Value of `PersonEstimates.K` where the file has no camera."""
    return np.full((3, 3), np.nan)


def on_one_axis(
    tracks: Iterable[PersonTrack], K: Float[np.ndarray, "3 3"] | None, tool: str
) -> PersonEstimates:
    """Put people side by side on the video's frames; without `K` there is no camera."""
    tracks = list(tracks)
    frames = max((int(track.frames.max()) + 1 for track in tracks if len(track.frames)), default=0)
    shape = (frames, len(tracks))
    if frames * len(tracks) > MAX_FRAME:
        refuse(f"it has {len(tracks)} tracks in {frames} frames, which is more than any video has")
    rotations = np.tile(np.eye(3, dtype=np.float32), (*shape, NUM_JOINTS, 1, 1))
    transl_m = np.full((*shape, 3), np.nan, dtype=np.float32)
    known = np.zeros(shape, dtype=bool)
    for person, track in enumerate(tracks):
        rotations[track.frames, person] = track.rotations
        transl_m[track.frames, person] = track.pelvis_m
        known[track.frames, person] = True
    camera = unknown_camera() if K is None else K
    return PersonEstimates(
        rotations=rotations,
        transl_m=transl_m,
        known=known,
        K=camera,
        tool=tool,
        has_camera=K is not None,
    )


def side_by_side(parts: list[PersonEstimates]) -> PersonEstimates:
    """People of several files of one tool, in the order of the files."""
    tracks = [
        PersonTrack(
            frames := np.flatnonzero(part.known[:, person]),
            part.rotations[frames, person],
            part.transl_m[frames, person],
        )
        for part in parts
        for person in range(part.known.shape[1])
    ]
    first = parts[0]
    return on_one_axis(tracks, first.K if first.has_camera else None, first.tool)
