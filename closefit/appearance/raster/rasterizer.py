"""Draw Gaussians, differentiably, for all frames at once, with one of three rasterisers."""

import logging
from functools import cache
from types import ModuleType
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from closefit.appearance.raster import gsplat, portable, reference
from closefit.appearance.raster.gaussians import Gaussians, Render
from closefit.errors import DeviceError

logger = logging.getLogger(__name__)

RasterBackend = Literal["auto", "gsplat", "portable", "reference"]


def rasterize(
    gaussians: Gaussians,
    K: Float[Tensor, "#frame 3 3"],
    width: int,
    height: int,
    background: Float[Tensor, " channel"] | None = None,
    backend: RasterBackend = "auto",
) -> Render:
    """Draw Gaussians by EWA splatting, sorted by depth (Kerbl et al., SIGGRAPH 2023).

    `conventions` has the constants. Gaussians with a value that is not finite are left out.
    The result is differentiable in the Gaussians and the background, not in `K`.

    Args:
        gaussians: In the camera frame.
        K: Intrinsics in pixels, without skew; one row per frame or one for all.
        width: Of the image in pixels.
        height: Of the image in pixels.
        background: Features behind the Gaussians; zero if None.
        backend: "auto" takes gsplat for CUDA tensors where it works, else the portable one, which
            computes on the CPU. "reference" is slow and meant for tests.

    Raises:
        DeviceError: gsplat is requested and cannot be used.
        ValueError: `K` has another number of frames than the Gaussians.
    """
    frames = {len(tensor) for tensor in gaussians.tensors()}
    if len((frames | {len(K)}) - {1}) > 1:
        raise ValueError(f"`K` is for {len(K)} frames, the Gaussians are for {max(frames)}")
    render: Render = _choose(backend, gaussians.means).render(gaussians, K, width, height)
    if background is None:
        return render
    features = render.features + (1.0 - render.alpha[..., None]) * background
    return Render(features, render.alpha, render.depth)


def _choose(backend: RasterBackend, means: Tensor) -> ModuleType:
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
