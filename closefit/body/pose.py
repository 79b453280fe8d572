"""Poses in memory: local joint rotations, shape and place of people, and what is done with them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.skeleton import LEVELS, MIRROR, PARENTS
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d

_REFLECTION = (-1.0, 1.0, 1.0)
_OWN_AXES = (3, 1, 1)
"""Number of axes after `person` in each field of `PairPose`."""


@dataclass(frozen=True, eq=False)
class PairPose:
    """Both people in one frame of reference (camera, view or world), metres.

    Attributes:
        rotations: Local joint rotations; joint 0 maps the body frame to the frame of reference.
        betas: Shape in every frame.
        pelvis_m: Position of joint 0.
    """

    rotations: Float[Tensor, "*batch frame person 24 3 3"]
    betas: Float[Tensor, "*batch frame person 10"]
    pelvis_m: Float[Tensor, "*batch frame person 3"]

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations, shapes, places."""
        return self.rotations, self.betas, self.pelvis_m

    @classmethod
    def joined(
        cls, poses: Sequence["PairPose"], join: Callable[[list[Tensor]], Tensor] = torch.stack
    ) -> "PairPose":
        """Join poses of one shape along a new first axis, or by `torch.cat` along the first one."""
        columns = zip(*(pose.tensors for pose in poses), strict=True)
        return cls(*(join(list(column)) for column in columns))

    def map(self, change: Callable[[Tensor], Tensor]) -> "PairPose":
        """Apply a function of the leading axes to all tensors."""
        return PairPose(*map(change, self.tensors))

    def map_frames(self, change: Callable[[Tensor, int], Tensor]) -> "PairPose":
        """Apply `change(values, axis)` to all tensors, where `axis` is that of the frames."""
        pairs = zip(self.tensors, _OWN_AXES, strict=True)
        return PairPose(*(change(values, -2 - own) for values, own in pairs))

    def where(self, mask: Bool[Tensor, "*#batch person"], other: "PairPose") -> "PairPose":
        """This pose where `mask` holds, `other` elsewhere; leading axes broadcast."""
        columns = zip(self.tensors, other.tensors, _OWN_AXES, strict=True)
        return PairPose(
            *(
                torch.where(mask.reshape(*mask.shape, *[1] * own), mine, theirs)
                for mine, theirs, own in columns
            )
        )

    def mean(self) -> "PairPose":
        """Mean over the first axis; rotations are averaged as 6D."""
        return PairPose(
            rotations=matrix_from_6d(matrix_to_6d(self.rotations).mean(0)),
            betas=self.betas.mean(0),
            pelvis_m=self.pelvis_m.mean(0),
        )

    def mirrored(self) -> "PairPose":
        """The people reflected in the plane x = 0."""
        return PairPose(
            rotations=mirrored_pose(self.rotations),
            betas=self.betas,
            pelvis_m=self.pelvis_m * self.pelvis_m.new_tensor(_REFLECTION),
        )

    def turned(self, R: Float[Tensor, "*#batch 3 3"]) -> "PairPose":
        """The people in a frame of reference that is reached by the rotation `R`."""
        root = R @ self.rotations[..., 0, :, :]
        rotations = torch.cat([root[..., None, :, :], self.rotations[..., 1:, :, :]], dim=-3)
        return PairPose(rotations, self.betas, (R @ self.pelvis_m[..., None])[..., 0])

    def transl(self, body: Body) -> Float[Tensor, "*batch frame person 3"]:
        """Translation as `Body.pose` takes it."""
        rest_pelvis = body.joints_template[0] + self.betas @ body.joints_dirs[0].T
        return self.pelvis_m - rest_pelvis


def mirrored_rotations(rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return rotations as a mirror in the plane x = 0 shows them."""
    signs = rotations.new_tensor(_REFLECTION)
    return rotations * signs * signs[:, None]


def mirrored_pose(rotations: Float[Tensor, "*batch 24 3 3"]) -> Float[Tensor, "*batch 24 3 3"]:
    """Return local joint rotations of the mirrored person: left and right are swapped."""
    return mirrored_rotations(rotations[..., list(MIRROR), :, :])


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
