"""Two parametrisations of the motion for the joint optimisation.

Both start exactly at the motion that `init` found. Own variables move each frame by itself. The
weights of the prior move all frames together, along directions that the prior learned from human
motion (paper section 3.3).
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.fit.prior_clip import clip_times, frame_times, keypoints_at, pose_of
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.geometry.rotations import matrix_to_6d
from closefit.prior.diffusion import LOWEST_TIMESTEP, diffuse
from closefit.prior.network import Denoiser
from closefit.prior.sampling import ClipSampler
from closefit.prior.timing import pose_at

DEPTH_LR, SHAPE_LR = 0.5, 0.5
"""Learning rates of place and of shape over that of the pose."""

CHUNK = 64
"""Frames that the network computes at once at the start."""

LEAST_DEPTH_M = 0.1


@runtime_checkable
class MotionModel(Protocol):
    """A motion of the whole clip that an optimiser can change."""

    def at(self, start: int, stop: int) -> MotionVariables:
        """The motion of a window of frames, with gradients."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser."""
        ...

    def tensors(self) -> list[Tensor]:
        """Everything that changes."""
        ...


class DirectMotion:
    """Pose, place and shape as variables: the paper's row "w/o proxemics"."""

    def __init__(self, start: MotionVariables, lr: float) -> None:
        """Start at a motion."""
        self._variables = start.detached()
        self._lr = lr

    def at(self, start: int, stop: int) -> MotionVariables:
        """The motion of a window of frames, with gradients."""
        return self._variables.cut(slice(start, stop))

    def groups(self) -> list[dict[str, Any]]:
        """Pose, place, shape."""
        v = self._variables
        return [
            {"params": [v.pose_6d], "lr": self._lr},
            {"params": [v.pelvis_ray, v.log_depth], "lr": self._lr * DEPTH_LR},
            {"params": [v.betas], "lr": self._lr * SHAPE_LR},
        ]

    def tensors(self) -> list[Tensor]:
        """Pose, place, shape."""
        return self._variables.tensors()

    @torch.no_grad()
    def move_to(self, motion: MotionVariables) -> None:
        """Take the values of another motion of the same clip."""
        for mine, other in zip(self.tensors(), motion.tensors(), strict=True):
            mine.copy_(other)


class PriorMotion:
    """The prior's output for a fixed noisy copy of the start, while its weights are finetuned.

    The start is diffused once to the lowest sampling level (x1 of paper section 3.3). The change of
    the network's output against its first output is added to the start, so that the motion begins
    at the start. Shape is one per person and stays a variable.
    """

    def __init__(
        self,
        network: Denoiser,
        start: MotionVariables,
        targets: KeypointTargets,
        lr_prior: float,
        lr: float,
        seed: int,
    ) -> None:
        """Prepare x1 and the network's first output.

        Args:
            network: Trained prior; it is finetuned in place.
            start: Motion found by init.
            targets: Observed keypoints: the conditions.
            lr_prior: Learning rate of the weights.
            lr: Learning rate of the shape.
            seed: Seed of the noise in x1.
        """
        self._network = network.eval().requires_grad_(True)
        self._start = MotionVariables(*(tensor.detach() for tensor in start.tensors()))
        self._betas = start.betas.detach().clone().requires_grad_()
        self._lr_prior, self._lr = lr_prior, lr
        self._num_frames = targets.num_frames
        self._times = clip_times(targets.num_frames, targets.fps)
        self._sampler = ClipSampler(network, keypoints_at(targets, self._times))
        self._x1 = self._diffused(seed)
        with torch.no_grad():
            chunks = range(0, self._num_frames, CHUNK)
            outputs = [
                self._output(first, min(first + CHUNK, self._num_frames)) for first in chunks
            ]
        self._first = [torch.cat(parts) for parts in zip(*outputs, strict=True)]

    def at(self, start: int, stop: int) -> MotionVariables:
        """The motion of a window of frames, with gradients."""
        pose, ray, depth = (
            now - first[start:stop]
            for now, first in zip(self._output(start, stop), self._first, strict=True)
        )
        origin = self._start.cut(slice(start, stop))
        return MotionVariables(
            origin.pose_6d + pose, origin.pelvis_ray + ray, origin.log_depth + depth, self._betas
        )

    def groups(self) -> list[dict[str, Any]]:
        """Weights, shape."""
        return [
            {"params": list(self._network.parameters()), "lr": self._lr_prior},
            {"params": [self._betas], "lr": self._lr * SHAPE_LR},
        ]

    def tensors(self) -> list[Tensor]:
        """Weights, shape."""
        return [*self._network.parameters(), self._betas]

    def _diffused(self, seed: int) -> Float[Tensor, "1 window 16 2 157"]:
        """The start as the prior's state, with noise of the lowest timestep."""
        sampled = pose_at(pose_of(self._start), self._times)
        x0 = self._sampler.encode(self._sampler.padded(sampled))
        noise = self._sampler.noise(1, torch.Generator().manual_seed(seed))
        return diffuse(x0, noise, torch.full((1,), LOWEST_TIMESTEP, device=x0.device))

    def _output(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pose 6D, pelvis ray and log depth of a window of the clip."""
        where = frame_times(self._num_frames, len(self._times))[start:stop]
        first, last = int(where[0]), min(int(where[-1]) + 1, len(self._times) - 1)
        pose = pose_at(
            self._sampler.predict_frames(self._x1, LOWEST_TIMESTEP, first, last + 1), where - first
        )
        depth = pose.pelvis_m[..., 2:].clamp_min(LEAST_DEPTH_M)
        return (
            matrix_to_6d(pose.rotations),
            pose.pelvis_m[..., :2] / depth,
            depth[..., 0].log(),
        )
