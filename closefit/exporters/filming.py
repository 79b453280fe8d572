"""The motion as each frame's camera sees it, where the camera turns."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from closefit.geometry.camera_path import CameraPath
from closefit.records import Motion

M = TypeVar("M", bound=Motion)


def seen_by(motion: M, camera: CameraPath) -> M:
    """Return a motion before the still camera in the axes of each frame's camera.

    Its floor stays that of the still camera (`floors_before`). A camera that stands still leaves
    the motion as it is.
    """
    if not camera.moves:
        return motion
    turns = camera.R[:, None]
    rotations = motion.rotations.astype(np.float64)
    rotations[:, :, 0] = turns @ rotations[:, :, 0]
    joints = motion.joints @ turns.swapaxes(-1, -2)
    # SMPL turns about the pelvis of the rest pose: its place is not turned.
    rest_pelvis = motion.joints[:, :, 0].astype(np.float64) - motion.transl
    return replace(
        motion,
        rotations=rotations.astype(np.float32),
        joints=joints.astype(np.float32),
        transl=(joints[:, :, 0] - rest_pelvis).astype(np.float32),
        K=camera.K.astype(np.float32),
    )


def floors_before(
    floor: Float[np.ndarray, "4"], camera: CameraPath
) -> Float[np.ndarray, "*frame 4"]:
    """Return the floor before each frame's camera; one plane where the camera stands still."""
    if not camera.moves:
        return floor
    offset = np.full((len(camera.R), 1), floor[3])
    floors: Float[np.ndarray, "frame 4"] = np.concatenate([camera.R @ floor[:3], offset], axis=-1)
    return floors


def scene_from_frames(
    T_scene_camera: Float[np.ndarray, "4 4"], camera: CameraPath
) -> Float[np.ndarray, "*frame 4 4"]:
    """Return transforms from each frame's camera to the scene; one where it stands still."""
    if not camera.moves:
        return T_scene_camera
    back = np.tile(np.eye(4), (len(camera.R), 1, 1))
    back[:, :3, :3] = camera.R.swapaxes(-1, -2)
    transforms: Float[np.ndarray, "frame 4 4"] = T_scene_camera @ back
    return transforms
