"""What the network denoises: pose, shape and place of both people, as one vector per frame."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.view import View

POSE_SIZE = 24 * 6
SHAPE_SIZE = 10
PLACE_SIZE = 3
STATE_SIZE = POSE_SIZE + SHAPE_SIZE + PLACE_SIZE


@dataclass(frozen=True, eq=False)
class PairPose:
    """Both people in one frame of reference (camera or view), metres.

    Attributes:
        rotations: Local joint rotations; joint 0 maps the body frame to the frame of reference.
        betas: Shape in every frame.
        pelvis_m: Position of joint 0.
    """

    rotations: Float[Tensor, "*batch frame person 24 3 3"]
    betas: Float[Tensor, "*batch frame person 10"]
    pelvis_m: Float[Tensor, "*batch frame person 3"]


def encode(pose: PairPose, view: View) -> Float[Tensor, "*batch frame person 157"]:
    """Express people in the camera frame as the state of a window with this view."""
    root = view.turn[..., None, None, :, :] @ pose.rotations[..., 0, :, :]
    rotations = torch.cat([root[..., None, :, :], pose.rotations[..., 1:, :, :]], dim=-3)
    pose_6d = matrix_to_6d(rotations).flatten(-2)
    return torch.cat([pose_6d, pose.betas, view.place(pose.pelvis_m)], dim=-1)


def decode(state: Float[Tensor, "*batch frame person 157"], view: View) -> PairPose:
    """Invert `encode`; rotations are made orthonormal."""
    pose_6d, betas, place = state.split([POSE_SIZE, SHAPE_SIZE, PLACE_SIZE], dim=-1)
    rotations = matrix_from_6d(pose_6d.unflatten(-1, (24, 6)))
    root = view.turn[..., None, None, :, :].mT @ rotations[..., 0, :, :]
    rotations = torch.cat([root[..., None, :, :], rotations[..., 1:, :, :]], dim=-3)
    return PairPose(rotations, betas, view.position(place))
