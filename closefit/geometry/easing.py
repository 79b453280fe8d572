"""Smooth steps: from 0 to 1 with zero velocity and acceleration at both ends (minimum jerk)."""

from jaxtyping import Float
from torch import Tensor


def ease(share: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Return the smooth step at a share from 0 to 1 of the way."""
    return share**3 * (10.0 - 15.0 * share + 6.0 * share**2)


def ramp(value: Float[Tensor, "*any"], span: tuple[float, float]) -> Float[Tensor, "*any"]:
    """Return the smooth step from the start to the end of `span`, 0 before and 1 after it."""
    return ease(((value - span[0]) / (span[1] - span[0])).clamp(0.0, 1.0))
