"""The floor that both people share: it relates height in the image to depth."""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.fit.weights import CAMERA_PITCH, CAMERA_PITCH_SIGMA, CAMERA_ROLL_SIGMA
from closefit.geometry.constants import constant


def typical_up(device: torch.device) -> Float[Tensor, "3"]:
    """Up direction in the camera frame of a camera that looks slightly down."""
    up = torch.tensor([0.0, -1.0, CAMERA_PITCH], device=device)
    return torch.nn.functional.normalize(up, dim=0)


class FloorPlane:
    """The shared floor as two slopes and an offset that an optimiser can move."""

    def __init__(self, slopes: Float[Tensor, "2"], offset: Float[Tensor, ""]) -> None:
        """Hold slopes (x and z of the normal over its -y) and the offset in metres."""
        self.slopes = slopes
        self.offset = offset

    @classmethod
    def from_plane(cls, plane: Float[Tensor, "4"]) -> "FloorPlane":
        """Variables from a plane, for normals that point up in the image; inverse of `plane()`."""
        slopes, offset = plane[[0, 2]] / -plane[1], plane[3]
        return cls(*(value.detach().clone().requires_grad_() for value in (slopes, offset)))

    def tensors(self) -> list[Tensor]:
        """What an optimiser moves."""
        return [self.slopes, self.offset]

    def scaled(self, factor: Float[Tensor, ""]) -> "FloorPlane":
        """The floor of a scene `factor` times as large, as seen by the same camera."""
        return FloorPlane(self.slopes, self.offset * factor)

    def plane(self) -> Float[Tensor, "4"]:
        """Unit up normal and offset: height of x = normal . x + offset."""
        down = -torch.ones_like(self.offset)
        normal = torch.stack([self.slopes[0], down, self.slopes[1]])
        return torch.cat([normal / normal.norm(), self.offset[None]])

    def energy(self) -> Float[Tensor, ""]:
        """Cameras are rarely rolled and mostly look slightly down."""
        spread = constant((CAMERA_ROLL_SIGMA, CAMERA_PITCH_SIGMA), self.slopes)
        mean = constant((0.0, CAMERA_PITCH), self.slopes)
        return 0.5 * ((self.slopes - mean) / spread).square().sum()
