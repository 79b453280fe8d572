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
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import gpu_pack  # noqa: E402 - benchmarks import each other by bare name
import gpu_parts  # noqa: E402
from gpu_parts import PRIOR_S, Day, Found  # noqa: E402

RESULTS = Path(__file__).parent / "results"
TOTAL_S = 530.0
"""Of the nine minutes, leaving some for writing results."""

GOALS = {"128 frames, default": 20.0}
"""Seconds of `optimize` on an H200 (issue: ready for the GPU)."""

MAX_WHOLE_S = 40.0
"""Of a whole run of 128 frames in `default`, with detections."""

MAX_GROWTH = 4.2
"""Time of 512 frames over that of 128."""


def profile(day: Day) -> Found:
    """Profile one joint step of `optimize`; imported late, for it imports PyTorch."""
    import gpu_profile

    return gpu_profile.profile(day)


@dataclass(frozen=True)
class Part:
    """A part of the day, its longest time, and whether it runs beside the others."""

    run: Callable[[Day], Found]
    seconds: float
    beside: bool = False


PARTS = {
    part.run.__name__: part
    for part in (
        Part(gpu_parts.clips, 300, beside=True),
        Part(gpu_parts.shards, 60, beside=True),
        Part(gpu_parts.build, 320, beside=True),
        Part(gpu_parts.prior, PRIOR_S),
        Part(gpu_parts.perceive, 90),
        Part(gpu_parts.tests, 90),
        Part(gpu_parts.rasterisers, 30),
        Part(profile, 50),
        Part(gpu_parts.whole, 60),
        Part(gpu_parts.optimize, 200),
    )
}
AFTER = {"prior": "shards", "perceive": "clips", "tests": "build"}
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
    text = [
        f"# gpu\n\n{where['card']}, PyTorch {where['torch']}, commit {where['commit']}",
        table(["part", "result", "seconds"], rows),
        table(["goal", "measured", "at most", "met"], _goals({} if day.dry else done)),
        table(header, cells),
        "A whole run is one from imported detections plus the time of YOLO, ViTPose and SAM 2.1 "
        "with random weights of full size on the same pictures.",
    ]
    (folder / "gpu.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")


def _goals(done: dict[str, Found]) -> list[list[object]]:
    """Rows of the goals: what was measured (None if nothing was), the limit, whether it holds."""
    seconds = {
        name: cell.get("seconds")
        for name, cell in done.get("optimize", {}).items()
        if isinstance(cell, dict)
    }
    rows: list[tuple[str, float | None, float]] = [
        (f"seconds of optimize, {name}", seconds.get(name), limit) for name, limit in GOALS.items()
    ]
    from_detections, detectors = (
        done.get(name, {}).get("seconds") for name in ("whole", "perceive")
    )
    whole = from_detections and detectors and from_detections + detectors
    rows.append(("seconds of a whole run, 128 frames, default", whole, MAX_WHOLE_S))
    for preset in ("default", "draft"):
        short, long = (seconds.get(f"{frames} frames, {preset}") for frames in (128, 512))
        growth = long / short if short and long else None
        rows.append((f"512 frames over 128 frames, {preset}", growth, MAX_GROWTH))
    plain, compiled = (
        seconds.get("128 frames, default"),
        seconds.get("128 frames, default, compiled"),
    )
    gain = compiled / plain if plain and compiled else None
    rows.append(("optimize.compile on over off", gain, 1.0))
    return [
        [name, found, limit, None if found is None else "yes" if found <= limit else "no"]
        for name, found, limit in rows
    ]


def _said(found: Found) -> str:
    if "error" in found:
        return f"failed: {found['error']}"
    plain = {k: v for k, v in found.items() if isinstance(v, (int, float, str)) and k != "part_s"}
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}"
                     for k, v in plain.items()) or "see gpu.json"  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the options name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, metavar="DIR", help="download wheels in parts")
    parser.add_argument("--part-mb", type=int, default=gpu_pack.PART_MB)
    parser.add_argument("--python", default="3.12", help="version of the machine, for --pack")
    parser.add_argument("--store", nargs=2, type=Path, metavar=("DIR", "PART"))
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="install these parts first")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--ends", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts only")
    options = parser.parse_args(arguments)
    if options.pack:
        print("\n".join(map(str, gpu_pack.pack(options.pack, options.part_mb, options.python))))
        return
    if options.store:
        gpu_pack.store(*options.store)
        return
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    work = options.work or Path(tempfile.mkdtemp(prefix="closefit-gpu-"))
    day = Day(work, options.dry_run, options.ends or time.time() + TOTAL_S)
    if day.dry:
        import gpu_stand_ins

        gpu_stand_ins.shorten()
    if options.part:
        found = _in_this_process(PARTS[options.part].run, day)
        (work / f"{options.part}.json").write_text(json.dumps(found, default=str))
        return
    work.mkdir(parents=True, exist_ok=True)
    installed = gpu_pack.install(options.wheels, work) if options.wheels else {}
    parts = {name: part for name, part in PARTS.items() if name in (options.only or PARTS)}
    done = {"install": installed} | run_day(day, parts)
    print((work if day.dry else RESULTS).joinpath("gpu.md").read_text(encoding="utf-8"))
    failed = [name for name, found in done.items() if "error" in found]
    sys.exit(f"failed: {', '.join(failed)}; see gpu.json" if failed else 0)


if __name__ == "__main__":
    main()
