"""What the prior is worth: {direct, prior} x {appearance} x {penetration}, before and after.

    python benchmarks/proxemics.py CLIPS [--preset draft] [--out DIR] [--jobs 2]

CLIPS is a folder of clips as `benchmarks/ablation.py` takes it; the true focal length is known.
`direct` lifts keypoints, `prior` starts from the prior; both move poses themselves. `finetuned`
starts from the prior and moves its weights (`--set optimize.motion=prior`). What is finished is
kept, in the same place as the cells of the ablation, which has some of them: nothing is run twice.
"""

import argparse
from pathlib import Path
from typing import Any

from ablation import NO_PRIOR, ROWS
from cells import OWN, Bench, Cell, Conditions, Variant, find_clips, mean_scores
from measuring import publish, table

NO_APPEARANCE, NO_PENETRATION = "optimize.appearance=false", "optimize.physics=0"
TERMS = {
    (True, True): (),
    (False, True): (NO_APPEARANCE,),
    (False, False): (NO_APPEARANCE, NO_PENETRATION),
    (True, False): (NO_PENETRATION,),
}
"""(Appearance, penetration) -> settings; what matters most and what is quick come first."""

MOTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "direct": (NO_PRIOR, ()),
    "prior": ((), ()),
    "finetuned": ((), ("optimize.motion=prior",)),
}
"""Name -> how init starts, and how the optimisation moves."""

FIGURES = ("mpjpe_mm", "pair_pa_mpjpe_mm", "interaction_mm", "a_pd_mm", "contact_recall",
           "wrong_depth_order", "acceleration_mm")  # fmt: skip
STAGES = ("init", "optimize")


def main() -> None:
    """Run every cell, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/bench-ablation"))
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
        for appearance, penetration in list(TERMS)[: 1 if options.full_only else None]:
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
    """One combination as settings of both stages, by the ablation's name where it has it."""
    init, moved = MOTIONS[motion]
    optimize = (*moved, *TERMS[appearance, penetration])
    for row in ROWS:
        if (row.init, row.optimize) == (init, optimize):
            return row
    return Variant(f"{motion}-a{appearance:d}-p{penetration:d}", init, optimize)


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
