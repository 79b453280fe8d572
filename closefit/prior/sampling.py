"""Sampling both people's motion for a whole clip: all windows in one batch, one result."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.pose import PairPose
from closefit.prior.conditions import Conditions
from closefit.prior.diffusion import SAMPLING_TIMESTEPS, diffuse, sample
from closefit.prior.network import Denoiser
from closefit.prior.state import STATE_SIZE, decode, encode
from closefit.prior.view import View
from closefit.prior.windows import STRIDE, Windows, extend_frames, pad_frames

REFINING_TIMESTEPS = (20, 0)
"""Timesteps through which a given motion is sent: its large movements survive the noise, and the
prior adds how two people move together."""

CHUNK = 256
"""Windows per call of the network: memory must not grow with the clip."""

FRAMES_AT_ONCE = 4096
"""Frames of all samples that are denoised together: of a long clip, one sample after the other."""


class ClipSampler:
    """The prior applied to one clip at 30 fps."""

    def __init__(
        self,
        network: Denoiser,
        keypoints: Float[Tensor, "frame 2 17 3"],
        view: View | None = None,
        stride: int = STRIDE,
    ) -> None:
        """Prepare windows, views and conditions.

        Args:
            network: Trained network.
            keypoints: Normalised keypoints, COCO order.
            view: Where people are expected if nothing is observed (batch axis of 1).
            stride: Frames between the starts of neighbouring windows.
        """
        self.network = network
        self.num_frames = keypoints.shape[0]
        self.windows = Windows.of(self.num_frames, keypoints.device, stride)
        keypoints = self.windows.cut(pad_frames(keypoints, self.windows.length), 0)
        self.view = _views(keypoints, view)
        self.conditions = Conditions.of(keypoints, self.view)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        generator: torch.Generator,
        fixed: tuple[PairPose, Bool[Tensor, " person"]] | None = None,
        start: PairPose | None = None,
        timesteps: tuple[int, ...] | None = None,
    ) -> PairPose:
        """Draw several motions (`sample frame person`) in camera axes; one shape per person.

        Args:
            count: Number of motions.
            generator: Source of the noise.
            fixed: A motion (`frame person`, camera axes) and the people who keep it while the
                others are sampled.
            start: Motion (`frame person`) to begin with instead of noise alone.
            timesteps: Timesteps at which the network is called, falling; None: those of
                `SAMPLING_TIMESTEPS`, or of `REFINING_TIMESTEPS` if there is a `start`.
        """
        noise = self.noise(count, generator)
        timesteps = timesteps or (SAMPLING_TIMESTEPS if start is None else REFINING_TIMESTEPS)
        if start is not None:
            start = self.padded(start)
        if fixed is not None:
            fixed = (self.padded(fixed[0]), fixed[1])
        together = max(1, FRAMES_AT_ONCE // self.num_frames)
        parts = [self._denoised(part, fixed, start, timesteps) for part in noise.split(together)]
        return PairPose.joined(parts, torch.cat)

    def _denoised(
        self,
        noise: Float[Tensor, "sample window 16 2 157"],
        fixed: tuple[PairPose, Bool[Tensor, " person"]] | None,
        start: PairPose | None,
        timesteps: tuple[int, ...],
    ) -> PairPose:
        """One motion for each noise; `fixed` and `start` are padded."""
        if start is not None:
            clean = self.encode(start).expand_as(noise)
            timestep = torch.full((len(noise),), timesteps[0], device=noise.device)
            noise = diffuse(clean, noise, timestep)
        blended: PairPose | None = None

        def denoise(x: Float[Tensor, "sample window 16 2 157"], timestep: int) -> Tensor:
            nonlocal blended
            blended = self.windows.blend(self.decode(self.predict(x, timestep)))
            if fixed is not None:
                blended = fixed[0].where(fixed[1], blended)
            return self.encode(blended)

        sample(denoise, noise, timesteps)
        assert blended is not None
        return blended.map(lambda values: values[:, : self.num_frames])

    def noise(
        self, count: int, generator: torch.Generator
    ) -> Float[Tensor, "sample window 16 2 157"]:
        """Unit normal noise that is the same for a frame in all windows that hold it."""
        shape = (count, self.windows.length, 2, STATE_SIZE)
        noise = torch.randn(shape, generator=generator).to(self.windows.frames.device)
        return self.windows.cut(noise, 1)

    def padded(self, pose: PairPose) -> PairPose:
        """Extend a clip (`frame person`) to whole windows by its last frame; adds a sample axis."""
        return pose.map(lambda values: extend_frames(values, self.windows.length)[None])

    def predict(
        self, noisy: Float[Tensor, "sample window 16 2 157"], timestep: int
    ) -> Float[Tensor, "sample window 16 2 157"]:
        """Predict the clean states, window by window."""
        count, windows = noisy.shape[:2]
        parts = []
        for chunk in torch.arange(count * windows, device=noisy.device).split(CHUNK):
            conditions = Conditions(*(value[chunk % windows] for value in self.conditions))
            timesteps = torch.full((len(chunk),), timestep, device=noisy.device)
            parts.append(self.network(noisy.flatten(0, 1)[chunk], timesteps, conditions))
        predicted: Tensor = torch.cat(parts).unflatten(0, (count, windows))
        return predicted

    def predict_frames(
        self, noisy: Float[Tensor, "1 window 16 2 157"], timestep: int, start: int, stop: int
    ) -> PairPose:
        """Predict the frames from `start` to `stop` (`frame person`), with gradients."""
        chosen, windows = self.windows.covering(start, stop)
        conditions = Conditions(*(value[chosen] for value in self.conditions))
        timesteps = torch.full((len(chosen),), timestep, device=noisy.device)
        state = self.network(noisy[0, chosen], timesteps, conditions)
        pose = windows.blend(decode(self.network.denormalise(state), self.view[chosen]))
        first = start - int(self.windows.frames[chosen[0], 0])
        return pose.map(lambda values: values[first : first + stop - start])

    def decode(self, state: Float[Tensor, "sample window 16 2 157"]) -> PairPose:
        """Turn normalised states of windows into people in camera axes."""
        return decode(self.network.denormalise(state), self.view)

    def encode(self, pose: PairPose) -> Float[Tensor, "sample window 16 2 157"]:
        """Turn a clip in camera axes (`sample frame person`) into normalised states of windows."""
        return self.network.normalise(encode(pose.map_frames(self.windows.cut), self.view))


def _views(keypoints: Float[Tensor, "window 16 2 17 3"], fallback: View | None) -> View:
    """View of each window; where nobody is seen, `fallback` or that of the nearest other window."""
    view = View.of(keypoints)
    seen = (keypoints[..., 2] > 0).flatten(1).any(1)
    if bool(seen.all()) or (fallback is None and not bool(seen.any())):
        return view
    if fallback is None:
        index = torch.arange(len(keypoints), device=keypoints.device)
        distance = (index[:, None] - index[None, :]).abs().float()
        return view[torch.where(seen[None, :], distance, torch.inf).argmin(1)]
    return View(
        torch.where(seen[:, None, None], view.R_view_cam, fallback.R_view_cam),
        torch.where(seen, view.size, fallback.size),
        torch.where(seen, view.pitch, fallback.pitch),
    )
