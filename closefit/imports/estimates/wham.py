"""Results of WHAM: `wham_output.pkl`, which its `demo.py` writes with `--save_pkl`.

A joblib dictionary by person id; each person is a dictionary of

- `frame_ids` (F,): numbers of the video's frames, from 0;
- `pose` (F, 72): SMPL axis-angle, pelvis first, in the camera frame (OpenCV axes);
- `trans` (F, 3): SMPL translation in the camera frame, metres;
- `pose_world`, `trans_world`, `betas`, `verts`: not used.

Unless it is given a calibration file, WHAM takes the picture's diagonal for its focal length. The
result does not say, so that is assumed here; it only matters for who is where.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closefit.geometry.camera import intrinsics
from closefit.imports.estimates.tracks import (
    SMPL_PELVIS_M,
    PersonTrack,
    entry,
    frame_numbers,
    from_axis_angle,
    numbers,
    on_one_axis,
)
from closefit.records import PersonEstimates, VideoInfo

TOOL = "WHAM"


def is_result(content: object) -> bool:
    """Whether unpickled content has this layout."""
    people = list(content.values()) if isinstance(content, Mapping) else []
    return bool(people) and all(
        isinstance(person, Mapping) and {"pose", "frame_ids"} & person.keys() for person in people
    )


def read(path: Path, content: Mapping[Any, Any], video: VideoInfo) -> PersonEstimates:
    """Read the people of an unpickled result.

    Raises:
        InputError: It is not as documented.
    """
    focal_px = math.hypot(video.width, video.height)
    tracks = [_track(path, f"{key}", person) for key, person in content.items()]
    return on_one_axis(tracks, intrinsics(video.width, video.height, focal_px), TOOL)


def _track(path: Path, key: str, person: Mapping[str, Any]) -> PersonTrack:
    frames = frame_numbers(path, f"{key}.frame_ids", entry(path, person, "frame_ids"))
    pose = numbers(path, f"{key}.pose", entry(path, person, "pose"), len(frames), 72)
    trans = numbers(path, f"{key}.trans", entry(path, person, "trans"), len(frames), 3)
    return PersonTrack(frames, from_axis_angle(pose), trans + np.array(SMPL_PELVIS_M))
