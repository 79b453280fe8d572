"""Rotations that closefit needs beyond `roma`: the continuous 6D form, and those about an axis."""

import roma
import torch
from jaxtyping import Float
from torch import Tensor


def matrix_from_6d(rotation_6d: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Build rotation matrices from their first two columns (Zhou et al., CVPR 2019).

    The six numbers are column 0, then column 1; they need not be orthonormal.
    """
    first, second = rotation_6d[..., :3], rotation_6d[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def matrix_to_6d(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """Take the first two columns of rotation matrices; inverse of `matrix_from_6d`."""
    return torch.cat([matrix[..., :, 0], matrix[..., :, 1]], dim=-1)


def about(axis: int, angle_rad: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Return rotations about a coordinate axis (0 to 2)."""
    vector = angle_rad.new_zeros(*angle_rad.shape, 3)
    vector[..., axis] = angle_rad
    rotation: Tensor = roma.rotvec_to_rotmat(vector)
    return rotation


def interpolate_rotations(
    before: Float[Tensor, "*#batch 3 3"],
    after: Float[Tensor, "*#batch 3 3"],
    share: Float[Tensor, "*#batch"],
) -> Float[Tensor, "*batch 3 3"]:
    """Rotations on the shortest way from `before` (share 0) to `after` (share 1)."""
    way = roma.rotmat_to_rotvec(before.mT @ after)
    turned: Tensor = before @ roma.rotvec_to_rotmat(share[..., None] * way)
    return turned


def rotation_between(
    start: Float[Tensor, "*batch 3"], end: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """The smallest rotation that turns direction `start` into direction `end`.

    The directions must not be opposite.
    """
    start, end = (torch.nn.functional.normalize(value, dim=-1) for value in (start, end))
    axis = torch.linalg.cross(start, end)
    angle = torch.atan2(axis.norm(dim=-1), (start * end).sum(-1))[..., None]
    turn: Tensor = roma.rotvec_to_rotmat(angle * torch.nn.functional.normalize(axis, dim=-1))
    return turn
