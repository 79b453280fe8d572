"""Clips of any length as overlapping windows, and back without seams."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from closefit.body.pose import PairPose
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.network import WINDOW

STRIDE = WINDOW // 2


@dataclass(frozen=True, eq=False)
class Windows:
    """Overlapping windows of a clip; the last one ends with the clip.

    Attributes:
        frames: Clip frame of every window position; a clip shorter than a window is padded.
        length: Frames of the padded clip.
        weight: Share of each position in its frame: least at the window's ends; all shares of a
            frame sum to 1.
    """

    frames: Int[Tensor, "window 16"]
    length: int
    weight: Float[Tensor, "window 16"]

    @classmethod
    def of(
        cls, num_frames: int, device: torch.device | str = "cpu", stride: int = STRIDE
    ) -> "Windows":
        """Cut a clip of at least one frame into windows that begin `stride` frames apart."""
        length = max(num_frames, WINDOW)
        starts = torch.arange(0, length - WINDOW, stride, device=device)
        starts = torch.cat([starts, starts.new_tensor([length - WINDOW])])
        frames = starts[:, None] + torch.arange(WINDOW, device=device)
        rise = torch.arange(1, WINDOW + 1, device=device, dtype=torch.float32)
        weight = torch.minimum(rise, rise.flip(0)).expand(frames.shape)
        total = torch.zeros(length, device=device).index_add_(0, frames.flatten(), weight.flatten())
        return cls(frames, length, weight / total[frames])

    def covering(self, start: int, stop: int) -> tuple[Int[Tensor, " chosen"], "Windows"]:
        """The windows that hold any of the frames from `start` to `stop`.

        Their frames are counted from the first frame of the first of them.
        """
        touches = (self.frames[:, 0] < stop) & (self.frames[:, -1] >= start)
        chosen = touches.nonzero()[:, 0]
        frames = self.frames[chosen] - self.frames[chosen[0], 0]
        return chosen, Windows(frames, int(frames[-1, -1]) + 1, self.weight[chosen])

    def cut(self, values: Shaped[Tensor, "*batch frame rest"], axis: int) -> Tensor:
        """Take windows out of a padded clip: the frame axis becomes `window 16`."""
        axis %= values.ndim
        chosen = values.index_select(axis, self.frames.flatten())
        windows: Tensor = chosen.unflatten(axis, self.frames.shape)
        return windows

    def blend(self, pose: PairPose) -> PairPose:
        """Merge windows (`*batch window 16 person`) into a clip (`*batch frame person`).

        Inverts `pose.map_frames(windows.cut)` for a motion without seams. Rotations are averaged as
        6D, positions in metres; shapes over the whole clip.
        """
        pose_6d = self._mean(matrix_to_6d(pose.rotations).flatten(-2))
        pelvis = self._mean(pose.pelvis_m)
        betas = pose.betas.flatten(-4, -3).mean(-3, keepdim=True)
        return PairPose(
            rotations=matrix_from_6d(pose_6d.unflatten(-1, (24, 6))),
            betas=betas.expand(*pelvis.shape[:-1], 10),
            pelvis_m=pelvis,
        )

    def _mean(
        self, values: Float[Tensor, "*batch window 16 person channel"]
    ) -> Float[Tensor, "*batch frame person channel"]:
        weighted = (values * self.weight[..., None, None]).flatten(-4, -3)
        shape = (*weighted.shape[:-3], self.length, *weighted.shape[-2:])
        return weighted.new_zeros(shape).index_add_(
            weighted.ndim - 3, self.frames.flatten(), weighted
        )


def pad_frames(values: Tensor, length: int) -> Tensor:
    """Append zeros to the first axis: frames in which nothing is observed."""
    missing = max(0, length - values.shape[0])
    return torch.cat([values, values.new_zeros(missing, *values.shape[1:])])


def extend_frames(values: Tensor, length: int) -> Tensor:
    """Repeat the last entry of the first axis up to `length`."""
    missing = max(0, length - values.shape[0])
    return torch.cat([values, values[-1:].expand(missing, *values.shape[1:])])
