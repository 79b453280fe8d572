"""What the network denoises: pose, shape and place of both people, as one vector per frame."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import LEVELS, PARENTS
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

    @classmethod
    def stacked(cls, poses: Sequence["PairPose"]) -> "PairPose":
        """Put poses of one shape along a new first axis."""
        return cls(
            torch.stack([pose.rotations for pose in poses]),
            torch.stack([pose.betas for pose in poses]),
            torch.stack([pose.pelvis_m for pose in poses]),
        )


def encode(pose: PairPose, view: View) -> Float[Tensor, "*batch frame person 157"]:
    """Express people in the camera frame as the state of a window with this view.

    The pose part holds every joint's rotation in the view's frame and not against its parent:
    bones in the image depend on it directly, and joints are linear in it. A network learns that
    several times faster than turns of turns.
    """
    turned = view.turn[..., None, None, None, :, :] @ global_rotations(pose.rotations)
    pose_6d = matrix_to_6d(turned).flatten(-2)
    return torch.cat([pose_6d, pose.betas, view.place(pose.pelvis_m)], dim=-1)


def decode(state: Float[Tensor, "*batch frame person 157"], view: View) -> PairPose:
    """Invert `encode`; rotations are made orthonormal."""
    pose_6d, betas, place = state.split([POSE_SIZE, SHAPE_SIZE, PLACE_SIZE], dim=-1)
    turned = matrix_from_6d(pose_6d.unflatten(-1, (24, 6)))
    rotations = local_rotations(view.turn[..., None, None, None, :, :].mT @ turned)
    return PairPose(rotations, betas, view.position(place))


def global_rotations(
    rotations: Float[Tensor, "*batch 24 3 3"],
) -> Float[Tensor, "*batch 24 3 3"]:
    """Chain local joint rotations from the root outwards."""
    levels = [rotations[..., :1, :, :]]
    for above, level in itertools.pairwise(LEVELS):
        parents = [PARENTS[joint] - above[0] for joint in level]
        levels.append(levels[-1][..., parents, :, :] @ rotations[..., level, :, :])
    return torch.cat(levels, dim=-3)


def local_rotations(
    rotations: Float[Tensor, "*batch 24 3 3"],
) -> Float[Tensor, "*batch 24 3 3"]:
    """Invert `global_rotations`."""
    local = rotations[..., PARENTS[1:], :, :].mT @ rotations[..., 1:, :, :]
    return torch.cat([rotations[..., :1, :, :], local], dim=-3)
