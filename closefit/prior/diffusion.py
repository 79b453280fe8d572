"""The noise schedule and deterministic sampling (DDIM) of a model that predicts x0.

`ALPHA_BAR[t]` is the share of the signal's variance that is left at timestep t: a cosine schedule
of 100 timesteps (Nichol and Dhariwal 2021, s = 0.008, beta at most 0.999), as in the paper's
release.
"""

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

NUM_TIMESTEPS = 100
SAMPLING_TIMESTEPS: tuple[int, ...] = (99, 80, 60, 40, 20, 0)
"""Timesteps at which sampling calls the network, the noisiest first.

The release starts at 80. There a ninth of the variance is still signal; a network that is given
pure noise at 80 mistakes the noise for signal.
"""

LOWEST_TIMESTEP = SAMPLING_TIMESTEPS[-2]
"""The lowest sampling timestep above zero, which x1 of the optimisation has (paper section 3.3)."""

OFFSET = 0.008
MAX_BETA = 0.999


def cosine_alpha_bar(timesteps: int = NUM_TIMESTEPS) -> Float[Tensor, " timestep"]:
    """Signal variance left at every timestep."""

    def signal(share: float) -> float:
        return math.cos((share + OFFSET) / (1.0 + OFFSET) * math.pi / 2.0) ** 2

    kept = [
        max(1.0 - MAX_BETA, signal((step + 1) / timesteps) / signal(step / timesteps))
        for step in range(timesteps)
    ]
    return torch.tensor(kept, dtype=torch.float64).cumprod(0).float()


ALPHA_BAR = cosine_alpha_bar()


def diffuse(
    x0: Float[Tensor, "batch *rest"],
    noise: Float[Tensor, "batch *rest"],
    timestep: Int[Tensor, " batch"],
) -> Float[Tensor, "batch *rest"]:
    """Add the noise of a timestep."""
    alpha = ALPHA_BAR.to(x0)[timestep].reshape(-1, *[1] * (x0.ndim - 1))
    return alpha.sqrt() * x0 + (1.0 - alpha).sqrt() * noise


def ddim_step(
    x: Float[Tensor, "*batch"], x0: Float[Tensor, "*batch"], timestep: int, next_timestep: int
) -> Float[Tensor, "*batch"]:
    """Go from one timestep to the next along the predicted noise (eta = 0)."""
    here, there = (float(ALPHA_BAR[index]) for index in (timestep, next_timestep))
    noise = (x - math.sqrt(here) * x0) / math.sqrt(1.0 - here)
    return math.sqrt(there) * x0 + math.sqrt(1.0 - there) * noise


def sample(
    denoise: Callable[[Float[Tensor, "batch *rest"], int], Float[Tensor, "batch *rest"]],
    noise: Float[Tensor, "batch *rest"],
    timesteps: tuple[int, ...] = SAMPLING_TIMESTEPS,
) -> Float[Tensor, "batch *rest"]:
    """Draw x0 by DDIM.

    Args:
        denoise: Predicts x0 from a noisy state and its timestep.
        noise: Unit normal start; the same noise gives the same sample.
        timesteps: Falling.
    """
    x = noise
    for timestep, next_timestep in itertools.pairwise(timesteps):
        x = ddim_step(x, denoise(x, timestep), timestep, next_timestep)
    return denoise(x, timesteps[-1])
