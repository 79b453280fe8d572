"""Looks at the machine and says what works, what is missing and how to get it."""

import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from closefit import __version__, device, weights
from closefit.errors import ClosefitError
from closefit.weights import Model

MIN_FREE_GB = 5.0
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report: `missing` things are optional, a `problem` stops `closefit run`."""

    name: str
    state: Literal["ok", "missing", "problem"]
    found: str
    fix: str = ""


def examine(weights_dir: str | None = None) -> list[Check]:
    """Return one check per thing that closefit depends on."""
    checks: tuple[Callable[[], Check], ...] = (
        _python, _torch, _cuda, _gsplat, _ffmpeg, _disk, lambda: _body(weights_dir),
    )  # fmt: skip
    models = [model for model in weights.manifest().values() if _is_default(model)]
    return [check() for check in checks] + [_model(model, weights_dir) for model in models]


def _python() -> Check:
    found = f"closefit {__version__}, Python {platform.python_version()}, "
    return Check(
        name="closefit",
        state="ok" if sys.version_info >= (3, 10) else "problem",
        found=found + f"{platform.system()} {platform.machine()}",
        fix="install Python 3.10 or newer",
    )


def _torch() -> Check:
    import torch

    cores = device.available_cores()
    return Check(name="torch", state="ok", found=f"{torch.__version__}, {cores} CPU cores")


def _cuda() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check(name="CUDA", state="ok", found=torch.cuda.get_device_name())
    return Check(
        name="CUDA",
        state="missing",
        found="no CUDA device; everything runs on the CPU",
        fix="nothing to do without an NVIDIA GPU; with one, install its driver",
    )


def _gsplat() -> Check:
    installed = importlib.util.find_spec("gsplat") is not None
    nvcc = shutil.which("nvcc")
    if installed and nvcc:
        return Check(name="gsplat", state="ok", found=f"with {nvcc}")
    lacking = [name for name, there in (("gsplat", installed), ("nvcc", nvcc)) if not there]
    return Check(
        name="gsplat",
        state="missing",
        found=f"no {' and no '.join(lacking)}; the portable rasteriser is used",
        fix="only useful with a GPU: pip install 'closefit[cuda]' and the CUDA toolkit (nvcc)",
    )


def _ffmpeg() -> Check:
    import imageio_ffmpeg

    fix = "pip install --force-reinstall imageio-ffmpeg, or point IMAGEIO_FFMPEG_EXE to an ffmpeg"
    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run([path, "-version"], check=True, capture_output=True, timeout=20)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return Check(name="ffmpeg", state="problem", found=f"does not run: {error}", fix=fix)
    version = imageio_ffmpeg.get_ffmpeg_version()
    return Check(name="ffmpeg", state="ok", found=f"{version} ({path})")


def _disk() -> Check:
    free_gb = shutil.disk_usage(Path.cwd()).free / GB
    return Check(
        name="disk",
        state="ok" if free_gb >= MIN_FREE_GB else "problem",
        found=f"{free_gb:.1f} GB free in `{Path.cwd()}`",
        fix=f"free some space: a run needs up to {MIN_FREE_GB:.0f} GB while it works",
    )


def _body(weights_dir: str | None) -> Check:
    from closefit.body.model import Body

    name = weights.body_model("auto", weights_dir)
    licence = weights.get(name).licence
    try:
        path = weights.locate(name, weights_dir)
        body = Body.load(path)
    except ClosefitError as error:
        return Check(name="body", state="problem", found=error.message, fix=error.hint)
    found = f"{body.name}, {body.num_vertices} vertices ({path}); licence: {licence}"
    return Check(name="body", state="ok", found=found)


def _is_default(model: Model) -> bool:
    return bool(model.backends) or model.optional


def _model(model: Model, weights_dir: str | None) -> Check:
    try:
        path = weights.locate(model.name, weights_dir)
    except ClosefitError as error:
        missing = weights.find(model.name, weights_dir) is None
        return Check(
            name=model.name,
            state="missing" if missing else "problem",
            found=f"not here ({model.purpose})" if missing else error.message,
            fix=error.hint,
        )
    return Check(name=model.name, state="ok", found=f"{path}; licence: {model.licence}")
