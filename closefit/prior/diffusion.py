"""The noise schedule and deterministic sampling (DDIM) of a model that predicts x0.

`alpha_bar[t]` is the share of the signal's variance that is left at level t: a cosine of 100 levels
(Nichol and Dhariwal 2021, s = 0.008, beta at most 0.999), as the paper's release has it.
"""

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

NUM_LEVELS = 100
SAMPLING_LEVELS: tuple[int, ...] = (99, 80, 60, 40, 20, 0)
"""Levels at which sampling asks the network, the noisiest first.

The release starts at 80, where a ninth of the variance is signal: in a whole window of frames that
is easily seen, and a network that is given noise alone there takes the noise for it.
"""

LOWEST_LEVEL = SAMPLING_LEVELS[-2]
"""The lowest sampling level above zero: where x1 of the optimisation lies (paper section 3.3)."""

OFFSET = 0.008
MAX_BETA = 0.999


def cosine_alpha_bar(levels: int = NUM_LEVELS) -> Float[Tensor, " level"]:
    """Signal variance left at every level."""

    def signal(share: float) -> float:
        return math.cos((share + OFFSET) / (1.0 + OFFSET) * math.pi / 2.0) ** 2

    kept = [
        max(1.0 - MAX_BETA, signal((level + 1) / levels) / signal(level / levels))
        for level in range(levels)
    ]
    return torch.tensor(kept, dtype=torch.float64).cumprod(0).float()


ALPHA_BAR = cosine_alpha_bar()


def diffuse(
    x0: Float[Tensor, "batch *rest"],
    noise: Float[Tensor, "batch *rest"],
    level: Int[Tensor, " batch"],
) -> Float[Tensor, "batch *rest"]:
    """Add noise up to `level`."""
    alpha = ALPHA_BAR.to(x0)[level].reshape(-1, *[1] * (x0.ndim - 1))
    return alpha.sqrt() * x0 + (1.0 - alpha).sqrt() * noise


def ddim_step(
    x: Float[Tensor, "*batch"], x0: Float[Tensor, "*batch"], level: int, next_level: int
) -> Float[Tensor, "*batch"]:
    """Go from `level` to `next_level` along the predicted noise (eta = 0)."""
    here, there = (float(ALPHA_BAR[index]) for index in (level, next_level))
    noise = (x - math.sqrt(here) * x0) / math.sqrt(1.0 - here)
    return math.sqrt(there) * x0 + math.sqrt(1.0 - there) * noise


def sample(
    denoise: Callable[[Float[Tensor, "batch *rest"], int], Float[Tensor, "batch *rest"]],
    noise: Float[Tensor, "batch *rest"],
    levels: tuple[int, ...] = SAMPLING_LEVELS,
) -> Float[Tensor, "batch *rest"]:
    """Draw x0 by DDIM.

    Args:
        denoise: Predicts x0 from a noisy state and its level.
        noise: Unit normal start; the same noise gives the same sample.
        levels: Levels to visit, falling.
    """
    x = noise
    for level, next_level in itertools.pairwise(levels):
        x = ddim_step(x, denoise(x, level), level, next_level)
    return denoise(x, levels[-1])
