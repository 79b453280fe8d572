"""The virtual camera that sees what is sampled: 4 m away, looking slightly down."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.geometry.camera import focal_from_fov, intrinsics
from closefit.learning.motions.floor import STANDING_QUANTILE, sole_heights
from closefit.learning.training.cameras import NEAREST_M, camera_from_world
from closefit.prior.state import PairPose
from closefit.prior.view import View
from closefit.records import PairMotion

DISTANCE_M = 4.0
STATURE_M = 1.7
PITCH_DEG = 9.0
"""Of the cameras that the prior was trained with, on average; positive looks down."""

SIZE_WH = (640, 480)


def camera_matrix() -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the virtual camera, for pictures of `SIZE_WH`."""
    return intrinsics(*SIZE_WH, focal_from_fov(*SIZE_WH))


def expected_view() -> View:
    """Where people are expected if nothing is known of them: in the middle of the picture."""
    return View(
        turn=torch.eye(3)[None],
        size=torch.tensor([STATURE_M / DISTANCE_M]),
        pitch=torch.zeros(1),
    )


def turn_from_world(yaw: float = 0.0) -> Float[Tensor, "3 3"]:
    """Rotation from the world (y up) to the camera's axes."""
    angles = (torch.tensor(angle) for angle in (yaw, math.radians(PITCH_DEG), 0.0))
    return camera_from_world(*angles)


def typical_floor() -> Float[np.ndarray, "4"]:
    """Level plane through a camera of typical pitch: unit up normal and offset 0."""
    up = turn_from_world()[:, 1].double().numpy()
    return np.append(up, 0.0)


def floor_under(pose: PairPose, body: Body) -> Float[np.ndarray, "4"]:
    """Floor below sampled people (`frame person`), level for a camera of the usual pitch.

    Whoever stands lowest does so on the floor, as in motion that is read from files.
    """
    turn = turn_from_world().to(pose.rotations)
    rotations = pose.rotations.clone()
    rotations[..., 0, :, :] = turn.mT @ rotations[..., 0, :, :]
    motion = PairMotion(
        rotations=rotations.numpy(),
        pelvis_m=(pose.pelvis_m @ turn).numpy(),
        betas=pose.betas[0].numpy(),
        fps=np.array(30.0),
        body_name=np.array(body.name),
        name=np.array("sample"),
    )
    lowest = np.quantile(sole_heights(motion, body), STANDING_QUANTILE, axis=0).min()
    floor = typical_floor()
    floor[3] = -lowest
    return floor


@dataclass(frozen=True, eq=False)
class Filmed:
    """One person before the virtual camera.

    Attributes:
        pose: The person in camera axes; the other one of the pair is a copy.
        floor: Up normal and offset of the world's floor in camera axes.
    """

    pose: PairPose
    floor: Float[np.ndarray, "4"]


def film_from_the_side(motion: PairMotion) -> Filmed:
    """Put a person (axis of size 1) before the camera so that he mostly faces across the picture.

    Partners are mostly in front of each other, so that a view from the side has neither hide the
    other.
    """
    rotations, pelvis, betas = (
        torch.from_numpy(np.asarray(array, dtype=np.float32))
        for array in (motion.rotations, motion.pelvis_m, motion.betas)
    )
    facing = rotations[:, 0, 0, :, 2].mean(0)  # the body faces +z
    # The camera looks along -z at yaw 0; this yaw turns what faces +x to the picture's right.
    yaw = math.atan2(float(facing[2]), float(facing[0]))
    turn = turn_from_world(yaw)
    middle = pelvis.mean((0, 1))
    about = (pelvis - middle) @ turn.mT
    distance = max(DISTANCE_M, NEAREST_M - float(about[..., 2].min()))
    place = torch.tensor([0.0, 0.0, distance])
    rotations = rotations.clone()
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    pose = PairPose(
        rotations=rotations.expand(-1, 2, -1, -1, -1),
        betas=betas.expand(len(rotations), 2, -1),
        pelvis_m=(about + place).expand(-1, 2, -1),
    )
    up = turn[:, 1]
    offset = middle[1] - up @ place  # height of x is up . (x - place) + the middle's height
    return Filmed(pose, torch.cat([up, offset[None]]).double().numpy())
