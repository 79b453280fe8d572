"""Rotations and poses as a mirror shows them."""

from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import MIRROR


def mirrored_rotations(rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return rotations as a mirror shows them whose plane is x = 0."""
    signs = rotations.new_tensor([-1.0, 1.0, 1.0])
    return rotations * signs * signs[:, None]


def mirrored_pose(rotations: Float[Tensor, "*batch 24 3 3"]) -> Float[Tensor, "*batch 24 3 3"]:
    """Return local joint rotations of the mirrored person: left and right change places."""
    return mirrored_rotations(rotations[..., list(MIRROR), :, :])
