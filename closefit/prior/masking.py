"""The two mask strategies of the paper (section 3.2): which frames and people are hidden."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.boundary.ranges import Share


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How often and how much is hidden; the paper publishes no numbers.

    Attributes:
        span_probability: Windows in which a run of frames is hidden (strategy 1).
        span_share: Largest share of the window that such a run covers.
        person_probability: Windows in which one whole person is hidden (strategy 2).
        nobody_probability: Windows in which nothing is observed, as in unconditional sampling.
        part_probability: People of whom some keypoints are hidden for a run of frames.
        state_probability: Windows whose input state is hidden along with the observation.
    """

    span_probability: Share = 0.5
    span_share: Share = 0.5
    person_probability: Share = 0.15
    nobody_probability: Share = 0.02
    part_probability: Share = 0.35
    state_probability: Share = 0.5


def hidden_frames(
    batch: int, frames: int, config: MaskingConfig, generator: torch.Generator
) -> Bool[Tensor, "batch frame 2"]:
    """Draw which people are hidden in which frames: runs of frames, whole people, everything."""
    span = random_spans((batch, 2), frames, config.span_share, generator)
    both = torch.rand(batch, 1, 1, generator=generator) < 0.5
    span = torch.where(both, span[:, :1], span)
    span &= torch.rand(batch, 1, 1, generator=generator) < config.span_probability
    draw = torch.rand(batch, generator=generator)
    person = torch.randint(2, (batch,), generator=generator)
    one = (draw < config.person_probability)[:, None] & (torch.arange(2) == person[:, None])
    everything = draw > 1.0 - config.nobody_probability
    whole = one | everything[:, None]
    return span.transpose(1, 2) | whole[:, None, :]


def hidden_keypoints(
    batch: int, frames: int, keypoints: int, config: MaskingConfig, generator: torch.Generator
) -> Bool[Tensor, "batch frame 2 keypoint"]:
    """Draw keypoints that are hidden for a run of frames, as if behind the other person.

    Half of the time a neighbourhood of keypoints (COCO orders them from head to feet), else any.
    """
    span = random_spans((batch, 2), frames, 1.0, generator).transpose(1, 2)
    chosen = torch.rand(batch, 2, generator=generator) < config.part_probability
    share = 0.2 + 0.75 * torch.rand(batch, 2, 1, generator=generator)
    scattered = torch.rand(batch, 2, keypoints, generator=generator) < share
    first = torch.randint(keypoints, (batch, 2, 1), generator=generator)
    run = (torch.arange(keypoints) - first) % keypoints < share * keypoints
    together = torch.rand(batch, 2, 1, generator=generator) < 0.5
    parts = torch.where(together, run, scattered)
    return (span & chosen[:, None])[..., None] & parts[:, None]


def random_spans(
    shape: tuple[int, ...], frames: int, largest_share: float, generator: torch.Generator
) -> Bool[Tensor, "*shape frame"]:
    """Draw a run of frames for each entry, of any length up to a share of the window."""
    length = 1.0 + (largest_share * frames - 1.0) * torch.rand(*shape, 1, generator=generator)
    start = (frames - length) * torch.rand(*shape, 1, generator=generator)
    # A run begins or ends with the window more often than a uniform start would make it.
    start = (start * 1.5 - 0.25 * frames).clamp(min=0.0)
    start = torch.minimum(start, frames - length)
    index = torch.arange(frames, dtype=torch.float32)
    return (index >= start.floor()) & (index < start.floor() + length.round())


def hide(
    keypoints: Float[Tensor, "*batch 3"], hidden: Bool[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3"]:
    """Set hidden normalised keypoints and their confidence to zero."""
    return torch.where(hidden[..., None], 0.0, keypoints)
