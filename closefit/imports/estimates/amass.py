"""Motion in AMASS's layout: an `.npz` of one person in a world with z up, without a camera.

- `poses` (N, at least 66): SMPL, SMPL-H or SMPL-X axis-angle, pelvis first;
- `mocap_framerate` (in newer files `mocap_frame_rate`): frames per second of these rows;
- `trans`, `betas`, `gender`: not used, since the position of the camera is not known.

Row 0 is the start of the video, or of the chosen frames; other frame rates are resampled.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from closefit.boundary.values import entry, number
from closefit.geometry.rotations import interpolate_rotations
from closefit.imports.estimates.tracks import PersonTrack, from_axis_angle, on_one_axis
from closefit.records import PersonEstimates, VideoInfo

TOOL = "AMASS"

CAMERA_FROM_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""A level camera that looks along the world's y axis."""

RATES_FPS = (1.0, 1000.0)


def is_result(content: object) -> bool:
    """Whether the arrays of an `.npz` have this layout."""
    return isinstance(content, Mapping) and "poses" in content


def read(content: Mapping[str, Any], video: VideoInfo) -> PersonEstimates:
    """Read the person of a file."""
    rotations = from_axis_angle(entry(content, "poses"), "poses")
    key = "mocap_frame_rate" if "mocap_frame_rate" in content else "mocap_framerate"
    fps = number(entry(content, key), key, *RATES_FPS)
    rotations[:, 0] = CAMERA_FROM_Z_UP @ rotations[:, 0]
    rotations = _resample(rotations, fps / video.fps)
    nowhere = np.full((len(rotations), 3), np.nan)
    track = PersonTrack(np.arange(len(rotations)), rotations, nowhere)
    return on_one_axis([track], None, TOOL)


def _resample(
    rotations: Float[np.ndarray, "row 24 3 3"], rows_per_frame: float
) -> Float[np.ndarray, "frame 24 3 3"]:
    """Rotations at the video's frames, interpolated between the two nearest rows."""
    if abs(rows_per_frame - 1.0) < 1e-3:
        return rotations
    frames = int((len(rotations) - 1) / rows_per_frame + 1e-6) + 1
    at = np.arange(frames) * rows_per_frame
    before = np.minimum(at.astype(int), len(rotations) - 1)
    after = np.minimum(before + 1, len(rotations) - 1)
    start, end = torch.from_numpy(rotations[before]), torch.from_numpy(rotations[after])
    share = torch.from_numpy(at - before)[:, None]
    return interpolate_rotations(start, end, share).numpy()
