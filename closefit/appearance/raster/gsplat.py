"""The rasteriser for CUDA: gsplat, whose kernels nvcc compiles at first use."""

import importlib.util
import logging
import math
import os
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.appearance.raster.conventions import DILATION_PX2, MAX_ALPHA, NEAR_M
from closefit.appearance.raster.gaussians import Gaussians, Render
from closefit.appearance.raster.toolchain import Toolchain, build_folder, compiled_library
from closefit.system import available_cores

logger = logging.getLogger(__name__)

MIN_CAPABILITY = (7, 0)
"""Compute capability that the warp-wide sums in gsplat's backward pass require (Volta, 2017)."""

BUILD_CORE_MINUTES, SLOWEST_FILE_MINUTES = 28, 5
"""For one card, extrapolated from a build for two that took 46 CPU minutes: docs/gpu.md."""


@cache
def obstacle() -> str:
    """Why gsplat cannot draw on this machine's GPU, as one clause; empty where it can.

    The first call compiles the kernels, unless that was done before, and draws once.
    """
    package = package_folder()
    if package is None:
        return "gsplat is not installed (pip install 'closefit[cuda]')"
    capability = torch.cuda.get_device_capability()
    if capability < MIN_CAPABILITY:
        found, least = (".".join(map(str, pair)) for pair in (capability, MIN_CAPABILITY))
        return f"the GPU is too old for gsplat: compute capability {found}, it needs {least}"
    toolchain = Toolchain.find()
    if toolchain.home is not None:  # before PyTorch looks for it
        os.environ.setdefault("CUDA_HOME", str(toolchain.home))
    if compiled_library(package) is None:
        fixes = toolchain.fixes()
        if fixes:
            return f"gsplat is not compiled and cannot be: {'; '.join(fixes)}"
        logger.warning("compiling gsplat for this GPU, once: %s", build_time())
    return _load() or _draw_once()


def package_folder() -> Path | None:
    """Folder of the installed package, or None; imports nothing."""
    spec = importlib.util.find_spec("gsplat")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def build_time() -> str:
    """Return `about N minutes on M cores`."""
    jobs = _jobs()
    minutes = max(math.ceil(BUILD_CORE_MINUTES / jobs), SLOWEST_FILE_MINUTES)
    return f"about {minutes} minutes on {jobs} cores"


def _jobs() -> int:
    wanted = os.environ.get("MAX_JOBS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else available_cores()


def _load() -> str:
    """Import or compile the kernels; returns what went wrong, if anything."""
    os.environ["MAX_JOBS"] = str(_jobs())  # gsplat starts ten compilers otherwise
    try:
        from gsplat.cuda._backend import _C
    except (RuntimeError, OSError, ImportError) as error:
        return f"gsplat did not compile: `{_first_error(error)}`"
    return "" if _C is not None else "gsplat found no CUDA toolkit"


def _first_error(error: Exception) -> str:
    """The first line that names an error; a compiler prints hundreds around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), type(error).__name__)


def _draw_once() -> str:
    """Draw one Gaussian; kernels compiled for another card, for example, fail here."""
    one = torch.ones(1, 1, 4, device="cuda")
    gaussian = Gaussians(one[..., :3], one, one[..., :3], one[..., 0], one)
    try:
        render(gaussian, torch.eye(3, device=one.device)[None], 8, 8)
        torch.cuda.synchronize()
    except RuntimeError as error:
        return (
            f"gsplat does not draw: `{_first_error(error)}`; if it was compiled for another GPU, "
            f"delete `{build_folder()}`"
        )
    return ""


def render(gaussians: Gaussians, K: Float[Tensor, "#frame 3 3"], width: int, height: int) -> Render:
    """Draw Gaussians in one call for all frames as `rasterizer.rasterize` does, over zero.

    gsplat caps a contribution at 0.999 and not at `MAX_ALPHA`: opacities are capped beforehand, so
    Gaussians of a higher opacity come out up to 1 % weaker than in the other rasterisers. Sums of
    gradients have no fixed order. gsplat computes in 32 bits, and its host code waits for the GPU
    once per call, for the number of tiles that the Gaussians touch.
    """
    from gsplat import rasterization

    means, quat_wxyz, scales, opacities, features = gaussians.tensors()
    inputs = (means, quat_wxyz, scales, opacities[..., None], features, K)
    frames = max(len(tensor) for tensor in inputs)
    *rows, K32 = (
        tensor.float().expand(frames, *tensor.shape[1:]).contiguous() for tensor in inputs
    )
    finite = torch.cat(rows, dim=-1).isfinite().all(dim=-1, keepdim=True)
    # Values that are not finite would spoil the count of tiles: they go behind the camera.
    positions, quats, scales, opacities, features = (
        torch.where(finite, tensor, fill)
        for tensor, fill in zip(rows, (-1.0, 1.0, 1.0, 0.0, 0.0), strict=True)
    )
    image, alpha, _ = rasterization(
        means=positions,
        quats=quats,
        scales=scales,
        opacities=opacities[..., 0].clamp(max=MAX_ALPHA),
        colors=features,
        viewmats=torch.eye(4, device=positions.device).expand(frames, 1, 4, 4),
        Ks=K32[:, None],
        width=width,
        height=height,
        near_plane=NEAR_M,
        eps2d=DILATION_PX2,
        packed=False,
        render_mode="RGB+D",
    )
    image, alpha = image.to(means.dtype), alpha.to(means.dtype)
    return Render(image[:, 0, ..., :-1], alpha[:, 0, ..., 0], image[:, 0, ..., -1])
