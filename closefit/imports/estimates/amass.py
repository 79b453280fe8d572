"""Motion in AMASS's layout: an `.npz` of one person in a world with z up, without a camera.

- `poses` (N, at least 66): SMPL, SMPL-H or SMPL-X axis-angle, pelvis first;
- `mocap_framerate` (in newer files `mocap_frame_rate`): frames per second of these rows;
- `trans`, `betas`, `gender`: not used, since where the camera stood is not known.

Row 0 is the start of the video, or of the chosen part of it; other frame rates are resampled.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from closefit.body.files import Array
from closefit.geometry.rotations import interpolate_rotations
from closefit.imports.estimates.tracks import (
    SHARED_JOINTS,
    PersonTrack,
    entry,
    from_axis_angle,
    numbers,
    on_one_axis,
    refuse,
    unknown_camera,
)
from closefit.records import PersonEstimates, VideoInfo

TOOL = "AMASS"

CAMERA_FROM_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""A level camera that looks along the world's y axis."""

RATES_FPS = (1.0, 1000.0)


def is_result(content: object) -> bool:
    """Whether the arrays of an `.npz` have this layout."""
    return isinstance(content, Mapping) and "poses" in content


def read(path: Path, content: Mapping[str, Array], video: VideoInfo) -> PersonEstimates:
    """Read the person of a loaded `.npz`.

    Raises:
        InputError: It is not as documented.
    """
    poses = numbers(path, "poses", entry(path, content, "poses"), None, None)
    if len(poses) == 0 or poses.shape[1] < 3 * SHARED_JOINTS:
        refuse(path, f"`poses` has shape {poses.shape}, not at least (1, {3 * SHARED_JOINTS})")
    key = "mocap_frame_rate" if "mocap_frame_rate" in content else "mocap_framerate"
    fps = float(numbers(path, key, np.ravel(entry(path, content, key)), 1)[0])
    if not RATES_FPS[0] <= fps <= RATES_FPS[1]:
        refuse(path, f"`{key}` is {fps:g} frames per second")
    rotations = from_axis_angle(poses[:, : 3 * SHARED_JOINTS])
    rotations[:, 0] = CAMERA_FROM_Z_UP @ rotations[:, 0]
    rotations = _resample(rotations, fps / video.fps)
    nowhere = np.full((len(rotations), 3), np.nan)
    track = PersonTrack(np.arange(len(rotations)), rotations, nowhere)
    return on_one_axis([track], unknown_camera(), TOOL, has_camera=False)


def _resample(
    rotations: Float[np.ndarray, "row 24 3 3"], rows_per_frame: float
) -> Float[np.ndarray, "frame 24 3 3"]:
    """Rotations at the frames of the video, on the shortest way between the rows next to each."""
    if abs(rows_per_frame - 1.0) < 1e-3:
        return rotations
    frames = int((len(rotations) - 1) / rows_per_frame + 1e-6) + 1
    at = np.arange(frames) * rows_per_frame
    before = np.minimum(at.astype(int), len(rotations) - 1)
    after = np.minimum(before + 1, len(rotations) - 1)
    start, end = torch.from_numpy(rotations[before]), torch.from_numpy(rotations[after])
    share = torch.from_numpy(at - before)[:, None]
    return interpolate_rotations(start, end, share).numpy()
