"""Results of GVHMR: `hmr4d_results.pt`, which `tools/demo/demo.py` writes, one person per file.

A PyTorch file with a dictionary of

- `smpl_params_incam`: SMPL-X in the camera frame (OpenCV axes): `global_orient` (F, 3) and
  `body_pose` (F, 63) axis-angle, `transl` (F, 3) metres, `betas` (F, 10);
- `K_fullimg` (F, 3, 3): the intrinsics it assumed;
- `smpl_params_global` (a world with gravity along -y) and `net_outputs`: not used.

It goes frame by frame, so row i is the video's frame i. For two people, put both files into one
folder (under any names, or in subfolders) and pass the folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closefit.imports.estimates.tracks import (
    SHARED_JOINTS,
    SMPLX_PELVIS_M,
    PersonTrack,
    camera_of,
    entry,
    from_axis_angle,
    numbers,
    on_one_axis,
)
from closefit.records import PersonEstimates, VideoInfo

TOOL = "GVHMR"


def is_result(content: object) -> bool:
    """Whether the content of a PyTorch file has this layout."""
    return isinstance(content, Mapping) and "smpl_params_incam" in content


def read(path: Path, content: Mapping[str, Any], video: VideoInfo) -> PersonEstimates:
    """Read the person of a loaded result.

    Raises:
        InputError: It is not as documented.
    """
    params = entry(path, content, "smpl_params_incam")
    orient = numbers(path, "global_orient", entry(path, params, "global_orient"), None, 3)
    frames = len(orient)
    columns = 3 * (SHARED_JOINTS - 1)
    pose = numbers(path, "body_pose", entry(path, params, "body_pose"), frames, columns)
    transl = numbers(path, "transl", entry(path, params, "transl"), frames, 3)
    K = numbers(path, "K_fullimg", entry(path, content, "K_fullimg"), frames, 3, 3)
    if frames == 0:
        numbers(path, "global_orient", orient, 1, 3)
    track = PersonTrack(
        np.arange(frames),
        from_axis_angle(np.concatenate([orient, pose], axis=1)),
        transl + np.array(SMPLX_PELVIS_M),
    )
    camera = camera_of(path, float(K[0, 0, 0]), K[0, :2, 2], video)
    return on_one_axis([track], camera, TOOL)
