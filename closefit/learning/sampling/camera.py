"""The virtual camera in front of sampled people: 4 m away, looking slightly down."""

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.geometry.camera import focal_from_fov, intrinsics
from closefit.learning.motions.floor import STANDING_QUANTILE, sole_heights, world_pose
from closefit.prior.view import View
from closefit.records import PairMotion
from closefit.simulation.cameras import NEAREST_M, camera_from_world

DISTANCE_M = 4.0
STATURE_M = 1.7
PITCH_DEG = 9.0
"""Mean pitch of the cameras that the prior was trained with; positive looks down."""

SIZE_WH = (640, 480)


def camera_matrix() -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the virtual camera, for images of `SIZE_WH`."""
    return intrinsics(*SIZE_WH, focal_from_fov(*SIZE_WH))


def expected_view() -> View:
    """View of people of whom nothing is known: in the middle of the image."""
    return View(
        R_view_cam=torch.eye(3)[None],
        size=torch.tensor([STATURE_M / DISTANCE_M]),
        pitch=torch.zeros(1),
    )


def rotation_from_world(yaw: float = 0.0) -> Float[Tensor, "3 3"]:
    """R_cam_world for a world with y up."""
    angles = (torch.tensor(angle) for angle in (yaw, math.radians(PITCH_DEG), 0.0))
    return camera_from_world(*angles)


def typical_floor() -> Float[np.ndarray, "4"]:
    """Level plane through a camera of typical pitch: unit up normal and offset 0."""
    return np.append(rotation_from_world()[:, 1].double().numpy(), 0.0)


def floor_under(pose: PairPose, body: Body) -> Float[np.ndarray, "4"]:
    """Floor below sampled people (`frame person`), level for a camera of typical pitch.

    The person who stands lowest stands on the floor, as in motion that is read from files.
    """
    world = pose.turned(rotation_from_world().to(pose.rotations).mT)
    floor = typical_floor()
    floor[3] = -np.quantile(sole_heights(world, body), STANDING_QUANTILE, axis=0).min()
    return floor


def film_from_the_side(motion: PairMotion) -> tuple[PairPose, Float[np.ndarray, "4"]]:
    """Put a person (axis of size 1) before the camera, facing mostly across the image.

    Partners are mostly in front of each other, so that from the side neither hides the other.

    Returns:
        The person in camera axes, as both people of the pair, and the world's floor there (up
        normal and offset).
    """
    pose = world_pose(motion)
    facing = pose.rotations[:, 0, 0, :, 2].mean(0)  # the body faces +z
    # The camera looks along -z at yaw 0; this yaw maps +x of the person to the image's right.
    R_cam_world = rotation_from_world(math.atan2(float(facing[2]), float(facing[0])))
    middle = pose.pelvis_m.mean((0, 1))
    seen = dataclasses.replace(pose, pelvis_m=pose.pelvis_m - middle).turned(R_cam_world)
    distance = max(DISTANCE_M, NEAREST_M - float(seen.pelvis_m[..., 2].min()))
    place = torch.tensor([0.0, 0.0, distance])
    seen = dataclasses.replace(seen, pelvis_m=seen.pelvis_m + place)
    up = R_cam_world[:, 1]
    offset = middle[1] - up @ place  # height of x is up . (x - place) + the middle's height
    both = seen.map(lambda values: values.expand(-1, 2, *values.shape[2:]))
    return both, torch.cat([up, offset[None]]).double().numpy()
