"""Robust errors."""

from jaxtyping import Float
from torch import Tensor


def robust_square(
    squared: Float[Tensor, "*batch"], scale: float | Tensor
) -> Float[Tensor, "*batch"]:
    """Geman-McClure: like `squared` when small, levels off at `scale` squared."""
    return squared / (1.0 + squared / scale**2)
