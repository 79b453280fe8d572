"""CHI3D (Fieraru et al.): two people, SMPL-X, z up, metres, 50 fps.

A file per motion (`train/s02/smplx/Grab 1.json`): lists that are indexed by person, then frame:
`global_orient` (2, frame, 1, 3, 3) and `body_pose` (2, frame, 21, 3, 3) as rotation matrices,
`transl` (2, frame, 3), `betas` (2, frame, 10), fingers, face. Person 0 wears markers.
"""

import json
from pathlib import Path

import numpy as np

from closefit.learning.motions.arrays import damaged, same_length, take
from closefit.learning.motions.smpl_family import BODY_JOINTS, REST_PELVIS_M, SmplMotion

FPS = 50.0
FOLDER = "smplx"


def read_chi3d(path: Path) -> SmplMotion:
    """Read both people of one motion.

    Raises:
        InputError: The file is damaged or does not have this layout.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path) from error
    if not isinstance(content, dict):
        raise damaged(path)
    orient = take(content, "global_orient", [(2, None, 1, 3, 3)], path)[:, :, 0]
    pose = take(content, "body_pose", [(2, None, BODY_JOINTS, 3, 3)], path)
    transl = take(content, "transl", [(2, None, 3)], path)
    by_frame = {
        "global_orient": orient.swapaxes(0, 1),
        "body_pose": pose.swapaxes(0, 1),
        "transl": transl.swapaxes(0, 1),
    }
    same_length(by_frame, path)
    return SmplMotion(
        root=by_frame["global_orient"],
        body=by_frame["body_pose"],
        pelvis_m=by_frame["transl"] + np.array(REST_PELVIS_M["smplx"]),
        joints_m=None,
        up="z",
        fps=FPS,
        name=f"{path.parent.parent.name}/{path.stem}",
        origin=str(path),
    )
