"""Everything that a GPU has to show, in one command of under nine minutes.

    python benchmarks/gpu_day.py --pack DIR        here, with a network: wheels in small parts
    python benchmarks/gpu_day.py --store DIR PART  there: keep a part of the wheels, once for each
    python benchmarks/gpu_day.py --wheels DIR      there: install, build, test, measure, train
    python benchmarks/gpu_day.py --dry-run         anywhere: the same, tiny, on the CPU

The machine needs Linux, Python 3.12, PyTorch for its CUDA, nvcc and no network. Every part of the
day has its own time; one that fails or takes too long does not stop the others. Results are written
after every part.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
TOTAL_S = 530.0
"""Of the nine minutes, leaving some for writing results."""

PART_MB = 46
"""A part of the wheels and the project together stay under 64 MB."""

NEEDED = (
    "backports.strenum", "beartype", "dataclasses-json", "Deprecated", "gsplat", "imageio-ffmpeg",
    "jaxtyping", "lap", "marshmallow", "pygltflib", "roma", "smplx", "trimesh", "typing-inspect",
    "ultralytics", "ultralytics-thop", "wadler-lindig", "warp-lang",
)  # fmt: skip
"""What a machine with PyTorch, transformers, lightning, numba, scipy, pytest and typer lacks."""

PLATFORMS = tuple(f"manylinux{n}_x86_64" for n in ("1", "2014", "_2_17", "_2_27", "_2_28", "_2_34"))
PRIOR_S = 220.0
"""Of training: the GPU has nothing else to do while gsplat is compiled."""

GOALS = {"128 frames, default": 20.0}
"""Seconds of `optimize` on an H200 (issue: ready for the GPU)."""

MAX_GROWTH = 4.2
"""Time of 512 frames over that of 128."""


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


Found = dict[str, Any]


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
    hours = 0.002 if day.dry else 0.1
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


def tests(day: Day) -> Found:
    """Run all tests marked `gpu`."""
    plain = "addopts=--import-mode=importlib --strict-markers"  # types are checked on the day
    options = ["--collect-only", "-o", plain] if day.dry else []
    places = ["tests/gpu", "tests/unit/appearance/test_rasterizer.py"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider",
         *options, *places],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = result.stdout.strip().splitlines()
    found = {
        "summary": lines[-1] if lines else result.stderr[-300:],
        "exit_code": result.returncode,
    }
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return found | {"failed": failed, "end": lines[-40:] if result.returncode else []}


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
        _wait(day)
        started = time.perf_counter()
        target.copy_(source)
        _wait(day)
        best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def profile(day: Day) -> Found:
    """Profile one joint step of `optimize`: launches, waits of the host, the dearest operators."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorder

    from closefit.optimize.loop import JointLoop

    preset, frames = ("draft", 8) if day.dry else ("default", 128)
    settings = ["--set", "optimize.image_size_px=64"] if day.dry else []
    folder = _copy(day, frames, preset, "profiled")
    plain, seen = JointLoop.step, {"joint": 0}
    found: Found = {}

    class Seen(Exception):
        """Ends the run once a step was profiled."""

    def step(loop: JointLoop) -> None:
        before = loop.state.joint_steps
        if seen["joint"] < (2 if day.dry else 20):
            plain(loop)
            seen["joint"] += loop.state.joint_steps - before
            return
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (not day.dry)
        _wait(day)
        started = time.perf_counter()
        with recorder(activities=kinds) as record:
            plain(loop)
            _wait(day)
        events = record.key_averages()
        count = {event.key: event.count for event in events}
        key = "self_cpu_time_total" if day.dry else "self_device_time_total"
        dearest = sorted(events, key=lambda event: -getattr(event, key))[:12]
        found.update(
            seconds_profiled=time.perf_counter() - started,
            launches=sum(n for name, n in count.items() if "LaunchKernel" in name),
            waits={n: count[n] for n in count if "Synchronize" in n or "local_scalar" in n},
            dearest_ms={event.key[:60]: getattr(event, key) / 1e3 for event in dearest},
            share=loop.clock.profile()["share"],
            seconds_per_step=loop.clock.profile()["seconds_per_step"],
        )
        raise Seen

    from closefit.cli.main import app

    JointLoop.step = step  # type: ignore[method-assign]
    try:
        arguments = ["stage", "optimize", str(folder), "--device", day.device, *settings]
        app(arguments, standalone_mode=False)
    except Seen:
        pass
    finally:
        JointLoop.step = plain  # type: ignore[method-assign]
    return found


def optimize(day: Day) -> Found:
    """Time stage `optimize` for both lengths and presets."""
    speed = _speed(day)
    cells: dict[str, Found] = {}
    passes = 1 if day.dry else None
    options = argparse.Namespace(out=day.work, passes=passes)
    plan = [(8, "draft")] if day.dry else [
        (frames, preset) for preset in ("default", "draft") for frames in (128, 512)
    ]  # fmt: skip
    for frames, preset in plan:
        name = f"{frames} frames, {preset}"
        try:
            cells[name] = speed._cell(frames, preset, day.device, options)
        except (SystemExit, OSError, KeyError) as error:
            cells[name] = {"error": str(error)}
    failed = [name for name, cell in cells.items() if "error" in cell]
    return cells | ({"error": f"failed: {', '.join(failed)}"} if failed else {})


def prior(day: Day) -> Found:
    """Train the prior while the CPU compiles gsplat."""
    arguments = ["train-prior", str(day.work / "shards"), "--out", str(day.work / "prior"),
                 "--device", day.device]  # fmt: skip
    started = time.time()
    if day.dry:
        _closefit(day, *arguments, "--steps", "2", "--batch", "8")
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


@dataclass(frozen=True)
class Part:
    """A part of the day, its longest time, and whether it runs beside the others."""

    run: Callable[[Day], Found]
    seconds: float
    beside: bool = False


PARTS = {
    part.run.__name__: part
    for part in (
        Part(clips, 300, beside=True),
        Part(shards, 60, beside=True),
        Part(build, 320, beside=True),
        Part(prior, PRIOR_S),
        Part(tests, 90),
        Part(rasterisers, 30),
        Part(profile, 50),
        Part(optimize, 180),
    )
}
AFTER = {"prior": "shards", "tests": "build", "profile": "clips", "optimize": "clips"}
"""Parts that wait for one that runs beside them."""


def run_day(day: Day, parts: dict[str, Part], results: Path = RESULTS) -> dict[str, Found]:
    """Run the parts, each in a process of its own (in this one in a dry run), and publish."""
    done: dict[str, Found] = {}
    running: dict[str, tuple[subprocess.Popen[str], float]] = {}
    for name, part in parts.items():
        if not day.dry and part.beside:
            running[name] = (_start(name, day), time.time() + part.seconds)
    for name, part in parts.items():
        if name in running:
            continue
        first = AFTER.get(name)
        if first in running:
            done[first] = _finish(first, day, *running.pop(first))
        if day.left_s < 5:
            done[name] = {"error": "no time was left"}
        elif day.dry:
            done[name] = _in_this_process(part.run, day)
        else:
            done[name] = _finish(name, day, _start(name, day), time.time() + part.seconds)
        publish(done, day, results)
    for name, (process, ends) in running.items():
        done[name] = _finish(name, day, process, ends)
    publish(done, day, results)
    return done


def _in_this_process(run: Callable[[Day], Found], day: Day) -> Found:
    started = time.time()
    try:
        found = run(day)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - no part stops another
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
    return found | {"part_s": time.time() - started}


def _start(name: str, day: Day) -> "subprocess.Popen[str]":
    arguments = ["--part", name, "--work", str(day.work), "--ends", str(day.ends)]
    log = (day.work / f"{name}.log").open("w")
    return subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=log, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def _finish(name: str, day: Day, process: "subprocess.Popen[str]", ends: float) -> Found:
    try:
        process.wait(timeout=max(min(ends, day.ends) - time.time(), 1.0))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return {"error": "took too long", "log": _end_of(day.work / f"{name}.log")}
    try:
        found: Found = json.loads((day.work / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"error": f"exit code {process.returncode}",
                "log": _end_of(day.work / f"{name}.log")}  # fmt: skip
    return found


def _end_of(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-15:]


def publish(done: dict[str, Found], day: Day, results: Path) -> None:
    """Write `gpu.json` and `gpu.md`; a dry run writes to its working folder."""
    import torch
    from measuring import machine, table

    card = "CPU (dry run)" if day.dry else torch.cuda.get_device_name()
    where = machine() | {"card": card, "torch": torch.__version__, "cuda": torch.version.cuda}
    folder = day.work if day.dry else results
    content = json.dumps({"machine": where, "parts": done}, indent=1, default=str)
    (folder / "gpu.json").write_text(content + "\n", encoding="utf-8")
    rows = [[name, _said(found), found.get("part_s")] for name, found in done.items()]
    cells = [
        [name, cell.get("seconds"), GOALS.get(name), cell.get("seconds_per_step"),
         cell.get("peak_memory_gb"), cell.get("error")]
        for name, cell in done.get("optimize", {}).items() if isinstance(cell, dict)
    ]  # fmt: skip
    header = ["optimize", "seconds", "goal", "seconds per step", "host memory GB", "error"]
    times = {row[0]: row[1] for row in cells}
    growth = [
        f"512 frames take {times[f'512 frames, {preset}'] / times[f'128 frames, {preset}']:.2f} "
        f"times as long as 128 in `{preset}` (goal: at most {MAX_GROWTH})"
        for preset in ("draft", "default")
        if times.get(f"512 frames, {preset}") and times.get(f"128 frames, {preset}")
    ]
    text = [f"# gpu\n\n{where['card']}, PyTorch {where['torch']}, commit {where['commit']}",
            table(["part", "result", "seconds"], rows), table(header, cells), *growth]  # fmt: skip
    (folder / "gpu.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")


def _said(found: Found) -> str:
    if "error" in found:
        return f"failed: {found['error']}"
    plain = {k: v for k, v in found.items() if isinstance(v, (int, float, str)) and k != "part_s"}
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}"
                     for k, v in plain.items()) or "see gpu.json"  # fmt: skip


def pack(folder: Path, part_mb: int = PART_MB) -> list[Path]:
    """Download the wheels for Python 3.12 and cut them into files of at most `part_mb`."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = folder / "wheels"
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
         "--python-version", "3.12", "--implementation", "cp", *platforms,
         "--dest", str(wheels), *NEEDED],
        check=True,
    )  # fmt: skip
    whole = folder / "wheels.tar"
    with tarfile.open(whole, "w") as archive:
        for wheel in sorted(wheels.glob("*.whl")):
            archive.add(wheel, wheel.name)
    parts = split(whole, part_mb * 10**6)
    whole.unlink()
    return parts


def split(file: Path, size: int) -> list[Path]:
    """Cut a file into numbered parts of at most `size` bytes."""
    parts = []
    with file.open("rb") as source:
        while block := source.read(size):
            parts.append(file.with_suffix(f".{len(parts):03d}"))
            parts[-1].write_bytes(block)
    return parts


def join(folder: Path) -> Path:
    """Put the parts in `folder` together again and unpack them; returns the folder of wheels."""
    whole = folder / "wheels.tar"
    with whole.open("wb") as target:
        for part in sorted(folder.glob("wheels.[0-9][0-9][0-9]")):
            target.write(part.read_bytes())
    with tarfile.open(whole) as archive:
        archive.extractall(folder / "wheels", filter="data")
    return folder / "wheels"


def install(folder: Path, work: Path) -> Found:
    """Install the wheels beside what the machine has; later processes find them."""
    site, started = work / "site", time.time()
    wheels = [str(wheel) for wheel in sorted(join(folder).glob("*.whl"))]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
         "--no-compile", "--target", str(site), *wheels],
        check=True,
    )  # fmt: skip
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
    sys.path[:0] = [str(site), str(ROOT)]
    return {"wheels": len(wheels), "part_s": time.time() - started}


def _copy(day: Day, frames: int, preset: str, name: str) -> Path:
    import shutil

    folder = day.work / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(day.work / f"{frames}-{preset}-init", folder)
    return folder


def _wait(day: Day) -> None:
    import torch

    if not day.dry:
        torch.cuda.synchronize()


def _program() -> list[str]:
    return [sys.executable, "-c", "from closefit.cli.main import main; main()"]


def _closefit(day: Day, *arguments: str) -> None:
    """Run closefit, in a dry run without starting Python again."""
    if day.dry:
        from closefit.cli.main import app

        app(list(arguments), standalone_mode=False)
    else:
        subprocess.run([*_program(), *arguments], cwd=ROOT, check=True)


def _speed(day: Day) -> Any:
    """The benchmark of `optimize`; a dry run starts no processes."""
    import measuring
    import speed

    shorter = ["init.steps=10", "init.prior_steps=10", "optimize.image_size_px=64"]

    def run(arguments: Sequence[str]) -> measuring.Cost:
        started = time.time()
        settings = [word for setting in shorter for word in ("--set", setting)]
        _closefit(day, *arguments, *settings)
        return measuring.Cost(time.time() - started, 0.0, 0.0)

    if day.dry:
        speed.run_closefit = run
    return speed


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the options name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, metavar="DIR", help="download wheels in parts")
    parser.add_argument("--part-mb", type=int, default=PART_MB)
    parser.add_argument("--store", nargs=2, type=Path, metavar=("DIR", "PART"))
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="install these parts first")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--ends", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts only")
    options = parser.parse_args(arguments)
    if options.pack:
        print("\n".join(map(str, pack(options.pack, options.part_mb))))
        return
    if options.store:
        folder, part = options.store
        folder.mkdir(parents=True, exist_ok=True)
        (folder / part.name).write_bytes(part.read_bytes())
        return
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    work = options.work or Path(tempfile.mkdtemp(prefix="closefit-gpu-"))
    day = Day(work, options.dry_run, options.ends or time.time() + TOTAL_S)
    if options.part:
        found = _in_this_process(PARTS[options.part].run, day)
        (work / f"{options.part}.json").write_text(json.dumps(found, default=str))
        return
    work.mkdir(parents=True, exist_ok=True)
    installed = install(options.wheels, work) if options.wheels else {}
    parts = {name: part for name, part in PARTS.items() if name in (options.only or PARTS)}
    done = {"install": installed} | run_day(day, parts)
    print((work if day.dry else RESULTS).joinpath("gpu.md").read_text(encoding="utf-8"))
    failed = [name for name, found in done.items() if "error" in found]
    sys.exit(f"failed: {', '.join(failed)}; see gpu.json" if failed else 0)


if __name__ == "__main__":
    main()
