"""Hi4D (Yin et al.): two people, SMPL, y up, metres, 30 fps.

A folder per motion (`pair00/action00`) with one file per frame, `smpl/000001.npz`: `global_orient`
(2, 3), `body_pose` (2, 69) axis-angle, `transl` (2, 3), `betas` (2, 10), `joints_3d` (2, 24, 3) and
more that is not read.
"""

from pathlib import Path

import numpy as np

from closefit.errors import InputError
from closefit.learning.motions.arrays import read_npz, take
from closefit.learning.motions.smpl_family import BODY_JOINTS, REST_PELVIS_M, SmplMotion, matrices

FPS = 30.0
FRAMES = "smpl"
"""Folder of a motion's frames."""

SHAPES = {"global_orient": (2, 3), "body_pose": (2, 69), "transl": (2, 3)}


def frame_files(folder: Path) -> list[Path]:
    """Files of a motion's frames, in order."""
    return sorted(path for path in (folder / FRAMES).glob("*.npz") if path.stem.isdigit())


def read_hi4d(folder: Path) -> SmplMotion:
    """Read both people of one motion.

    Raises:
        InputError: A file is missing, damaged or does not have this layout.
    """
    files = frame_files(folder)
    numbers = [int(path.stem) for path in files]
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers else [1]
    if missing:
        raise InputError(
            f"`{folder / FRAMES}` lacks frame {missing[0]}",
            hint="fetch the folder again, or keep only frames that follow each other",
        )
    frames = [read_npz(path) for path in files]
    orient, pose, transl = (
        np.stack([take(f, key, [shape], path) for f, path in zip(frames, files, strict=True)])
        for key, shape in SHAPES.items()
    )
    joints = frames[0].get("joints_3d")
    turned = matrices(pose.reshape(len(files), 2, 23, 3)[:, :, :BODY_JOINTS])
    has_joints = joints is not None
    return SmplMotion(
        root=matrices(orient),
        body=turned,
        pelvis_m=_pelvis(frames, files) if has_joints else transl + REST_PELVIS_M["smpl"],
        joints_m=take(frames[0], "joints_3d", [(2, 24, 3)], files[0]) if has_joints else None,
        up="y",
        fps=FPS,
        name=f"{folder.parent.name}/{folder.name}",
        origin=str(folder),
    )


def _pelvis(frames: list[dict[str, np.ndarray]], files: list[Path]) -> np.ndarray:
    """Pelvis positions, where the files have joints."""
    shape = (2, 24, 3)
    return np.stack(
        [take(f, "joints_3d", [shape], path)[:, 0] for f, path in zip(frames, files, strict=True)]
    )
