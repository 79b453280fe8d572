"""Both people's motion in the frame of the exported files: level, floor at height zero, y up.

Fitting works in the camera frame (x right, y down, z forward). Animation programs expect an upright
world, so exports turn the motion by the estimated floor: y up along the floor's normal, z towards
the camera, x to the right, the origin on the floor below the camera. Lengths stay metres.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from closefit.records import Motion

Z_UP_FROM_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns y-up coordinates into z-up ones: x right, y away from the camera, z up."""

MIN_VIEW_ALONG_FLOOR = 0.1
"""A camera that looks this straight down has no heading; the top of its image gives one."""


@dataclass(frozen=True, eq=False)
class SceneMotion:
    """Motion of both people in an upright world.

    Attributes:
        rotations: Local joint rotations; joint 0 maps the body frame to this world.
        pelvis: Position of joint 0 in metres.
    """

    rotations: Float[np.ndarray, "frame person 24 3 3"]
    pelvis: Float[np.ndarray, "frame person 3"]


def scene_from_camera(floor: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4 4"]:
    """Rigid transform from the camera frame to the scene (y up, floor at height zero).

    Args:
        floor: Plane in the camera frame: unit up normal and offset, height = normal . x + offset.
    """
    up = floor[:3].astype(np.float64) / np.linalg.norm(floor[:3])
    towards_camera = np.array([0.0, 0.0, -1.0])
    if np.linalg.norm(np.cross(up, towards_camera)) < MIN_VIEW_ALONG_FLOOR:
        towards_camera = np.array([0.0, 1.0, 0.0])
    right = np.cross(up, towards_camera)
    right /= np.linalg.norm(right)
    transform = np.eye(4)
    transform[:3, :3] = np.stack([right, up, np.cross(right, up)])
    transform[1, 3] = floor[3]
    return transform


def motion_in(motion: Motion, transform: Float[np.ndarray, "4 4"]) -> SceneMotion:
    """Move a motion from the camera frame by a rigid transform."""
    rotations = motion.rotations.astype(np.float64)
    rotations[:, :, 0] = transform[:3, :3] @ rotations[:, :, 0]
    pelvis = motion.joints[:, :, 0].astype(np.float64) @ transform[:3, :3].T + transform[:3, 3]
    return SceneMotion(rotations=rotations, pelvis=pelvis)
