"""The denoiser: a small transformer over two people's frames (paper section 3.2).

Both people go through the same weights; each block attends to the person's own frames, then to the
other person's. Both read the block's input, so that neither person comes first: swapping the people
in the input swaps them in the output.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from closefit.boundary.ranges import Share
from closefit.geometry.constants import constant, indices
from closefit.prior.conditions import NUM_KEYPOINTS, Conditions
from closefit.prior.diffusion import ALPHA_BAR, NUM_TIMESTEPS
from closefit.prior.state import STATE_SIZE

WINDOW = 16
LIMBS = {
    (5, 7): 0.154, (7, 9): 0.138, (6, 8): 0.154, (8, 10): 0.138,
    (11, 13): 0.226, (13, 15): 0.255, (12, 14): 0.226, (14, 16): 0.255,
    (5, 6): 0.208, (11, 12): 0.13, (5, 11): 0.273, (6, 12): 0.273, (3, 4): 0.1, (0, 5): 0.16,
    (0, 6): 0.16,
}  # fmt: skip
"""Pairs of COCO keypoints and their usual distance in statures."""

VIEW_SIZE = 2


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Size of the network; the defaults are the paper's (release: 5.8 M parameters)."""

    width: Annotated[int, Meta(ge=2, le=4096, multiple_of=2)] = 256
    blocks: Annotated[int, Meta(ge=1, le=64)] = 4
    heads: Annotated[int, Meta(ge=1, le=64)] = 8
    feed_forward: Annotated[int, Meta(ge=1, le=16384)] = 512
    dropout: Share = 0.1


class Denoiser(nn.Module):
    """Predicts the clean state of a window from a noisy one, its timestep and the conditions."""

    state_mean: Tensor
    state_std: Tensor
    _positions: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        """Start with random weights and a unit normalisation."""
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("state_mean", torch.zeros(STATE_SIZE))
        self.register_buffer("state_std", torch.ones(STATE_SIZE))
        self.register_buffer("_positions", sinusoids(WINDOW, width), persistent=False)
        self.state_in = nn.Linear(STATE_SIZE, width)
        self.hidden_state = nn.Parameter(torch.zeros(width))
        self.observation_in = _Observations(config)
        # The name is that of tensors in checkpoints: it stays.
        self.level_in = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        last = nn.Linear(width, STATE_SIZE)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.LayerNorm(width), last)

    def normalise(
        self, state: Float[Tensor, "*batch frame person 157"]
    ) -> Float[Tensor, "*batch frame person 157"]:
        """Centre and scale each dimension as over the training data."""
        return (state - self.state_mean) / self.state_std

    def denormalise(
        self, state: Float[Tensor, "*batch frame person 157"]
    ) -> Float[Tensor, "*batch frame person 157"]:
        """Invert `normalise`."""
        return state * self.state_std + self.state_mean

    def forward(
        self,
        noisy: Float[Tensor, "batch 16 2 157"],
        timestep: Int[Tensor, " batch"],
        conditions: Conditions,
        state_hidden: Bool[Tensor, "batch 16 2"] | None = None,
    ) -> Float[Tensor, "batch 16 2 157"]:
        """Predict the clean normalised state.

        Args:
            noisy: Normalised states with the noise of `timestep`.
            timestep: Of each window.
            conditions: Observations; hidden values do not affect the output.
            state_hidden: Frames whose input state is replaced by a mask token (training).
        """
        observed = self.observation_in(conditions)
        alpha = ALPHA_BAR.to(noisy)[timestep].reshape(-1, 1, 1, 1)
        # The best estimate from a noisy state of unit variance alone. At high timesteps it is near
        # zero, so that noise does not outweigh the conditions; at low ones it is almost clean.
        estimate, doubt = alpha.sqrt() * noisy, (1.0 - alpha).sqrt()
        tokens = self.state_in(estimate)
        if state_hidden is not None:
            hidden = state_hidden[..., None]
            tokens = torch.where(hidden, self.hidden_state, tokens)
            estimate = torch.where(hidden, 0.0, estimate)
            doubt = torch.where(hidden, 1.0, doubt)
        tokens = (tokens + observed + self._positions[:, None]).transpose(1, 2)
        steps = self.level_in(sinusoids(NUM_TIMESTEPS, self.config.width).to(noisy)[timestep])
        modulation = nn.functional.silu(observed + steps[:, None, None]).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, modulation)
        clean: Tensor = estimate + doubt * self.head(tokens.transpose(1, 2))
        return clean


class _Observations(nn.Module):
    """Embeds the conditions of every frame and person; unknown people get a mask token."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.keypoints = nn.Sequential(
            nn.Linear(NUM_KEYPOINTS * 5 + 2 + len(LIMBS) * 3 + VIEW_SIZE, width),
            nn.SiLU(),
            nn.Linear(width, width),
        )
        self.view = nn.Linear(VIEW_SIZE, width)
        self.unknown = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, conditions: Conditions) -> Float[Tensor, "batch frame person width"]:
        view = conditions.view[:, None, None].expand(*conditions.known.shape, VIEW_SIZE)
        described = torch.cat([*_described(conditions.keypoints), view], dim=-1)
        embedded = self.keypoints(described)
        known = conditions.known[..., None]
        return torch.where(known, embedded, self.unknown + self.view(view))


def _described(
    keypoints: Float[Tensor, "batch frame person 17 3"],
) -> tuple[Tensor, ...]:
    """Keypoints in the view, about the person's own middle, that middle, and limbs.

    A limb is described by its vector in the image over its usual length, and by how much of it must
    then point towards the camera or away from it.
    """
    xy, confidence = keypoints[..., :2], keypoints[..., 2:]
    middle = (xy * confidence).sum(-2) / confidence.sum(-2).clamp_min(1e-6)
    own = torch.where(confidence > 0, xy - middle[..., None, :], 0.0)
    start, end = (indices(column, xy.device) for column in zip(*LIMBS, strict=True))
    seen = (confidence[..., start, :] > 0) & (confidence[..., end, :] > 0)
    vector = (xy[..., end, :] - xy[..., start, :]) / constant(tuple(LIMBS.values()), xy)[:, None]
    length = vector.square().sum(-1, keepdim=True)
    along = (1.0 - length).clamp_min(1e-4).sqrt()
    limbs = torch.where(seen, torch.cat([vector.clamp(-3.0, 3.0), along], dim=-1), 0.0)
    return keypoints.flatten(-2), own.flatten(-2), middle, limbs.flatten(-2)


class _Block(nn.Module):
    """Attention to a person's own frames, to the other person's, feed-forward; each with AdaLN."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.own = _Attention(config)
        self.other = _Attention(config)
        last = nn.Linear(config.feed_forward, width)
        nn.init.zeros_(last.weight)
        self.feed_forward = nn.Sequential(nn.Linear(width, config.feed_forward), nn.GELU(), last)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        tokens: Float[Tensor, "batch person frame width"],
        modulation: Float[Tensor, "batch person frame width"],
    ) -> Float[Tensor, "batch person frame width"]:
        scales_shifts = self.modulation(modulation).chunk(6, dim=-1)
        inputs = _modulated(tokens, *scales_shifts[:2])
        tokens = tokens + self.dropout(self.own(inputs, inputs))
        inputs = _modulated(tokens, *scales_shifts[2:4])
        tokens = tokens + self.dropout(self.other(inputs, inputs.flip(1)))
        inputs = _modulated(tokens, *scales_shifts[4:])
        out: Tensor = tokens + self.dropout(self.feed_forward(inputs))
        return out


class _Attention(nn.Module):
    """Multi-head attention of one set of frames to another."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        queries: Float[Tensor, "batch person frame width"],
        keys: Float[Tensor, "batch person frame width"],
    ) -> Float[Tensor, "batch person frame width"]:
        query = self._split(self.query(queries))
        key, value = (self._split(part) for part in self.key_value(keys).chunk(2, dim=-1))
        # Written out: for 16 frames the fused kernel's backward pass is many times slower on a CPU.
        scores = query @ key.mT * (query.shape[-1] ** -0.5)
        mixed = scores.softmax(-1) @ value
        mixed = mixed.transpose(1, 2).flatten(-2).unflatten(0, queries.shape[:2])
        out: Tensor = self.out(mixed)
        return out

    def _split(self, tokens: Tensor) -> Float[Tensor, "sequence head frame channel"]:
        split: Tensor = tokens.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return split


def _modulated(tokens: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Adaptive layer normalisation."""
    return layer_norm(tokens, tokens.shape[-1:]) * (1.0 + scale) + shift


def sinusoids(count: int, width: int) -> Float[Tensor, "count width"]:
    """Sine and cosine codes of the numbers 0 to count - 1."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
