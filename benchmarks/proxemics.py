"""What the prior is worth: {direct, prior} x {appearance} x {penetration}, before and after.

    python benchmarks/proxemics.py CLIPS [--preset draft] [--out DIR]

CLIPS is a folder of clips as `benchmarks/synth.py` takes it; every run knows the true focal length.
`direct` lifts keypoints and moves poses themselves; `prior` samples the prior and finetunes its
weights (`--set optimize.motion=prior`); `prior+direct` starts from the prior and moves poses. Each
cell is a results folder and its scores are kept: a second call repeats nothing that is done.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from measuring import publish, run_closefit, table

from closefit.evaluation import evaluate_run

INITS = {"direct": ["init.prior=false"], "prior": ["init.prior=true"]}
MOTIONS = {
    "direct": ("direct", ["optimize.motion=direct"]),
    "prior": ("prior", ["optimize.motion=prior"]),
    "prior+direct": ("prior", ["optimize.motion=direct"]),
}
"""Name -> which init, and how the optimisation moves."""

TERMS = ((True, True), (False, True), (False, False), (True, False))
"""Appearance, penetration; what matters most and what is quick come first."""

FIGURES = ("mpjpe_mm", "pair_pa_mpjpe_mm", "interaction_mm", "a_pd_mm", "contact_recall",
           "wrong_depth_order", "acceleration_mm")  # fmt: skip


def main() -> None:
    """Run every cell, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/bench-proxemics"))
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--motions", nargs="*", default=list(MOTIONS), choices=list(MOTIONS))
    parser.add_argument("--full-only", action="store_true", help="only with both terms on")
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    options = parser.parse_args()
    clips = sorted(truth.parent for truth in options.clips.glob("*/truth.npz"))
    cells: list[dict[str, Any]] = []
    for motion in options.motions:
        for appearance, penetration in TERMS:
            if options.full_only and not (appearance and penetration):
                continue
            scores = [_cell(clip, motion, appearance, penetration, options) for clip in clips]
            cells.append(
                {
                    "motion": motion,
                    "appearance": appearance,
                    "penetration": penetration,
                    "clips": dict(zip([clip.name for clip in clips], scores, strict=True)),
                    "mean": {
                        stage: {
                            name: _mean([score[stage][name] for score in scores])
                            for name in FIGURES
                        }
                        for stage in ("init", "optimize")
                    },
                }
            )
            publish("proxemics", {"preset": options.preset, "set": options.set, "cells": cells},
                    [_table(cells)])  # fmt: skip


def _cell(
    clip: Path, motion: str, appearance: bool, penetration: bool, options: argparse.Namespace
) -> dict[str, dict[str, float | None]]:
    """Run one clip with one combination, unless that is done, and score both stages."""
    init, moved = MOTIONS[motion]
    base = options.out / f"{clip.name}-init-{init}"
    _run(clip, base, "init", INITS[init], options)
    folder = options.out / f"{clip.name}-{motion}-a{appearance:d}-p{penetration:d}"
    kept = folder.with_suffix(".json")
    if kept.is_file():
        found: dict[str, dict[str, float | None]] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    if not folder.exists():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(base, partial)
        partial.rename(folder)
    settings = [
        *INITS[init], *moved, f"optimize.appearance={str(appearance).lower()}",
        f"optimize.physics={0.5 if penetration else 0.0}",
    ]  # fmt: skip
    _run(clip, folder, "optimize", settings, options)
    measures = evaluate_run(folder, clip / "truth.npz", clip.parent / "body.npz")
    scores = {stage: measures[stage].as_dict() for stage in ("init", "optimize")}
    found = {stage: {name: scores[stage][name] for name in FIGURES} for stage in scores}
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def _run(
    clip: Path, folder: Path, until: str, settings: list[str], options: argparse.Namespace
) -> None:
    with np.load(clip / "truth.npz") as truth:
        focal = float(truth["K"][0, 0])
    arguments = ["run", str(clip / "video.mp4"), "--out", str(folder), "--until", until]
    arguments += ["--observations", str(clip / "observations.npz"), "--preset", options.preset]
    arguments += ["--focal", str(focal)]
    for assignment in [*settings, *options.set]:
        arguments += ["--set", assignment]
    run_closefit(arguments)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _table(cells: list[dict[str, Any]]) -> str:
    header = ["motion", "appearance", "penetration", "stage", *FIGURES]
    rows = [
        [
            cell["motion"], "on" if cell["appearance"] else "off",
            "on" if cell["penetration"] else "off", stage,
            *(cell["mean"][stage][name] for name in FIGURES),
        ]
        for cell in cells
        for stage in ("init", "optimize")
    ]  # fmt: skip
    return table(header, rows)


if __name__ == "__main__":
    main()
