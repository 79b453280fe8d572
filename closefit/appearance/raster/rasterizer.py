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
    render: Render = _choose(backend, gaussians.means.is_cuda).render(gaussians, K, width, height)
    if background is None:
        return render
    features = render.features + (1.0 - render.alpha[..., None]) * background
    return Render(features, render.alpha, render.depth)


def _choose(backend: RasterBackend, is_cuda: bool) -> ModuleType:
    if backend == "reference":
        return reference
    if backend == "portable" or (backend == "auto" and not is_cuda):
        return portable
    obstacle = gsplat.obstacle() if is_cuda else "it needs CUDA tensors"
    if not obstacle:
        return gsplat
    if backend == "gsplat":
        raise DeviceError(
            f"`gsplat` cannot be used: {obstacle}",
            hint="choose the rasteriser `auto`; `closefit doctor` lists what gsplat and CUDA need",
        )
    _warn_of_copies(obstacle)
    return portable


@cache
def _warn_of_copies(obstacle: str) -> None:
    logger.warning("%s; Gaussians are drawn on the CPU, which is slower", obstacle)
