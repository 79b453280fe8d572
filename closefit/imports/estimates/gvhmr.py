"""Results of GVHMR: `hmr4d_results.pt`, which `tools/demo/demo.py` writes, one person per file.

A PyTorch file with a dictionary of

- `smpl_params_incam`: SMPL-X in the camera frame (OpenCV axes): `global_orient` (F, 3) and
  `body_pose` (F, 63) axis-angle, `transl` (F, 3) metres, `betas` (F, 10);
- `K_fullimg` (F, 3, 3): the intrinsics it assumed;
- `smpl_params_global` (a world with gravity along -y) and `net_outputs`: not used.

Row i is the video's frame i. For two people, put both files into one folder (under any names, or
in subfolders) and pass the folder.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from closefit.boundary.values import entry, numbers
from closefit.imports.estimates.tracks import (
    SHARED_JOINTS,
    SMPLX_PELVIS_M,
    PersonTrack,
    camera_of,
    from_axis_angle,
    on_one_axis,
)  # fmt: skip
from closefit.records import PersonEstimates, VideoInfo

TOOL = "GVHMR"


def is_result(content: object) -> bool:
    """Whether the content of a PyTorch file has this layout."""
    return isinstance(content, Mapping) and "smpl_params_incam" in content


def read(content: Mapping[str, Any], video: VideoInfo) -> PersonEstimates:
    """Read the person of a loaded result."""
    body = entry(content, "smpl_params_incam")
    orient = numbers(entry(body, "global_orient"), "global_orient", None, 3)
    frames = len(orient)
    pose = numbers(entry(body, "body_pose"), "body_pose", frames, 3 * (SHARED_JOINTS - 1))
    transl = numbers(entry(body, "transl"), "transl", frames, 3)
    K = numbers(entry(content, "K_fullimg"), "K_fullimg", frames, 3, 3)
    rotations = from_axis_angle(np.concatenate([orient, pose], axis=1), "global_orient")
    track = PersonTrack(np.arange(frames), rotations, transl + SMPLX_PELVIS_M)
    return on_one_axis([track], camera_of(K[0, 0, 0], K[0, :2, 2], video), TOOL)
