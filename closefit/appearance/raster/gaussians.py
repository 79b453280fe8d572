"""What every rasteriser takes and returns."""

import dataclasses
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Anisotropic Gaussians in camera space (OpenCV axes).

    Each tensor has one row per frame, or one row that serves all frames without being copied.
    """

    means: Float[Tensor, "#frame gaussian 3"]
    """Metres."""
    quat_wxyz: Float[Tensor, "#frame gaussian 4"]
    """Rotation from the Gaussian's axes to the camera's; of any length but zero."""
    scales: Float[Tensor, "#frame gaussian 3"]
    """Standard deviations along the Gaussian's axes in metres."""
    opacities: Float[Tensor, "#frame gaussian"]
    """0..1."""
    features: Float[Tensor, "#frame gaussian channel"]
    """What to draw, for example red, green, blue and the ownership of each person."""

    def __post_init__(self) -> None:
        """Check the shapes, as compiled code would read beyond the arrays.

        Raises:
            ValueError: The numbers of Gaussians or frames differ.
        """
        shapes = [tuple(tensor.shape) for tensor in self.tensors()]
        number, channels = shapes[-1][1:]
        rows = [(number, 3), (number, 4), (number, 3), (number,), (number, channels)]
        fit = [shape[1:] for shape in shapes] == rows
        if not fit or len({shape[0] for shape in shapes} - {1}) > 1:
            raise ValueError(f"tensors of Gaussians do not fit together: {shapes}")

    def tensors(self) -> list[Tensor]:
        """All tensors in the order above."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]


@dataclass(frozen=True, eq=False)
class Render:
    """What `rasterize` returns; the weight of a Gaussian is its share of a pixel."""

    features: Float[Tensor, "frame height width channel"]
    """Sum of weight times feature, plus the background's share."""
    alpha: Float[Tensor, "frame height width"]
    """Sum of weights."""
    depth: Float[Tensor, "frame height width"]
    """Sum of weight times depth in metres: not divided by `alpha`."""
