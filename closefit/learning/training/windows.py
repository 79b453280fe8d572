"""Windows of motion in the world frame, drawn at random from memory-mapped shards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.boundary.ranges import Ratio, Share, Weight
from closefit.geometry.rotations import matrix_from_6d
from closefit.learning.motions.shards import MotionShards
from closefit.prior.network import WINDOW


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Changes to a window that keep it a plausible motion.

    Attributes:
        pace: Range of factors on the speed.
        mirror_probability: Left and right swapped.
        shape_std: Standard deviation added to every shape coefficient of motion whose people all
            have one shape (retargeted from a generic skeleton); motion with shapes of its own
            keeps them.
        partner_std: Standard deviation of what is added to one person's shape only.
    """

    pace: tuple[Ratio, Ratio] = (0.7, 1.35)
    mirror_probability: Share = 0.5
    shape_std: Weight = 1.0
    partner_std: Weight = 0.4


class WindowSource:
    """Draws windows from several shards, each with its own share of the draws."""

    def __init__(self, shards: Sequence[MotionShards], shares: Sequence[float], body: Body) -> None:
        """Prepare.

        Args:
            shards: At least one, none empty.
            shares: How often each is drawn from; any positive scale.
            body: Body that the motion is for.
        """
        self._shards = shards
        self._height = PelvisHeight(body)
        self._one_shape = [
            bool(np.ptp(s.betas.reshape(-1, 10), axis=0).max() < 1e-3) for s in shards
        ]
        self._shares = torch.tensor(shares, dtype=torch.float64)
        self._lengths = [torch.as_tensor(s.stops - s.starts, dtype=torch.float64) for s in shards]

    @property
    def hours(self) -> float:
        """Hours of motion at 30 fps in all shards."""
        return sum(float(lengths.sum()) for lengths in self._lengths) / 30.0 / 3600.0

    def draw(self, count: int, augmentation: Augmentation, generator: torch.Generator) -> PairPose:
        """Draw windows (`batch 16 2 ...`) in the world frame; the pair starts at x = z = 0."""
        which = torch.multinomial(self._shares, count, replacement=True, generator=generator)
        parts = [
            self._draw_from(index, int((which == index).sum()), augmentation, generator)
            for index in which.unique().tolist()
        ]
        return PairPose.joined(parts, torch.cat)

    def _draw_from(
        self, index: int, count: int, augmentation: Augmentation, generator: torch.Generator
    ) -> PairPose:
        shard, lengths = self._shards[index], self._lengths[index]
        clip = torch.multinomial(lengths, count, replacement=True, generator=generator)
        low, high = augmentation.pace
        pace = low + (high - low) * torch.rand(count, generator=generator)
        room = (lengths[clip] - 1.0).float()
        span = torch.minimum(pace * (WINDOW - 1), room)
        first = (room - span) * torch.rand(count, generator=generator)
        times = first[:, None] + span[:, None] * torch.linspace(0.0, 1.0, WINDOW)
        times = torch.minimum(times, room[:, None])  # rounding must not leave the clip
        starts = torch.as_tensor(shard.starts, dtype=torch.int64)[clip]
        pose_6d, pelvis = interpolate(shard, starts, times)
        rotations = matrix_from_6d(pose_6d)
        betas = torch.as_tensor(np.asarray(shard.betas), dtype=torch.float32)[clip]
        if self._one_shape[index]:
            betas, pelvis = self._reshaped(betas, pelvis, augmentation, generator)
        pose = PairPose(rotations, betas[:, None].expand(-1, WINDOW, -1, -1), pelvis)
        flip = torch.rand(count, generator=generator) < augmentation.mirror_probability
        pose = pose.mirrored().where(flip[:, None, None], pose)
        start = pose.pelvis_m[:, :1].mean(2, keepdim=True) * torch.tensor([1.0, 0.0, 1.0])
        return replace(pose, pelvis_m=pose.pelvis_m - start)

    def _reshaped(
        self,
        betas: Float[Tensor, "batch 2 10"],
        pelvis_m: Float[Tensor, "batch 16 2 3"],
        augmentation: Augmentation,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "batch 2 10"], Float[Tensor, "batch 16 2 3"]]:
        """Give both people other shapes; the scene grows with the mean of their legs."""
        both = augmentation.shape_std * torch.randn(len(betas), 1, 10, generator=generator)
        each = augmentation.partner_std * torch.randn(len(betas), 2, 10, generator=generator)
        changed = betas + both + each
        growth = self._height(changed) / self._height(betas)
        ground = growth.mean(1, keepdim=True).expand_as(growth)
        factor = torch.stack([ground, growth, ground], dim=-1)
        return changed, pelvis_m * factor[:, None]


class PelvisHeight:
    """Height of the pelvis above the soles of a standing body, as a function of its shape."""

    def __init__(self, body: Body) -> None:
        """Find the lowest vertex once."""
        lowest = int(body.v_template[:, 1].argmin())
        self._mean = body.joints_template[0, 1] - body.v_template[lowest, 1]
        self._directions = body.joints_dirs[0, 1] - body.shapedirs[lowest, 1]

    def __call__(self, betas: Float[Tensor, "*batch 10"]) -> Float[Tensor, "*batch"]:
        """Height in metres."""
        return self._mean + betas @ self._directions


def interpolate(
    shard: MotionShards, starts: Int[Tensor, " batch"], times: Float[Tensor, "batch frame"]
) -> tuple[Float32[Tensor, "batch frame 2 24 6"], Float32[Tensor, "batch frame 2 3"]]:
    """Read a shard at fractional frames, counted from `starts`; neighbours are blended."""
    below = times.floor()
    share = (times - below)[..., None, None]
    rows = (starts[:, None] + below.long()).numpy()
    next_rows = rows + (share[..., 0, 0].numpy() > 0)

    def read(array: np.ndarray, row: np.ndarray) -> Float32[Tensor, "..."]:
        return torch.as_tensor(np.asarray(array[row], dtype=np.float32))

    pose = torch.lerp(
        read(shard.rotations_6d, rows), read(shard.rotations_6d, next_rows), share[..., None]
    )
    return pose, torch.lerp(read(shard.pelvis_m, rows), read(shard.pelvis_m, next_rows), share)
