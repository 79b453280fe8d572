"""The vector that the network denoises: pose, shape and place of both people, for each frame."""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.pose import PairPose, global_rotations, local_rotations
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.view import View

POSE_SIZE = 24 * 6
SHAPE_SIZE = 10
PLACE_SIZE = 3
STATE_SIZE = POSE_SIZE + SHAPE_SIZE + PLACE_SIZE


def encode(pose: PairPose, view: View) -> Float[Tensor, "*batch frame person 157"]:
    """Express people in the camera frame as the state of a window with this view.

    Rotations are those of each joint in the view's frame, not relative to the parent: the
    direction of a bone in the image depends on one of them alone, and joint positions are linear in
    them. A network learns them several times faster than chains of local rotations.
    """
    in_view = view.R_view_cam[..., None, None, None, :, :] @ global_rotations(pose.rotations)
    pose_6d = matrix_to_6d(in_view).flatten(-2)
    return torch.cat([pose_6d, pose.betas, view.place(pose.pelvis_m)], dim=-1)


def decode(state: Float[Tensor, "*batch frame person 157"], view: View) -> PairPose:
    """Invert `encode`; rotations are made orthonormal."""
    pose_6d, betas, place = state.split([POSE_SIZE, SHAPE_SIZE, PLACE_SIZE], dim=-1)
    in_view = matrix_from_6d(pose_6d.unflatten(-1, (24, 6)))
    rotations = local_rotations(view.R_view_cam[..., None, None, None, :, :].mT @ in_view)
    return PairPose(rotations, betas, view.position(place))
