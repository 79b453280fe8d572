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
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from closefit.imports.estimates.tracks import (
    SHARED_JOINTS,
    SMPLX_PELVIS_M,
    PersonTrack,
    camera_of,
    entry,
    frame_numbers,
    from_axis_angle,
    from_matrices,
    numbers,
    on_one_axis,
    refuse,
)
from closefit.records import PersonEstimates, VideoInfo

TOOL = "PromptHMR"

MAX_FPS = 60.0


def is_result(content: object) -> bool:
    """Whether unpickled content has this layout."""
    return isinstance(content, Mapping) and isinstance(content.get("people"), Mapping)


def read(path: Path, content: Mapping[str, Any], video: VideoInfo) -> PersonEstimates:
    """Read the people of an unpickled result.

    Raises:
        InputError: It is not as documented.
    """
    camera = entry(path, content, "camera")
    focal_px = np.ravel(entry(path, camera, "img_focal"))
    centre = numbers(path, "img_center", np.ravel(entry(path, camera, "img_center")), 2)
    K = camera_of(path, float(numbers(path, "img_focal", focal_px, 1)[0]), centre, video)
    people = content["people"]
    if not people:
        refuse(path, "it holds nobody (`people` is empty)")
    step = max(1, round(video.fps / min(video.fps, MAX_FPS)))
    return on_one_axis([_track(path, f"{k}", p, step) for k, p in people.items()], K, TOOL)


def _track(path: Path, key: str, person: Mapping[str, Any], step: int) -> PersonTrack:
    read_frames = frame_numbers(path, f"{key}.frames", entry(path, person, "frames"))
    body = entry(path, person, "smplx_cam")
    count = len(read_frames)
    trans = numbers(path, f"{key}.trans", entry(path, body, "trans"), count, 3)
    # Of every `step` frames it keeps the last.
    frames = (read_frames + 1) * step - 1
    return PersonTrack(frames, _rotations(path, key, body, count), trans + np.array(SMPLX_PELVIS_M))


def _rotations(
    path: Path, key: str, body: Mapping[str, Any], count: int
) -> Float[np.ndarray, "frame 24 3 3"]:
    if "rotmat" in body:
        matrices = numbers(path, f"{key}.rotmat", body["rotmat"], count, None, 3, 3)
        if matrices.shape[1] < SHARED_JOINTS:
            refuse(path, f"`{key}.rotmat` has {matrices.shape[1]} joints, not {SHARED_JOINTS}")
        return from_matrices(path, f"{key}.rotmat", matrices[:, :SHARED_JOINTS])
    pose = numbers(path, f"{key}.pose", entry(path, body, "pose"), count, None)
    if pose.shape[1] < 3 * SHARED_JOINTS:
        refuse(path, f"`{key}.pose` has {pose.shape[1]} columns, not {3 * SHARED_JOINTS} or more")
    return from_axis_angle(pose[:, : 3 * SHARED_JOINTS])
