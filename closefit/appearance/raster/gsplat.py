"""The rasteriser for CUDA: gsplat, which compiles its kernels with nvcc at first use."""

import importlib.util
import logging
import os
import shutil
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.appearance.raster.conventions import DILATION_PX2, MAX_ALPHA, NEAR_M
from closefit.appearance.raster.gaussians import Gaussians, Render

logger = logging.getLogger(__name__)


@cache
def is_available() -> bool:
    """Whether gsplat is installed and has kernels, or a compiler to make them."""
    if importlib.util.find_spec("gsplat") is None:
        return False
    has_kernels = importlib.util.find_spec("gsplat.csrc") is not None
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    return has_kernels or shutil.which("nvcc") is not None or (toolkit / "bin" / "nvcc").is_file()


@cache
def _announce() -> None:
    if importlib.util.find_spec("gsplat.csrc") is None:
        logger.info("gsplat compiles its kernels at first use; this takes some minutes, once")


def render(gaussians: Gaussians, K: Float[Tensor, "#frame 3 3"], width: int, height: int) -> Render:
    """Draw Gaussians in one call for all frames as `rasterizer.rasterize` does, over zero.

    gsplat caps a contribution at 0.999 and not at `MAX_ALPHA`: opacities are capped beforehand, so
    Gaussians of a higher opacity come out up to 1 % weaker than in the other rasterisers. Sums of
    gradients have no fixed order.
    """
    _announce()
    from gsplat import rasterization

    inputs = [*gaussians.tensors(), K]
    frames = max(len(tensor) for tensor in inputs)
    means, quat_wxyz, scales, opacities, features, K = (
        tensor.expand(frames, *tensor.shape[1:]) for tensor in inputs
    )
    numbers = torch.cat([means, quat_wxyz, scales, opacities[..., None], features], dim=-1)
    opacities = torch.where(
        torch.isfinite(numbers).all(dim=-1), opacities.clamp(max=MAX_ALPHA), 0.0
    )
    image, alpha, _ = rasterization(
        means=means,
        quats=quat_wxyz,
        scales=scales,
        opacities=opacities,
        colors=features,
        viewmats=torch.eye(4).to(means).expand(frames, 1, 4, 4),
        Ks=K[:, None],
        width=width,
        height=height,
        near_plane=NEAR_M,
        eps2d=DILATION_PX2,
        packed=False,
        render_mode="RGB+D",
    )
    return Render(image[:, 0, ..., :-1], alpha[:, 0, ..., 0], image[:, 0, ..., -1])
