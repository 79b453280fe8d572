"""The paper's Table 3 with the presets that reproduce the paper (docs/paper.md).

    python benchmarks/paper_table.py CLIPS [--sources own yolo] [--only dev_01] [--jobs 2]

CLIPS and sources are those of `benchmarks/ablation.py`, and finished cells are kept like its cells.
Without --fov-55 the true focal length is given. Each ablation has to be worse than the full method
in the measure that its part is for.
"""

import argparse
from pathlib import Path
from typing import Any

from cells import OWN, Bench, Cell, Conditions, Scores, Variant, find_clips, mean_scores
from measuring import publish, table

FULL = "ours"
ROWS: dict[str, tuple[str, Variant]] = {
    "initial prediction": ("paper", Variant("initial", optimize=None)),
    "w/o appearance": ("paper-without-appearance", Variant("paper")),
    "w/o proxemics": ("paper-without-proxemics", Variant("paper")),
    "w/o physics": ("paper-without-physics", Variant("paper")),
    FULL: ("paper", Variant("paper")),
}
"""Row -> preset and cell."""

FIGURES = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "interaction_mm", "a_pd_mm", "wrong_depth_order")
SIGNS = {
    "w/o appearance": "mpjpe_mm",
    "w/o proxemics": "interaction_mm",
    "w/o physics": "a_pd_mm",
}
"""Row -> the measure that has to be worse than in the full method."""


def main() -> None:
    """Run what is missing, then publish the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/bench-ablation"))
    parser.add_argument("--jobs", type=int, default=1, help="cells at the same time")
    parser.add_argument("--sources", nargs="*", default=[OWN])
    parser.add_argument("--only", nargs="*", metavar="CLIP", help="of the clips only these")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--fov-55", action="store_true", help="do not use the true focal")
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    options = parser.parse_args()
    clips = find_clips(options.clips, options.only)
    data: dict[str, Any] = {"settings": options.set, "clips": [clip.name for clip in clips]}
    tables = [f"{len(clips)} clips, focal length: {'55 degrees' if options.fov_55 else 'true'}."]
    for source in options.sources:
        means = {}
        for row in options.rows:
            preset, variant = ROWS[row]
            conditions = Conditions(preset, not options.fov_55, tuple(options.set))
            bench = Bench(options.out, conditions, options.jobs)
            found = bench.run([Cell(clip, source, variant) for clip in clips])
            if bench.failed:
                raise SystemExit(f"failed: {', '.join(bench.failed)}")
            last = "init" if variant.optimize is None else "optimize"
            means[row] = mean_scores([result["scores"][last] for result in found])
        data[source] = means
        tables += [f"## Detections: {source}", *_tables(means)]
    if len(options.rows) == len(ROWS):
        publish("paper_table", data, tables)
    else:
        print("\n\n".join(tables))


def _tables(means: dict[str, Scores]) -> list[str]:
    rows = [[row, *(scores[name] for name in FIGURES)] for row, scores in means.items()]
    signs = [
        [row, name, means[FULL][name], means[row][name], _is_worse(means, row, name)]
        for row, name in SIGNS.items()
        if row in means and FULL in means
    ]
    header = ["part left out", "measure", FULL, "without", "worse without"]
    return [table(["", *FIGURES], rows), table(header, signs)]


def _is_worse(means: dict[str, Scores], row: str, name: str) -> str:
    without, full = means[row][name], means[FULL][name]
    return "yes" if without is not None and full is not None and without > full else "NO"


if __name__ == "__main__":
    main()
