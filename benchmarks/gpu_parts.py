"""The parts of the day with a GPU; each returns what it found, for `gpu.json`."""

import argparse
import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

PRIOR_S = 160.0
"""Of training: the GPU has nothing else to do while gsplat is compiled."""

Found = dict[str, Any]

SMALLER = ("init.steps=5", "init.prior_steps=5", "init.prior_samples=1", "optimize.passes=4",
           "optimize.warmup_passes=1", "optimize.image_size_px=64", "optimize.map_size=32",
           "export.overlay=false")  # fmt: skip
"""Settings of a dry run."""


@dataclass(frozen=True)
class Day:
    """How the day is run; every part gets it.

    Attributes:
        work: Folder for clips, runs and installed wheels.
        dry: On the CPU, as small as possible.
        ends: When the day is over, on the clock of `time.time`.
    """

    work: Path
    dry: bool
    ends: float

    @property
    def device(self) -> str:
        """Where to compute."""
        return "cpu" if self.dry else "cuda"

    @property
    def left_s(self) -> float:
        """Seconds until the day is over."""
        return self.ends - time.time()

    @property
    def clip(self) -> tuple[int, str]:
        """Frames and preset of the run that is profiled."""
        return (8, "draft") if self.dry else (128, "default")


def clips(day: Day) -> Found:
    """Make the clips and bring them as far as `init` for each preset, on the CPU."""
    speed = _speed(day)
    started, lengths = time.time(), [8] if day.dry else [128, 512]
    for frames in lengths:
        for preset in ["draft"] if day.dry else ["draft", "default"]:
            speed._until_init(frames, preset, day.work)
    return {"frames": lengths, "seconds": time.time() - started}


def shards(day: Day) -> Found:
    """Generate motion for the prior, on the CPU."""
    hours = 0.001 if day.dry else 0.1
    _closefit(day, "prior", "prepare", "--generate", str(hours), "--out", str(day.work / "shards"))
    return {"hours": hours}


def build(day: Day) -> Found:
    """Compile gsplat for this card and draw once."""
    from closefit.appearance.raster import gsplat
    from closefit.appearance.raster.toolchain import Toolchain, compiled_library

    tools, package = Toolchain.find(), gsplat.package_folder()
    found: Found = {"nvcc": tools.nvcc_version, "host": tools.host_version, "fixes": tools.fixes()}
    if day.dry:
        return found | {"compiled": "not in a dry run"}
    started = time.time()
    obstacle = gsplat.obstacle()
    if obstacle:
        raise RuntimeError(obstacle)
    library = package and compiled_library(package)
    size = library.stat().st_size if library else 0
    return found | {"seconds": time.time() - started, "library_mb": size / 1e6}


def perceive(day: Day) -> Found:
    """Time the detectors of `--perception full` on the clip, with random weights of full size.

    What they find is noise; the time does not depend on it. The first pictures are not timed:
    libraries choose their kernels there.
    """
    import gpu_networks
    import numpy as np
    import torch

    from closefit import video

    frames, _ = day.clip
    with np.load(day.work / f"clip-{frames}" / "truth.npz") as truth:
        boxes = truth["boxes"].astype(float)
    info = video.probe(day.work / f"clip-{frames}" / "video.mp4")
    pictures = [picture for _, picture in zip(boxes, video.frames(info), strict=True)]
    found: Found = {}
    for name, detect in gpu_networks.detectors(day.work / "networks", day.device, day.dry).items():
        warm = min(16, frames)
        detect(pictures[:warm], boxes[:warm])
        wait(day)
        started = time.perf_counter()
        detect(pictures, boxes)
        wait(day)
        found[name] = time.perf_counter() - started
    found["seconds"] = sum(found.values())
    if not day.dry:
        found["gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def prior(day: Day) -> Found:
    """Train the prior while the CPU compiles gsplat."""
    arguments = ["train-prior", str(day.work / "shards"), "--out", str(day.work / "prior"),
                 "--device", day.device]  # fmt: skip
    started = time.time()
    if day.dry:
        small = [word for name in ("network.width=32", "network.feed_forward=32")
                 for word in ("--set", name)]  # fmt: skip
        closefit_here(*arguments, "--steps", "2", "--batch", "2", *small)
        return {"seconds": time.time() - started}
    process = subprocess.Popen(
        [*_program(), *arguments, "--steps", "100000", "--batch", "512"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=PRIOR_S - 20.0)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
    return {"seconds": time.time() - started, "end": said.strip().splitlines()[-8:]}


def tests(day: Day) -> Found:
    """Run all tests marked `gpu`; in a dry run only collect them, in this process."""
    plain = "addopts=--import-mode=importlib --strict-markers"  # types are checked elsewhere
    arguments = ["-q", "-m", "gpu", "-p", "no:cacheprovider", "-o", plain,
                 "tests/gpu", "tests/unit/appearance/test_rasterizer.py"]  # fmt: skip
    if day.dry:
        lines, code = _collected([*arguments, "--collect-only", "-o", "filterwarnings="])
    else:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines, code = (result.stdout or result.stderr).strip().splitlines(), result.returncode
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    found: Found = {"summary": lines[-1] if lines else "", "exit_code": code, "failed": failed}
    return found | ({"end": lines[-40:], "error": found["summary"]} if code else {})


def _collected(arguments: list[str]) -> tuple[list[str], int]:
    """Lines of pytest and exit code; PyTorch is imported already, which takes long."""
    import pytest

    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.chdir(ROOT):
        code = int(pytest.main(arguments))
    return said.getvalue().strip().splitlines(), code


def rasterisers(day: Day) -> Found:
    """Time the rasterisers on the scene of `benchmarks/rasterizer.py`."""
    import rasterizer as scene

    frames, number, size, repeats = (2, 500, 64, 1) if day.dry else (64, 16_000, 192, 6)
    drawn = scene.cover(scene.two_people(frames), number, size, radius_px=3.0)
    times = {
        backend: scene.measure(backend, drawn, size, repeats, day.device).total_s
        for backend in (["portable"] if day.dry else ["gsplat", "portable"])
    }
    # Forward and backward read and write each Gaussian (15 numbers) and each pixel (7) about once.
    moved = 4 * 2 * frames * (15 * number + 7 * size**2)
    return {"seconds": times, "limit_s": moved / _bytes_per_second(day), "bytes_moved": moved}


def _bytes_per_second(day: Day) -> float:
    """Rate of a large copy on the device, bytes read plus bytes written."""
    import torch

    source = torch.rand(2**20 if day.dry else 2**28, device=day.device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        wait(day)
        started = time.perf_counter()
        target.copy_(source)
        wait(day)
        best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def optimize(day: Day) -> Found:
    """Time stage `optimize` for both lengths and presets, and once more compiled."""
    speed = _speed(day)
    cells: dict[str, Found] = {}
    plan = [(8, "draft")] if day.dry else [
        (frames, preset) for preset in ("default", "draft") for frames in (128, 512)
    ]  # fmt: skip
    for frames, preset, compiled in [(*cell, False) for cell in plan] + [(*day.clip, True)]:
        name = f"{frames} frames, {preset}{', compiled' * compiled}"
        options = argparse.Namespace(
            out=day.work,
            passes=1 if day.dry else None,
            settings=["optimize.compile=true"] if compiled else [],
        )
        try:
            cells[name] = speed._cell(frames, preset, day.device, options)
        except (SystemExit, OSError, KeyError) as error:
            cells[name] = {"error": str(error)}
    failed = [name for name, cell in cells.items() if "error" in cell]
    return cells | ({"error": f"failed: {', '.join(failed)}"} if failed else {})


def whole(day: Day) -> Found:
    """Time a whole run from imported detections, from starting Python to the last file."""
    frames, preset = day.clip
    clip, out = day.work / f"clip-{frames}", day.work / "whole"
    shutil.rmtree(out, ignore_errors=True)
    started = time.time()
    _closefit(day, "run", str(clip / "video.mp4"), "--observations",
              str(clip / "observations.npz"), "--out", str(out), "--preset", preset,
              "--device", day.device, *smaller(day))  # fmt: skip
    seconds = time.time() - started
    stages = json.loads((out / "run.json").read_text(encoding="utf-8"))["stages"]
    return {"seconds": seconds} | {name: entry["seconds"] for name, entry in stages.items()}


def copy_of_run(day: Day, frames: int, preset: str, name: str) -> Path:
    """A fresh copy of a run that is done as far as `init`."""
    folder = day.work / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(day.work / f"{frames}-{preset}-init", folder)
    return folder


def wait(day: Day) -> None:
    """Wait until the GPU has done what it was given."""
    import torch

    if not day.dry:
        torch.cuda.synchronize()


def _program() -> list[str]:
    return [sys.executable, "-c", "from closefit.cli.main import main; main()"]


def smaller(day: Day) -> list[str]:
    """Options of a dry run; none on the day."""
    return day.dry * [word for setting in SMALLER for word in ("--set", setting)]


def _closefit(day: Day, *arguments: str) -> None:
    """Run closefit, in a dry run without starting Python again."""
    if day.dry:
        closefit_here(*arguments)
    else:
        subprocess.run([*_program(), *arguments], cwd=ROOT, check=True)


def closefit_here(*arguments: str) -> None:
    """Run closefit in this process; an error is raised, an interruption is not."""
    from closefit.cli.app import app

    app(list(arguments), standalone_mode=False)


def _speed(day: Day) -> Any:
    """The benchmark of `optimize`; a dry run starts no processes."""
    import measuring
    import speed

    def run(arguments: Sequence[str]) -> measuring.Cost:
        started = time.time()
        closefit_here(*arguments, *smaller(day))
        return measuring.Cost(time.time() - started, 0.0, 0.0)

    if day.dry:
        speed.run_closefit = run
    return speed
