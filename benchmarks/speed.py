"""How long does `optimize` take, and how much memory? `python benchmarks/speed.py`.

Makes clips of several lengths at 480x360, runs `track` and `init`, then times `optimize` for each
preset and device. A finished cell is kept in the output folder and not repeated. With `--passes`
the plan is shortened, and the time of the whole plan is computed from that of a step. Time per step
and peak memory must not grow with the clip: the run fails when one grows by more than 20 %.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from measuring import publish, run_closefit, table

from closefit.demo import make_clip
from closefit.settings import build_config

TOLERANCE = 0.20
LONG = 64
"""Shorter clips than this have shorter steps."""
COLUMNS = ("device", "preset", "frames", "steps", "seconds", "seconds_per_step",
           "frames_per_second", "whole_plan_s", "peak_memory_gb")  # fmt: skip
SHARES = 6


def main() -> None:
    """Time every cell, publish, compare long clips with short ones."""
    options = _options()
    name = "speed" if options.passes is None else "speed_by_length"
    cells = []
    for device in options.devices:
        for preset in options.presets:
            for frames in sorted(options.frames):
                cells.append(_cell(frames, preset, device, options))
                publish(name, {"passes": options.passes, "note": options.note, "cells": cells},
                        [options.note, _table(cells), _shares(cells)])  # fmt: skip
    grown = [text for text in (_growth(cells, key) for key in _settings(cells)) if text]
    if grown:
        sys.exit("\n".join(grown))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 64, 128, 512])
    parser.add_argument("--presets", nargs="+", default=["draft", "default"])
    parser.add_argument("--devices", nargs="+", default=["cpu"], choices=["cpu", "cuda"])
    parser.add_argument("--passes", type=int, help="joint passes, instead of the preset's")
    parser.add_argument("--settings", nargs="+", default=[], help="for optimize, as KEY=VALUE")
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--out", type=Path, default=Path("results/bench-speed"))
    return parser.parse_args()


def _cell(frames: int, preset: str, device: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time `stage optimize` in a process of its own, unless that is done."""
    start = _until_init(frames, preset, options.out)
    more: list[str] = options.settings
    name = "-".join([str(frames), preset, device, str(options.passes or "all"), *more])
    folder = options.out / name
    kept = options.out / f"{name}.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)
    settings = ["--device", device, *(word for one in more for word in ("--set", one))]
    if options.passes is not None:
        settings += [
            "--set",
            f"optimize.passes={options.passes}",
            "--set",
            "optimize.warmup_passes=1",
        ]
    cost = run_closefit(["stage", "optimize", str(folder), *settings])
    stage = json.loads((folder / "run.json").read_text(encoding="utf-8"))["stages"]["optimize"]
    steps, seconds = stage["profile"]["steps"], stage["seconds"]
    per_step = stage["profile"]["seconds_per_step"]
    whole = _planned_passes(preset) * steps / _passes(preset, options.passes)
    found = {
        "device": device,
        "preset": preset,
        "frames": frames,
        "steps": steps,
        "seconds": seconds,
        "seconds_per_step": per_step,
        "frames_per_second": frames / (seconds + per_step * (whole - steps)),
        "whole_plan_s": seconds + per_step * (whole - steps),
        "peak_memory_gb": cost.peak_memory_gb,
        "share": stage["profile"]["share"],
    }
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def _until_init(frames: int, preset: str, out: Path) -> Path:
    """A results folder of a new clip, done as far as `init`; made once."""
    source, folder = out / f"clip-{frames}", out / f"{frames}-{preset}-init"
    if not (source / "observations.npz").is_file():
        make_clip(source, frames=frames)
    if not (folder / "artifacts" / "init.npz").is_file():
        start = ["run", str(source / "video.mp4"), "--out", str(folder), "--until", "init"]
        observations = ["--observations", str(source / "observations.npz")]
        run_closefit([*start, *observations, "--preset", preset])
    return folder


def _planned_passes(preset: str) -> int:
    config = build_config(assignments=[f"preset={preset}"]).optimize
    return config.passes + config.warmup_passes


def _passes(preset: str, joint: int | None) -> int:
    return _planned_passes(preset) if joint is None else joint + 1


def _table(cells: list[dict[str, Any]]) -> str:
    return table(list(COLUMNS), [[cell[name] for name in COLUMNS] for cell in cells])


def _shares(cells: list[dict[str, Any]]) -> str:
    """The largest shares of a step's time."""
    rows = [
        [
            cell["device"],
            cell["preset"],
            cell["frames"],
            ", ".join(f"{name} {100 * s:.0f} %" for name, s in [*cell["share"].items()][:SHARES]),
        ]
        for cell in cells
    ]
    return table(["device", "preset", "frames", "where the time goes"], rows)


def _settings(cells: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(cell["device"], cell["preset"]) for cell in cells}


def _growth(cells: list[dict[str, Any]], key: tuple[str, str]) -> str | None:
    """Report what grew with the length of the clip, if anything did."""
    long = [c for c in cells if (c["device"], c["preset"]) == key and c["frames"] >= LONG]
    grown = [
        f"{name} of {' '.join(key)} grew from {long[0][name]:.3g} to {cell[name]:.3g} "
        f"between {long[0]['frames']} and {cell['frames']} frames"
        for cell in long[1:]
        for name in ("seconds_per_step", "peak_memory_gb")
        if cell[name] > (1.0 + TOLERANCE) * long[0][name]
    ]
    return "\n".join(grown) or None


if __name__ == "__main__":
    main()
