"""What the prior is worth: {direct, prior} x {appearance} x {penetration}, before and after.

    python benchmarks/proxemics.py CLIPS [--preset draft] [--out DIR]

CLIPS is a folder of clips as `benchmarks/ablation.py` takes it; the true focal length is known.
`direct` lifts keypoints and moves poses themselves; `prior` samples the prior and finetunes its
weights (`--set optimize.motion=prior`); `prior+direct` starts from the prior and moves poses. What
is finished is kept: a second call repeats nothing that is done.
"""

import argparse
from pathlib import Path
from typing import Any

from cells import OWN, Bench, Cell, Conditions, Variant, find_clips, mean_scores
from measuring import publish, table

MOTIONS = {
    "direct": ("init.prior=false", "optimize.motion=direct"),
    "prior": ("init.prior=true", "optimize.motion=prior"),
    "prior+direct": ("init.prior=true", "optimize.motion=direct"),
}
"""Name -> how init starts, and how the optimisation moves."""

TERMS = ((True, True), (False, True), (False, False), (True, False))
"""Appearance, penetration; what matters most and what is quick come first."""

FIGURES = ("mpjpe_mm", "pair_pa_mpjpe_mm", "interaction_mm", "a_pd_mm", "contact_recall",
           "wrong_depth_order", "acceleration_mm")  # fmt: skip
STAGES = ("init", "optimize")


def main() -> None:
    """Run every cell, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/bench-proxemics"))
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--jobs", type=int, default=1, help="cells at the same time")
    parser.add_argument("--motions", nargs="*", default=list(MOTIONS), choices=list(MOTIONS))
    parser.add_argument("--full-only", action="store_true", help="only with both terms on")
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    options = parser.parse_args()
    clips = find_clips(options.clips)
    bench = Bench(
        options.out, Conditions(options.preset, settings=tuple(options.set)), options.jobs
    )
    cells: list[dict[str, Any]] = []
    for motion in options.motions:
        for appearance, penetration in TERMS[: 1 if options.full_only else None]:
            results = bench.run(
                [Cell(clip, OWN, variant(motion, appearance, penetration)) for clip in clips]
            )
            if bench.failed:
                raise SystemExit(f"failed: {', '.join(bench.failed)}")
            cells.append(
                {
                    "motion": motion,
                    "appearance": appearance,
                    "penetration": penetration,
                    "clips": {result["clip"]: result["scores"] for result in results},
                    "mean": {
                        stage: mean_scores([result["scores"][stage] for result in results])
                        for stage in STAGES
                    },
                }
            )
            content = {"preset": options.preset, "set": options.set, "cells": cells}
            publish("proxemics", content, [_table(cells)])


def variant(motion: str, appearance: bool, penetration: bool) -> Variant:
    """One combination as settings of both stages."""
    init, moved = MOTIONS[motion]
    terms = (
        f"optimize.appearance={str(appearance).lower()}",
        f"optimize.physics={0.5 if penetration else 0.0}",
    )
    return Variant(f"{motion}-a{appearance:d}-p{penetration:d}", (init,), (moved, *terms))


def _table(cells: list[dict[str, Any]]) -> str:
    header = ["motion", "appearance", "penetration", "stage", *FIGURES]
    rows = [
        [
            cell["motion"], "on" if cell["appearance"] else "off",
            "on" if cell["penetration"] else "off", stage,
            *(cell["mean"][stage][name] for name in FIGURES),
        ]
        for cell in cells
        for stage in STAGES
    ]  # fmt: skip
    return table(header, rows)


if __name__ == "__main__":
    main()
