"""Results of WHAM: `wham_output.pkl`, which its `demo.py` writes with `--save_pkl`.

A joblib dictionary by person id; each person is a dictionary of

- `frame_ids` (F,): numbers of the video's frames, from 0;
- `pose` (F, 72): SMPL axis-angle, pelvis first, in the camera frame (OpenCV axes);
- `trans` (F, 3): SMPL translation in the camera frame, metres;
- `pose_world`, `trans_world`, `betas`, `verts`: not used.

Unless it is given a calibration file, WHAM takes the picture's diagonal for its focal length. The
file does not hold it, so the diagonal is assumed here; it only matters for matching people.
"""

import math
from collections.abc import Mapping
from typing import Any

from closefit.boundary.values import entry, numbers
from closefit.geometry.camera import intrinsics
from closefit.imports.estimates.tracks import (
    SMPL_PELVIS_M,
    PersonTrack,
    frame_numbers,
    from_axis_angle,
    on_one_axis,
)  # fmt: skip
from closefit.records import PersonEstimates, VideoInfo

TOOL = "WHAM"


def is_result(content: object) -> bool:
    """Whether unpickled content has this layout."""
    people = list(content.values()) if isinstance(content, dict) else []
    return bool(people) and all(
        isinstance(person, Mapping) and {"pose", "frame_ids"} & person.keys() for person in people
    )


def read(content: Mapping[Any, Any], video: VideoInfo) -> PersonEstimates:
    """Read the people of an unpickled result."""
    focal_px = math.hypot(video.width, video.height)
    tracks = [_track(str(key), person) for key, person in content.items()]
    return on_one_axis(tracks, intrinsics(video.width, video.height, focal_px), TOOL)


def _track(key: str, person: Mapping[str, Any]) -> PersonTrack:
    frames = frame_numbers(entry(person, "frame_ids"), f"{key}.frame_ids")
    pose = numbers(entry(person, "pose"), f"{key}.pose", len(frames), 72)
    trans = numbers(entry(person, "trans"), f"{key}.trans", len(frames), 3)
    return PersonTrack(frames, from_axis_angle(pose, f"{key}.pose"), trans + SMPL_PELVIS_M)
