"""Parametrisations of the motion for the joint optimisation.

Own variables move each frame by itself. The weights of the prior move all frames together, along
directions that the prior learned from human motion (paper section 3.3). Both can act at once.
"""

from typing import Any, Literal, Protocol, runtime_checkable

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

Finetuned = Literal["prior", "both", "answer"]
"""What moves besides the shape, and where the motion begins.

`prior`: the prior's weights; the change of their answer is added to the start, where the motion
begins. `both`: pose and place of every frame, too: weights alone mostly move a whole person.
`answer`: weights; the answer itself is the motion, as in the paper, and begins near the start only.
"""


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
        """Everything that steps change."""
        ...

    def fixed(self) -> list[Tensor]:
        """What else defines the motion: only `move_to` changes it."""
        ...

    def move_to(self, motion: MotionVariables) -> None:
        """Become another motion of the same clip, before the first step."""
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

    def fixed(self) -> list[Tensor]:
        """Nothing."""
        return []

    @torch.no_grad()
    def move_to(self, motion: MotionVariables) -> None:
        """Take the values of another motion of the same clip."""
        for mine, other in zip(self.tensors(), motion.tensors(), strict=True):
            mine.copy_(other)


class PriorMotion:
    """The prior's answer to a fixed noisy copy of the start, while its weights are finetuned.

    The start is diffused once to the lowest sampling level (x1 of paper section 3.3). Shape is one
    per person and stays a variable.
    """

    def __init__(
        self,
        network: Denoiser,
        start: MotionVariables,
        targets: KeypointTargets,
        lr_prior: float,
        lr: float,
        seed: int,
        kind: Finetuned = "prior",
    ) -> None:
        """Prepare x1 and the network's first answer.

        Args:
            network: Trained prior; it is finetuned in place.
            start: Motion found by init.
            targets: Observed keypoints: the conditions.
            lr_prior: Learning rate of the weights.
            lr: Learning rate of the shape, and of pose and place where these are variables.
            seed: Seed of the noise in x1.
            kind: What moves.
        """
        self._network = network.eval().requires_grad_(True)
        self._own, self._kind = DirectMotion(start, lr), kind
        for tensor in self._held():
            tensor.requires_grad_(False)
        self._lr_prior, self._seed = lr_prior, seed
        self._num_frames = targets.num_frames
        self._times = clip_times(targets.num_frames, targets.fps)
        self._sampler = ClipSampler(network, keypoints_at(targets, self._times))
        with torch.no_grad():
            self._x1 = self._diffused()
            self._first = self._first_answer()

    def at(self, start: int, stop: int) -> MotionVariables:
        """The motion of a window of frames, with gradients."""
        pose, ray, depth = self._output(start, stop)
        own = self._own.at(start, stop)
        if self._kind == "answer":
            return MotionVariables(pose, ray, depth, own.betas)
        first_pose, first_ray, first_depth = (values[start:stop] for values in self._first)
        return MotionVariables(
            own.pose_6d + pose - first_pose,
            own.pelvis_ray + ray - first_ray,
            own.log_depth + depth - first_depth,
            own.betas,
        )

    def groups(self) -> list[dict[str, Any]]:
        """Weights; pose and place with `both`; shape."""
        own = self._own.groups()
        weights = {
            "params": list(self._network.parameters()),
            "lr": self._lr_prior,
            "fused": True,  # a third of the time for five million numbers
        }
        return [weights, *(own if self._kind == "both" else own[-1:])]

    def tensors(self) -> list[Tensor]:
        """Weights; pose and place with `both`; shape."""
        own = self._own.tensors()
        return [*self._network.parameters(), *(own if self._kind == "both" else own[-1:])]

    def fixed(self) -> list[Tensor]:
        """Noisy start, first answer; pose and place of the start where these do not move."""
        return [self._x1, *self._first, *self._held()]

    @torch.no_grad()
    def move_to(self, motion: MotionVariables) -> None:
        """Begin at another motion of the same clip: with x1 and the answer of that one."""
        self._own.move_to(motion)
        self._x1.copy_(self._diffused())
        for mine, other in zip(self._first, self._first_answer(), strict=True):
            mine.copy_(other)

    def _held(self) -> list[Tensor]:
        """Own variables that steps do not change."""
        return [] if self._kind == "both" else self._own.tensors()[:3]

    def _diffused(self) -> Float[Tensor, "1 window 16 2 157"]:
        """The start as the prior's state, with noise of the lowest timestep."""
        start = self._own.at(0, self._num_frames)
        x0 = self._sampler.encode(self._sampler.padded(pose_at(pose_of(start), self._times)))
        noise = self._sampler.noise(1, torch.Generator().manual_seed(self._seed))
        return diffuse(x0, noise, torch.full((1,), LOWEST_TIMESTEP, device=x0.device))

    def _first_answer(self) -> list[Tensor]:
        """Pose 6D, pelvis ray and log depth of the whole clip as the network answers now."""
        chunks = range(0, self._num_frames, CHUNK)
        answers = [self._output(first, min(first + CHUNK, self._num_frames)) for first in chunks]
        return [torch.cat(parts) for parts in zip(*answers, strict=True)]

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
