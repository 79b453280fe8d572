"""The variables of a fit, in coordinates that suit an optimiser."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d


@dataclass(eq=False)
class MotionVariables:
    """Pose, place and shape of both people; leading axes may hold hypotheses.

    Attributes:
        pose_6d: Local joint rotations; joint 0 maps the body frame to the camera frame.
        pelvis_ray: Pelvis position over its depth, x/z and y/z, which pixels determine directly.
        log_depth: Logarithm of the pelvis depth in metres, which only size and context determine.
        betas: Shape coefficients, one set per person for the whole clip.
    """

    pose_6d: Float[Tensor, "*batch person 24 6"]
    pelvis_ray: Float[Tensor, "*batch person 2"]
    log_depth: Float[Tensor, "*batch person"]
    betas: Float[Tensor, "person 10"]

    def tensors(self) -> list[Tensor]:
        """All variables, pose first."""
        return [self.pose_6d, self.pelvis_ray, self.log_depth, self.betas]

    def detached(self) -> "MotionVariables":
        """A copy without gradient history, to be optimised."""
        copies = (value.detach().clone().requires_grad_() for value in self.tensors())
        return MotionVariables(*copies)

    def cut(self, frames: slice | Tensor) -> "MotionVariables":
        """The same variables, some frames only; shape is shared by all frames."""
        return MotionVariables(
            self.pose_6d[frames], self.pelvis_ray[frames], self.log_depth[frames], self.betas
        )

    def pelvis(self) -> Float[Tensor, "*batch person 3"]:
        """Pelvis position in the camera frame, metres."""
        depth = self.log_depth.exp()[..., None]
        return torch.cat([self.pelvis_ray * depth, depth], dim=-1)

    def rotations(self) -> Float[Tensor, "*batch person 24 3 3"]:
        """Local joint rotation matrices."""
        return matrix_from_6d(self.pose_6d)

    def transl(self, body: Body) -> Float[Tensor, "*batch person 3"]:
        """Translation as `Body.pose` takes it: joint 0 ends at `pelvis()`."""
        return self.pelvis() - rest_pelvis(body, self.betas)


def rest_pelvis(body: Body, betas: Float[Tensor, "person 10"]) -> Float[Tensor, "person 3"]:
    """Pelvis of the shaped rest body."""
    return body.joints_template[0] + betas @ body.joints_dirs[0].T


def variables_from_motion(
    rotations: Float[Tensor, "frame person 24 3 3"],
    betas: Float[Tensor, "person 10"],
    transl: Float[Tensor, "frame person 3"],
    body: Body,
) -> MotionVariables:
    """Inverse of `rotations()` and `transl()` (depths must be positive)."""
    pelvis = transl + rest_pelvis(body, betas)
    depth = pelvis[..., 2]
    return MotionVariables(
        pose_6d=matrix_to_6d(rotations),
        pelvis_ray=pelvis[..., :2] / depth[..., None],
        log_depth=depth.log(),
        betas=betas,
    )
