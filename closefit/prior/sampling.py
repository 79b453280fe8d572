"""Sampling both people's motion for a whole clip: all windows in one batch, one result."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.conditions import Conditions
from closefit.prior.diffusion import SAMPLING_LEVELS, diffuse, sample
from closefit.prior.network import Denoiser
from closefit.prior.state import STATE_SIZE, PairPose, decode, encode
from closefit.prior.view import View
from closefit.prior.windows import STRIDE, Windows, pad_frames

REFINING_LEVELS = (20, 0)
"""Noise levels through which a given motion goes: its gist is kept, and what the prior knows of
pairs is added."""

CHUNK = 256
"""Windows per call of the network: memory must not grow with the clip."""

FRAMES_AT_ONCE = 4096
"""Frames of all samples that are denoised together: of a long clip, one sample after the other."""


@dataclass(frozen=True, eq=False)
class Given:
    """People whose motion is known and to be kept while the others are sampled.

    Attributes:
        pose: Motion of the clip (`frame person`), camera axes; unknown people may hold anything.
        known: Which people are known.
    """

    pose: PairPose
    known: Bool[Tensor, " person"]


class ClipSampler:
    """The prior applied to one clip at 30 fps."""

    def __init__(
        self,
        network: Denoiser,
        rays: Float[Tensor, "frame 2 17 3"],
        view: View | None = None,
        features: Float[Tensor, "frame 2 feature"] | None = None,
        stride: int = STRIDE,
    ) -> None:
        """Prepare windows, views and conditions.

        Args:
            network: Trained network.
            rays: Observed keypoints (x/z, y/z, confidence), COCO order; confidence 0: unknown.
            view: Where the people are expected, where nothing is observed (batch axis of 1).
            features: Image features, if the network was trained with them.
            stride: Frames from the begin of a window to that of the next.
        """
        self.network = network
        self.num_frames = rays.shape[0]
        self.windows = Windows.of(self.num_frames, rays.device, stride)
        rays = self.windows.cut(pad_frames(rays, self.windows.length), 0)
        if features is not None:
            features = self.windows.cut(pad_frames(features, self.windows.length), 0)
        self.view = self._views(rays, view)
        self.conditions = Conditions.of(rays, self.view, features)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        generator: torch.Generator,
        given: Given | None = None,
        start: PairPose | None = None,
        levels: tuple[int, ...] | None = None,
    ) -> PairPose:
        """Draw several motions (`sample frame person`) in camera axes; one shape per person.

        Args:
            count: Number of motions.
            generator: Source of the noise.
            given: People whose motion is kept as it is.
            start: Motion of the clip (`frame person`) to begin with instead of noise alone: the
                samples are what the prior makes of it.
            levels: Noise levels at which the network is asked, the noisiest first;
                `SAMPLING_LEVELS`, or `REFINING_LEVELS` of a given motion, if None.
        """
        noise = self.noise(count, generator)
        levels = levels or (SAMPLING_LEVELS if start is None else REFINING_LEVELS)
        together = max(1, FRAMES_AT_ONCE // self.num_frames)
        parts = [self._denoised(part, given, start, levels) for part in noise.split(together)]
        return PairPose(
            torch.cat([part.rotations for part in parts]),
            torch.cat([part.betas for part in parts]),
            torch.cat([part.pelvis_m for part in parts]),
        )

    def _denoised(
        self,
        noise: Float[Tensor, "sample window 16 2 157"],
        given: Given | None,
        start: PairPose | None,
        levels: tuple[int, ...],
    ) -> PairPose:
        """One motion for each noise."""
        if start is not None:
            clean = self.encode(self.padded(start)).expand_as(noise)
            level = torch.full((len(noise),), levels[0], device=noise.device)
            noise = diffuse(clean, noise, level)
        blended: PairPose | None = None

        def denoise(x: Float[Tensor, "sample window 16 2 157"], level: int) -> Tensor:
            nonlocal blended
            predicted = self.predict(x, level)
            blended = self.windows.blend(self.decode(predicted))
            if given is not None:
                blended = _kept(blended, given)
            return self.encode(blended)

        sample(denoise, noise, levels)
        assert blended is not None
        return dataclasses.replace(
            blended,
            rotations=blended.rotations[:, : self.num_frames],
            betas=blended.betas[:, : self.num_frames],
            pelvis_m=blended.pelvis_m[:, : self.num_frames],
        )

    def noise(
        self, count: int, generator: torch.Generator
    ) -> Float[Tensor, "sample window 16 2 157"]:
        """Unit normal noise that is the same for a frame in all windows that hold it."""
        device = self.windows.frames.device
        shape = (count, self.windows.length, 2, STATE_SIZE)
        noise = torch.randn(shape, generator=generator).to(device)
        return self.windows.cut(noise, 1)

    def padded(self, pose: PairPose) -> PairPose:
        """Extend a clip (`frame person`) to whole windows by its last frame; adds a sample axis."""
        missing = self.windows.length - self.num_frames

        def extended(values: Tensor) -> Tensor:
            return torch.cat([values, values[-1:].expand(missing, *values.shape[1:])])[None]

        return PairPose(extended(pose.rotations), extended(pose.betas), extended(pose.pelvis_m))

    def predict(
        self, noisy: Float[Tensor, "sample window 16 2 157"], level: int
    ) -> Float[Tensor, "sample window 16 2 157"]:
        """Let the network say what the clean states are, window by window."""
        count, windows = noisy.shape[:2]
        parts = []
        for chunk in torch.arange(count * windows, device=noisy.device).split(CHUNK):
            conditions = Conditions(*(value[chunk % windows] for value in self.conditions))
            levels = torch.full((len(chunk),), level, device=noisy.device)
            parts.append(self.network(noisy.flatten(0, 1)[chunk], levels, conditions))
        predicted: Tensor = torch.cat(parts).unflatten(0, (count, windows))
        return predicted

    def stretch(
        self, noisy: Float[Tensor, "1 window 16 2 157"], level: int, start: int, stop: int
    ) -> PairPose:
        """Predict the frames from `start` to `stop` (`frame person`), with gradients."""
        chosen, windows = self.windows.covering(start, stop)
        conditions = Conditions(*(value[chosen] for value in self.conditions))
        levels = torch.full((len(chosen),), level, device=noisy.device)
        state = self.network(noisy[0, chosen], levels, conditions)
        view = View(self.view.turn[chosen], self.view.size[chosen], self.view.pitch[chosen])
        pose = windows.blend(decode(self.network.denormalise(state), view))
        inside = slice(start - int(self.windows.frames[chosen[0], 0]), None)
        count = stop - start
        return PairPose(
            rotations=pose.rotations[inside][:count],
            betas=pose.betas[inside][:count],
            pelvis_m=pose.pelvis_m[inside][:count],
        )

    def decode(self, state: Float[Tensor, "sample window 16 2 157"]) -> PairPose:
        """Turn normalised states of windows into people in camera axes."""
        return decode(self.network.denormalise(state), self.view)

    def encode(self, pose: PairPose) -> Float[Tensor, "sample window 16 2 157"]:
        """Turn a clip in camera axes (`sample frame person`) into normalised states of windows."""
        return self.network.normalise(encode(self.windows.cut_pose(pose), self.view))

    @staticmethod
    def _views(rays: Float[Tensor, "window 16 2 17 3"], fallback: View | None) -> View:
        view = View.of(rays)
        seen = (rays[..., 2] > 0).flatten(1).any(1)
        if bool(seen.all()):
            return view
        if fallback is None and bool(seen.any()):
            # A window in which nobody is seen looks where the nearest one that sees somebody does.
            index = torch.arange(len(rays), device=rays.device)
            distance = (index[:, None] - index[None, :]).abs().float()
            nearest = torch.where(seen[None, :], distance, torch.inf).argmin(1)
            return View(view.turn[nearest], view.size[nearest], view.pitch[nearest])
        if fallback is None:
            return view
        return View(
            torch.where(seen[:, None, None], view.turn, fallback.turn),
            torch.where(seen, view.size, fallback.size),
            torch.where(seen, view.pitch, fallback.pitch),
        )


def mean_pose(drawn: PairPose) -> PairPose:
    """Mean over samples (the first axis)."""
    return PairPose(
        rotations=matrix_from_6d(matrix_to_6d(drawn.rotations).mean(0)),
        betas=drawn.betas.mean(0),
        pelvis_m=drawn.pelvis_m.mean(0),
    )


def _kept(pose: PairPose, given: Given) -> PairPose:
    """Put the known people's motion back."""

    def put(values: Tensor, known: Tensor) -> Tensor:
        mask = given.known.reshape(-1, *[1] * (known.ndim - 2))
        length = values.shape[1]
        missing = length - known.shape[0]
        padded = torch.cat([known, known[-1:].expand(missing, *known.shape[1:])])
        return torch.where(mask, padded, values)

    return PairPose(
        rotations=put(pose.rotations, given.pose.rotations),
        betas=put(pose.betas, given.pose.betas),
        pelvis_m=put(pose.pelvis_m, given.pose.pelvis_m),
    )
