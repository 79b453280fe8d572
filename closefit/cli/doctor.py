"""`closefit doctor`: what works on this machine, what is missing and how to get it."""

import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

from closefit import __version__
from closefit.cli import options
from closefit.cli.console import Console
from closefit.errors import ClosefitError
from closefit.models import weights
from closefit.models.weights import Model
from closefit.pipeline import device
from closefit.system import available_cores

MIN_FREE_GB = 5.0
GB = 1e9
PROGRAM_TIMEOUT_S = 20

PORTABLE = "the portable rasteriser draws on the CPU without it"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report: `missing` things are optional, a `problem` stops `closefit run`."""

    name: str
    state: Literal["ok", "missing", "problem"]
    found: str
    fix: str = ""


def doctor(weights: options.WeightsDir = None, as_json: options.Json = False) -> None:
    """Check the machine: what works, what is missing, how to get it."""
    checks = examine(weights)
    console = Console()
    if as_json:
        console.data([asdict(check) for check in checks])
    else:
        for check in checks:
            console.check(check.name, check.state, check.found, check.fix)
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(1)


def examine(weights_dir: str | None = None) -> list[Check]:
    """Return one check per thing that closefit depends on."""
    checks: tuple[Callable[[], Check], ...] = (
        _python, _torch, _cuda, _compiler, _gsplat, _ffmpeg, _disk,
        lambda: _weights_folder(weights_dir), lambda: _body(weights_dir),
    )  # fmt: skip
    models = [model for model in weights.manifest().values() if _is_default(model)]
    found = [
        *(check() for check in checks),
        *(_model(model, weights_dir) for model in models),
        _licences(weights_dir),
    ]
    return [replace(check, fix="") if check.state == "ok" else check for check in found]


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

    cores = available_cores()
    return Check(name="torch", state="ok", found=f"{torch.__version__}, {cores} CPU cores")


def _cuda() -> Check:
    import torch

    from closefit.appearance.raster import gsplat

    if not torch.cuda.is_available():
        return Check(
            name="CUDA",
            state="missing",
            found="no CUDA device; everything runs on the CPU",
            fix="nothing to do without an NVIDIA GPU; with one, install its driver",
        )
    try:
        capability = torch.cuda.get_device_capability()
        name, obstacle = torch.cuda.get_device_name(), device.too_old()
    except RuntimeError as error:
        found = f"the GPU does not answer: `{str(error).splitlines()[0]}`"
        fix = "see with `nvidia-smi` whether the driver works; restart the machine if it does not"
        return Check(name="CUDA", state="problem", found=found, fix=fix)
    if obstacle:
        fix = "install a PyTorch for this card (pytorch.org names the command), or use the CPU"
        return Check(name="CUDA", state="missing", found=f"{name}; {obstacle}", fix=fix)
    found = f"{name}, compute capability {'.'.join(map(str, capability))}"
    if capability < gsplat.MIN_CAPABILITY:
        found += f"; too old for gsplat: {PORTABLE}"
    return Check(name="CUDA", state="ok", found=found)


def _compiler() -> Check:
    """What gsplat is compiled with: nvcc, a C++ compiler, and PyTorch for the same CUDA."""
    from closefit.appearance.raster.toolchain import Toolchain

    tools = Toolchain.find()
    fixes = tools.fixes()
    found = [
        f"nvcc {tools.nvcc_version} ({tools.nvcc})" if tools.nvcc else "no nvcc",
        f"{tools.host} {tools.host_version}".strip() if tools.host else "no C++ compiler",
        f"PyTorch for CUDA {tools.built_for}" if tools.built_for else "PyTorch without CUDA",
    ]
    return Check(
        name="CUDA compiler",
        state="missing" if fixes else "ok",
        found=", ".join(found),
        fix=f"only useful with an NVIDIA GPU: {'; '.join(fixes)}",
    )


def _gsplat() -> Check:
    from closefit.appearance.raster import gsplat
    from closefit.appearance.raster.toolchain import TESTED, compiled_library

    package = gsplat.package_folder()
    if package is None:
        return Check(
            name="gsplat",
            state="missing",
            found=f"not installed; {PORTABLE}",
            fix="only useful with an NVIDIA GPU: pip install 'closefit[cuda]'",
        )
    name = f"gsplat {metadata.version('gsplat')}"
    library = compiled_library(package)
    if library is not None:
        return Check(name="gsplat", state="ok", found=f"{name}, compiled ({library})")
    compiler = _compiler()
    if compiler.state == "ok":
        found = f"{name}, compiled at its first use: {gsplat.build_time()}, once (tested: {TESTED})"
        return Check(name="gsplat", state="ok", found=found)
    return Check(
        name="gsplat",
        state="missing",
        found=f"{name}, not compiled, and it cannot be; {PORTABLE}",
        fix=compiler.fix,
    )


def _ffmpeg() -> Check:
    import imageio_ffmpeg

    fix = "pip install --force-reinstall imageio-ffmpeg, or point IMAGEIO_FFMPEG_EXE to an ffmpeg"
    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run(
            [path, "-version"], check=True, capture_output=True, timeout=PROGRAM_TIMEOUT_S
        )
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


def _weights_folder(weights_dir: str | None) -> Check:
    """Check that the models that are still to be fetched have room."""
    folder = weights.download_folder(weights_dir)
    missing = [
        model
        for model in map(weights.get, weights.default_downloads())
        if weights.find(model.name, weights_dir) is None
    ]
    needed_gb = sum(model.size or 0 for model in missing) / GB
    if folder.exists() and not folder.is_dir():
        return Check(
            name="weights folder",
            state="problem",
            found=f"`{folder}` is a file, not a folder",
            fix="name a folder with --weights DIR",
        )
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free_gb = shutil.disk_usage(existing).free / GB
    return Check(
        name="weights folder",
        state="ok" if free_gb >= needed_gb else "problem",
        found=f"`{folder}`, {free_gb:.1f} GB free; {needed_gb:.2f} GB are not fetched yet",
        fix="free some space, or name a folder on another disk with --weights DIR",
    )


def _body(weights_dir: str | None) -> Check:
    from closefit.body.model import Body

    name = weights.body_model("auto", weights_dir)
    try:
        path = weights.locate(name, weights_dir)
        body = Body.load(path)
    except ClosefitError as error:
        return Check(name="body", state="problem", found=error.message, fix=error.hint)
    kind = "SMPL" if name == "smpl" else "the free body; SMPL is not imported, nor needed"
    licence = weights.get(name).licence
    found = f"{kind}; {body.num_vertices} vertices ({path}); licence: {licence}"
    return Check(name="body", state="ok", found=found)


def _is_default(model: Model) -> bool:
    """Whether a run can use the model by default, unlike larger variants."""
    shipped = model.obtain is not None
    return model.name not in weights.BODIES.values() and (
        bool(model.backends) or model.optional or shipped
    )


def _model(model: Model, weights_dir: str | None) -> Check:
    copy = weights.inspect(model, weights_dir)
    if copy.state == "missing":
        found = f"not here ({model.purpose}; {model.size_text}); licence: {model.licence}"
        fix = weights.obtain_hint(model)
        return Check(name=model.name, state="missing", found=found, fix=fix)
    if copy.state == "damaged":
        return Check(
            name=model.name,
            state="problem",
            found=f"`{copy.path}` is damaged: {copy.problem}",
            fix=f"delete it, then {weights.obtain_hint(model)}",
        )
    own = " (weights of your own)" if copy.state == "own" else ""
    return Check(name=model.name, state="ok", found=f"{copy.path}{own}; licence: {model.licence}")


def _licences(weights_dir: str | None) -> Check:
    """List the licences of what is here."""
    used: dict[str, list[str]] = {}
    for model in weights.manifest().values():
        if weights.find(model.name, weights_dir) is not None:
            used.setdefault(model.licence, []).append(model.name)
    if importlib.util.find_spec("ultralytics") is not None:
        used.setdefault("AGPL-3.0", []).append("the package ultralytics (--perception yolo, full)")
    terms = [f"{licence}: {', '.join(names)}" for licence, names in used.items()]
    return Check(name="licences", state="ok", found="; ".join(["MIT: closefit itself", *terms]))
