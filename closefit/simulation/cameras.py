"""Virtual cameras for motion that was never filmed.

People in a world frame (y up, floor at 0) are seen by a random pinhole camera: any yaw, some pitch,
a little roll. The pair is put somewhere in an image of random shape and field of view, and fills
from a small part of its height to more than all of it.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.pose import PairPose
from closefit.boundary.ranges import Degrees, Ratio

NEAREST_M = 1.0
"""No pelvis comes nearer to the camera than this."""


@dataclass(frozen=True, kw_only=True)
class CameraRanges:
    """What cameras are drawn from."""

    pitch_deg: tuple[Degrees, Degrees] = (9.0, 9.0)
    """Mean and standard deviation; positive looks down."""
    roll_deg: Degrees = 2.0
    fov_deg: tuple[Degrees, Degrees] = (28.0, 80.0)
    aspects: tuple[Ratio, ...] = (16 / 9, 4 / 3, 1.0, 9 / 16, 2 / 3)
    stature_share: tuple[Ratio, Ratio] = (0.3, 1.25)
    """A standing adult's share of the image height."""


@dataclass(frozen=True, eq=False)
class Cameras:
    """Intrinsics of virtual cameras, in units of the image height.

    Attributes:
        focal: Focal length over image height.
        aspect: Width over height.
    """

    focal: Float[Tensor, " batch"]
    aspect: Float[Tensor, " batch"]

    def inside(
        self, keypoints: Float[Tensor, "batch frame person keypoint 2"]
    ) -> Bool[Tensor, "batch frame person keypoint"]:
        """Whether normalised keypoints lie in the image."""
        return (keypoints.abs() < self._edge).all(-1)

    def clamped(
        self, keypoints: Float[Tensor, "batch frame person keypoint 2"]
    ) -> Float[Tensor, "batch frame person keypoint 2"]:
        """Normalised keypoints, those outside the image moved to its edge."""
        return torch.minimum(torch.maximum(keypoints, -self._edge), self._edge)

    @property
    def _edge(self) -> Float[Tensor, "batch 1 1 1 2"]:
        """Half the size of the image on the plane z = 1."""
        half = torch.stack([0.5 * self.aspect, torch.full_like(self.aspect, 0.5)], dim=-1)
        return (half / self.focal[:, None])[:, None, None, None]


def film(
    world: PairPose, ranges: CameraRanges, generator: torch.Generator
) -> tuple[PairPose, Cameras]:
    """Put a batch of windows (`batch frame person`) before random cameras.

    Returns:
        The people in camera axes, and the cameras' intrinsics.
    """
    batch = world.pelvis_m.shape[0]

    def uniform(low: float, high: float) -> Float[Tensor, " batch"]:
        return low + (high - low) * torch.rand(batch, generator=generator)

    def normal(mean: float, std: float) -> Float[Tensor, " batch"]:
        return mean + std * torch.randn(batch, generator=generator)

    pitch = normal(*(math.radians(value) for value in ranges.pitch_deg))
    R_cam_world = camera_from_world(
        uniform(-math.pi, math.pi), pitch, normal(0.0, math.radians(ranges.roll_deg))
    )
    aspect = torch.tensor(ranges.aspects)[
        torch.randint(len(ranges.aspects), (batch,), generator=generator)
    ]
    fov = torch.deg2rad(uniform(*ranges.fov_deg))
    focal = (1.0 + aspect.square()).sqrt() / (2.0 * (0.5 * fov).tan())
    share = torch.exp(uniform(*(math.log(value) for value in ranges.stature_share)))
    distance = focal * 1.7 / share
    direction = (
        torch.stack([0.5 * aspect * normal(0.0, 0.3), 0.5 * normal(0.0, 0.2)], -1) / focal[:, None]
    )
    middle = world.pelvis_m.mean((1, 2), keepdim=True)
    centred = dataclasses.replace(world, pelvis_m=world.pelvis_m - middle)
    seen = centred.turned(R_cam_world[:, None, None])
    distance = torch.maximum(distance, NEAREST_M - seen.pelvis_m[..., 2].amin((1, 2)))
    place = torch.nn.functional.pad(direction, (0, 1), value=1.0) * distance[:, None]
    placed = dataclasses.replace(seen, pelvis_m=seen.pelvis_m + place[:, None, None])
    return placed, Cameras(focal, aspect)


def camera_from_world(
    yaw: Float[Tensor, "*batch"], pitch: Float[Tensor, "*batch"], roll: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotation from a world with y up to the axes of a camera (x right, y down, z forward).

    At zero angles the camera looks along the world's -z; `pitch` turns it down.
    """
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)

    def matrix(*entries: Tensor) -> Tensor:
        rows: Tensor = torch.stack(entries, -1).unflatten(-1, (3, 3))
        return rows

    cos, sin = yaw.cos(), yaw.sin()
    turned = matrix(cos, zero, sin, zero, one, zero, -sin, zero, cos)
    flip = matrix(one, zero, zero, zero, -one, zero, zero, zero, -one)
    cos, sin = pitch.cos(), pitch.sin()
    down = matrix(one, zero, zero, zero, cos, -sin, zero, sin, cos)
    cos, sin = roll.cos(), roll.sin()
    rolled = matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)
    return rolled @ down @ flip @ turned
