"""Results of PromptHMR: `results.pkl`, which `scripts/demo_video.py` writes with joblib.

A dictionary of

- `people`, a dictionary by track id; each has `frames` (F,), numbers from 0 of the frames it read,
  and `smplx_cam`, SMPL-X in the camera frame (OpenCV axes): `rotmat` (F, 55, 3, 3) or `pose`
  (F, at least 66) axis-angle, both pelvis first, `trans` (F, 3) in metres, `shape` (F, 10);
- `camera`: `img_focal` and `img_center`, in pixels of its own picture, at most 896 high;
- `smplx_world`, `camera_world`, masks and keypoints: not used.

Of a video with more than 60 frames a second it reads every n-th frame only.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from closefit.boundary.values import entry, number, numbers, refuse
from closefit.imports.estimates.tracks import (
    SHARED_JOINTS,
    SMPLX_PELVIS_M,
    PersonTrack,
    camera_of,
    frame_numbers,
    from_axis_angle,
    from_matrices,
    on_one_axis,
)  # fmt: skip
from closefit.records import PersonEstimates, VideoInfo

TOOL = "PromptHMR"

MAX_FPS = 60.0


def is_result(content: object) -> bool:
    """Whether unpickled content has this layout."""
    return isinstance(content, dict) and isinstance(content.get("people"), dict)


def read(content: Mapping[str, Any], video: VideoInfo) -> PersonEstimates:
    """Read the people of an unpickled result."""
    camera = entry(content, "camera")
    focal_px = number(entry(camera, "img_focal"), "img_focal", 1.0, 1e6)
    centre = entry(camera, "img_center")
    centre_px = numbers(
        np.ravel(centre) if isinstance(centre, np.ndarray) else centre, "img_center", 2
    )
    people = content["people"]
    if not people:
        refuse("it holds nobody (`people` is empty)")
    step = max(1, round(video.fps / MAX_FPS))
    tracks = [_track(str(key), person, step) for key, person in people.items()]
    return on_one_axis(tracks, camera_of(focal_px, centre_px, video), TOOL)


def _track(key: str, person: Mapping[str, Any], step: int) -> PersonTrack:
    read_frames = frame_numbers(entry(person, "frames"), f"{key}.frames")
    body = entry(person, "smplx_cam")
    trans = numbers(entry(body, "trans"), f"{key}.trans", len(read_frames), 3)
    rotations = _rotations(key, body, len(read_frames))
    # Of every `step` frames it keeps the last.
    return PersonTrack((read_frames + 1) * step - 1, rotations, trans + SMPLX_PELVIS_M)


def _rotations(key: str, body: Mapping[str, Any], count: int) -> Float[np.ndarray, "frame 24 3 3"]:
    if "rotmat" not in body:
        pose = numbers(entry(body, "pose"), f"{key}.pose", count, None)
        return from_axis_angle(pose, f"{key}.pose")
    matrices = numbers(body["rotmat"], f"{key}.rotmat", count, None, 3, 3)
    if matrices.shape[1] < SHARED_JOINTS:
        refuse(f"`{key}.rotmat` has {matrices.shape[1]} joints, not {SHARED_JOINTS}")
    return from_matrices(matrices[:, :SHARED_JOINTS], f"{key}.rotmat")
