"""Draw Gaussians, differentiably, for all frames at once; the one door to three rasterisers."""

import dataclasses
import logging
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from closefit.appearance.raster import gsplat, portable, reference
from closefit.errors import DeviceError

logger = logging.getLogger(__name__)

Backend = Literal["auto", "gsplat", "portable", "reference"]


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
    """What to draw, for example red, green, blue and whether it is person 0 or 1."""

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit together: compiled code would read beyond the arrays.

        Raises:
            ValueError: There are not as many Gaussians or frames everywhere.
        """
        shapes = {
            field.name: tuple(getattr(self, field.name).shape) for field in dataclasses.fields(self)
        }
        number, channels = shapes["features"][1:]
        rows = [(number, 3), (number, 4), (number, 3), (number,), (number, channels)]
        fit = [shape[1:] for shape in shapes.values()] == rows
        if not fit or len({shape[0] for shape in shapes.values()} - {1}) > 1:
            raise ValueError(f"tensors of Gaussians do not fit together: {shapes}")


@dataclass(frozen=True, eq=False)
class Render:
    """What `rasterize` returns; the weight of a Gaussian is its share of a pixel."""

    features: Float[Tensor, "frame height width channel"]
    """Sum of weight times feature, plus the background's share."""
    alpha: Float[Tensor, "frame height width"]
    """Sum of weights."""
    depth: Float[Tensor, "frame height width"]
    """Sum of weight times depth in metres: not divided by `alpha`."""


def rasterize(
    gaussians: Gaussians,
    K: Float[Tensor, "#frame 3 3"],
    width: int,
    height: int,
    background: Float[Tensor, " channel"] | None = None,
    backend: Backend = "auto",
) -> Render:
    """Draw Gaussians by EWA splatting, sorted by depth (Kerbl et al., SIGGRAPH 2023).

    `conventions` has the constants. Gaussians with a value that is not finite are left out.
    The result is differentiable in the Gaussians and the background, not in `K`.

    Args:
        gaussians: Moved to the camera's frame.
        K: Intrinsics in pixels, without skew; one row per frame or one for all.
        width: Of the image in pixels.
        height: Of the image in pixels.
        background: What shines through; black if None.
        backend: "auto" takes gsplat for CUDA tensors where it works, else the portable one, which
            computes on the CPU. "reference" is slow and for tests.

    Raises:
        DeviceError: gsplat is asked for and cannot be used.
        ValueError: `K` has another number of frames than the Gaussians.
    """
    frames = {len(getattr(gaussians, field.name)) for field in dataclasses.fields(gaussians)}
    if len((frames | {len(K)}) - {1}) > 1:
        raise ValueError(f"`K` is for {len(K)} frames, the Gaussians are for {max(frames)}")
    image, alpha, depth = _choose(backend, gaussians.means).render(
        gaussians.means,
        gaussians.quat_wxyz,
        gaussians.scales,
        gaussians.opacities,
        gaussians.features,
        K,
        width,
        height,
    )
    if background is not None:
        image = image + (1.0 - alpha[..., None]) * background
    return Render(features=image, alpha=alpha, depth=depth)


def _choose(backend: Backend, means: Tensor) -> ModuleType:
    if backend == "reference":
        return reference
    if backend == "portable" or (backend == "auto" and not means.is_cuda):
        return portable
    if gsplat.is_available() and means.is_cuda:
        return gsplat
    if backend == "gsplat":
        raise DeviceError(
            "`gsplat` cannot be used: it needs CUDA tensors, the package and the compiler `nvcc`",
            hint="choose the rasteriser `auto`, or install closefit[cuda] and the CUDA toolkit",
        )
    _warn_of_copies()
    return portable


@cache
def _warn_of_copies() -> None:
    logger.warning(
        "gsplat or nvcc is missing: Gaussians are drawn on the CPU; closefit[cuda] is faster"
    )
