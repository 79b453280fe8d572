"""Which of two overlapping people is nearer, judged from the image once appearance is learned.

Keypoints hardly constrain the depth order, and poses adapt to a wrong one. In the image, the nearer
person hides the other. Both orders are therefore fitted to everything but the image, for a short
segment at a time, and the order whose render is closer to the image is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.fit.floor import FloorPlane
from closefit.fit.objective import total
from closefit.fit.variables import MotionVariables
from closefit.optimize.loop import JointLoop
from closefit.optimize.motion_model import DEPTH_LR
from closefit.optimize.schedule import MARGIN

SEGMENT = 8
"""Most frames that are decided together."""

LEAST_SEGMENT = 3
LEAST_OVERLAP = 0.05
"""IoU of the two boxes from which one person may hide part of the other."""

REFIT_STEPS = 40

LEAST_GAIN = 0.01
"""The other order has to reduce the image loss by this share.

Measured on the rendered clips: where the order of `init` was wrong, the other one was better by
1.5 % or more in 38 of 41 segments; where it was right, worse by 4 % or more in all 28.
"""

CLEAR_M = 0.3
"""Metres. Two orders are compared at least this far apart. Swapping nearly equal depths changes
nothing that a picture could show: docs/experiments.md has the image losses of both."""

LEAST_DEPTH_M = 0.3
"""Nobody is moved nearer to the camera than this."""

SEGMENTS_AT_ONCE = 4
"""Segments compared between two progress reports."""

IMAGE_TERMS = ("rgb", "ssim", "silhouette", "lpips")

Segment = tuple[int, int]
"""First frame, and one past the last."""


def overlapping_segments(overlap: Float[np.ndarray, " frame"]) -> list[Segment]:
    """Cut runs of frames in which the two people overlap into short segments."""
    segments: list[Segment] = []
    start = 0
    for frame, value in enumerate([*overlap, 0.0]):
        hidden = value > LEAST_OVERLAP
        if (not hidden or frame - start == SEGMENT) and frame > start:
            segments.append((start, frame))
            start = frame
        if not hidden:
            start = frame + 1
    return [(first, stop) for first, stop in segments if stop - first >= LEAST_SEGMENT]


def swapped(motion: MotionVariables, segment: Segment) -> MotionVariables:
    """The motion with the two people's depths swapped; their positions in the image stay.

    Where they are nearly equal, they become `CLEAR_M` different on average.
    """
    flipped = motion.log_depth[slice(*segment)].flip(-1)
    depth = flipped.exp()
    gap = (depth[:, 0] - depth[:, 1]).mean()
    more = 0.5 * (CLEAR_M - gap.abs()) * torch.where(gap < 0, -1.0, 1.0)
    apart = (depth + torch.stack([more, -more])).clamp_min(LEAST_DEPTH_M).log()
    log_depth = motion.log_depth.clone()
    log_depth[slice(*segment)] = torch.where(gap.abs() < CLEAR_M, apart, flipped)
    return MotionVariables(motion.pose_6d, motion.pelvis_ray, log_depth, motion.betas)


@dataclass
class OrderState:
    """Segments compared so far, and the number of frames in which the order was swapped."""

    checked: int = 0
    swapped_frames: int = 0


class DepthOrderPhase:
    """The phase between appearance and joint optimisation that corrects depth orders."""

    def __init__(self, loop: JointLoop, segments: Sequence[Segment]) -> None:
        """Check `segments` of the motion that `loop` optimises on crops."""
        self.state = OrderState()
        self._loop = loop
        self._segments = segments

    @property
    def finished(self) -> bool:
        """All segments are checked."""
        return self.state.checked >= len(self._segments)

    def advance(self) -> None:
        """Check some segments; after the last, `loop` restarts from a corrected motion."""
        state, loop = self.state, self._loop
        segments = self._segments[state.checked : state.checked + SEGMENTS_AT_ONCE]
        loop.clock.start(counts=False)
        motion, found = self.corrected(loop.variables, segments)
        if found:
            loop.model.motion.move_to(motion)
        state.swapped_frames += sum(stop - start for start, stop in found)
        state.checked += len(segments)
        if self.finished and state.swapped_frames:
            loop.restart()

    def corrected(
        self, motion: MotionVariables, segments: Sequence[Segment]
    ) -> tuple[MotionVariables, list[Segment]]:
        """Swap depths where the image supports it.

        Returns:
            The motion, which differs in swapped segments only, and these segments.
        """
        found = []
        for segment in segments:
            as_is = self._refit(motion, segment)
            other = self._refit(swapped(motion, segment), segment)
            before, after = self._image_loss(as_is, segment), self._image_loss(other, segment)
            if after < (1.0 - LEAST_GAIN) * before:
                motion = other
                found.append(segment)
        return motion, found

    def _refit(self, motion: MotionVariables, segment: Segment) -> MotionVariables:
        """Fit poses and places of the segment to everything but the image, near `motion`."""
        loop, (first, stop) = self._loop, segment
        low, high = max(0, first - MARGIN), min(loop.clip.targets.num_frames, stop + MARGIN)
        start, targets = motion.cut(slice(low, high)), loop.clip.targets.cut(slice(low, high))
        floor = FloorPlane(*(value.detach() for value in loop.model.floor.tensors()))
        free = [values[first:stop].clone().requires_grad_() for values in motion.tensors()[:3]]
        lr = loop.config.lr_motion
        optimizer = torch.optim.Adam(
            [{"params": free[:1], "lr": lr}, {"params": free[1:], "lr": lr * DEPTH_LR}]
        )
        inside = slice(first - low, stop - low)
        for _ in range(REFIT_STEPS):
            moved = _with(start, inside, free)
            optimizer.zero_grad(set_to_none=True)
            terms, _ = loop.objective.poses(moved, start, floor, targets)
            total(terms).backward()
            optimizer.step()
        loop.clock.lap("depth order")
        return _with(motion, slice(first, stop), [values.detach() for values in free])

    @torch.no_grad()
    def _image_loss(self, motion: MotionVariables, segment: Segment) -> float:
        loop = self._loop
        assert loop.clip.crops is not None
        frames = torch.arange(*segment, device=motion.betas.device)
        shown = motion.cut(frames)
        terms, _ = loop.objective.appearance(
            loop.model.avatars,
            shown.rotations(),
            shown.betas,
            loop.objective.transl(shown),
            loop.clip.crops.cut(frames),
        )
        return float(sum(terms[name] for name in IMAGE_TERMS if name in terms))


def _with(motion: MotionVariables, frames: slice, values: Sequence[Tensor]) -> MotionVariables:
    """The motion with pose, ray and depth of some frames replaced."""
    pose, ray, depth = (
        torch.cat([whole[: frames.start], part, whole[frames.stop :]])
        for whole, part in zip(motion.tensors()[:3], values, strict=True)
    )
    return MotionVariables(pose, ray, depth, motion.betas)
