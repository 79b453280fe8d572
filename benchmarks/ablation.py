"""The paper's Table 3 on clips with exact truth: what each part of the method is worth.

    python benchmarks/ablation.py CLIPS [--jobs 2] [--seeds own 1 2] [--detector yolo]
    python benchmarks/ablation.py CLIPS --rows initial full --fov-default

CLIPS is a folder of clips (`NAME/video.mp4`, `observations.npz`, `truth.npz`) with the body of the
truth beside them (`body.npz`). Every clip is run with several detections: its own (`own`), ones
simulated with other seeds, and with `--detector` what a real detector finds in the rendered video
(models outside the usual places: CLOSEFIT_WEIGHTS=DIR). Finished cells are kept in --out and not
repeated; see cells.py. If all clips and rows were requested, the table goes to results/.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cells import (
    DETECTORS,
    HARD,
    OWN,
    Bench,
    Cell,
    Conditions,
    Scores,
    Variant,
    find_clips,
    mean_scores,
)
from measuring import publish, table

from closefit.evaluation.runs import Measures

NO_PRIOR = ("init.prior=false",)
ROWS = (
    Variant("keypoints-only", NO_PRIOR, ("optimize.appearance=false", "optimize.physics=0")),
    Variant("initial", optimize=None),
    Variant("no-appearance", optimize=("optimize.appearance=false",)),
    Variant("no-proxemics", NO_PRIOR),
    Variant("direct", optimize=("optimize.motion=direct",)),
    Variant("finetuned", optimize=("optimize.motion=prior",)),
    Variant("both", optimize=("optimize.motion=both",)),
    Variant("no-physics", optimize=("optimize.physics=0",)),
    Variant("full"),
)
"""Keypoints only is the floor: SMPLify with one floor for both people and smooth motion."""

MOTION_ROWS = ("direct", "finetuned", "both")
"""Named to be run: one of them is the default's `full`."""

LABELS = {
    "keypoints-only": "keypoints only",
    "initial": "initial",
    "no-appearance": "w/o appearance",
    "no-proxemics": "w/o proxemics: no prior",
    "direct": "w/o proxemics: own variables",
    "finetuned": "finetuned prior",
    "both": "prior and own variables",
    "no-physics": "w/o physics",
    "full": "full",
}
COLUMNS = {
    "mpjpe_mm": "MPJPE",
    "pa_mpjpe_mm": "PA",
    "pair_pa_mpjpe_mm": "pair PA",
    "mpvpe_mm": "MPVPE",
    "interaction_mm": "interaction",
    "a_pd_mm": "A-PD",
    "contact_precision": "contact prec.",
    "contact_recall": "contact rec.",
    "part_contact_precision": "part contact prec.",
    "part_contact_recall": "part contact rec.",
    "part_contact_f1": "part contact F1",
    "contact_gap_mm": "gap in contact",
    "wrong_depth_order": "wrong order",
    "acceleration_mm": "accel.",
    "identity_swaps": "swaps",
    "valid_share": "scored",
}
A_PD_FLOOR_MM = 0.1
"""Penetration after optimize may be half of init's, or this much."""
STAGES = ("track", "init", "optimize")

Results = list[dict[str, Any]]
Means = dict[str, list[Scores]]
"""Row -> mean over the clips, for each source of detections."""


def main() -> None:
    """Run what is missing, then print (and publish) the tables."""
    options = _options()
    clips = find_clips(options.clips, options.only)
    rows = [row for row in ROWS if row.name in options.rows]
    conditions = Conditions(options.preset, not options.fov_default, tuple(options.set))
    bench = Bench(options.out, conditions, options.jobs)
    groups: dict[str, list[str]] = {"simulated detections": options.seeds}
    groups["detections with parts missing"] = [f"{HARD}{seed}" for seed in options.hard]
    groups |= {f"detector {name}": [name] for name in options.detector}
    data: dict[str, Any] = {
        "preset": options.preset,
        "focal": "true" if conditions.true_focal else "default field of view",
        "settings": options.set,
        "rows": {row.name: {"init": row.init, "optimize": row.optimize} for row in rows},
    }
    tables = [f"Preset `{data['preset']}`, focal length: {data['focal']}, {len(clips)} clips."]
    for group, sources in groups.items():
        if not sources:
            continue
        results: Results = []
        for source in sources:  # one after the other: a stopped benchmark has whole seeds
            results += bench.run([Cell(clip, source, row) for row in rows for clip in clips])
            print(_progress(results, clips), file=sys.stderr, flush=True)
        data[group] = {"means": _means(results, clips), "cells": results}
        tables += [f"## {group} ({', '.join(sources)})", *_tables(results, clips)]
    is_part = options.only or len(rows) < len(ROWS) - len(MOTION_ROWS)
    if (is_part and not options.name) or bench.failed:
        print("\n\n".join(tables))
        print("\nnot all rows and clips, and no --name: nothing is written to results/")
    else:
        suffix = "" if conditions.true_focal else "_default_fov"
        preset = "" if options.preset == "draft" else f"_{options.preset}"
        publish(options.name or f"ablation{suffix}{preset}", data, tables)
    if bench.failed:
        raise SystemExit(f"these failed, the call again tries again: {', '.join(bench.failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of clips")
    parser.add_argument("--out", type=Path, default=Path("results/bench-ablation"))
    parser.add_argument("--jobs", type=int, default=1, help="cells at the same time")
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--fov-default", action="store_true", help="do not use the true focal")
    parser.add_argument(
        "--seeds",
        nargs="*",
        type=_seed,
        default=[OWN, "1", "2"],
        help="simulated detections: numbers, and `own` for the clip's",
    )
    parser.add_argument(
        "--hard",
        nargs="*",
        type=int,
        default=[],
        help="seeds of detections that lose a person for a while and half of the other one",
    )
    parser.add_argument("--detector", nargs="*", default=[], choices=DETECTORS)
    names = [row.name for row in ROWS]
    usual = [name for name in names if name not in MOTION_ROWS]
    parser.add_argument("--rows", nargs="*", default=usual, choices=names)
    parser.add_argument("--only", nargs="*", metavar="CLIP", help="of the clips only these")
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    parser.add_argument("--name", help="of the files in results/")
    return parser.parse_args()


def _seed(text: str) -> str:
    return text if text == OWN else str(int(text))


def _means(results: Results, clips: Sequence[Path]) -> Means:
    """Means over the clips by row; a source that lacks a clip is left out."""
    means: Means = {}
    for row in ROWS:
        found = [result for result in results if result["variant"] == row.name]
        for source in dict.fromkeys(result["source"] for result in found):
            scores = [_last(result) for result in found if result["source"] == source]
            if len(scores) == len(clips):
                means.setdefault(row.name, []).append(mean_scores(scores))
    return means


def _last(result: dict[str, Any]) -> Scores:
    """Scores of the last stage that a cell ran."""
    scores: dict[str, Scores] = result["scores"]
    return scores["optimize"] if "optimize" in scores else scores["init"]


def _tables(results: Results, clips: Sequence[Path]) -> list[str]:
    means = _means(results, clips)
    units = Measures.labels()
    header = [f"{text} ({units[name][1]})" for name, text in COLUMNS.items()]
    lines = [
        [LABELS[row], *(_spread(many, name) for name in COLUMNS)] for row, many in means.items()
    ]
    tables = [table(["", *header], lines)]
    sources = list(dict.fromkeys(result["source"] for result in results))
    if len(sources) > 1:
        tables.append(
            "Mean over the clips; ± is the standard deviation of that mean over the seeds."
        )
    verdicts = [verdict for check in CHECKS if (verdict := check(means)) is not None]
    if verdicts:
        columns = ["to reach", "limit", "measured", "reached"]
        tables.append(table(columns, [verdict.cells() for verdict in verdicts]))
    tables += [_by_clip(results, clips, header), _seconds(results)]
    commits = sorted({str(result["commit"]) for result in results})
    if len(commits) > 1:
        tables.append(f"WARNING: cells of different commits: {', '.join(commits)} (same code).")
    return [text for text in tables if text]


def _by_clip(results: Results, clips: Sequence[Path], header: Sequence[str]) -> str:
    """Each clip before and after, mean over the seeds."""
    lines: list[list[object]] = []
    for clip in clips:
        for row in ("initial", "full"):
            found = [
                _last(result)
                for result in results
                if result["clip"] == clip.name and result["variant"] == row
            ]
            if found:
                lines.append([clip.name, row, *(_spread(found, name) for name in COLUMNS)])
    return table(["clip", "", *header], lines) if lines else ""


def _seconds(results: Results) -> str:
    """Mean seconds per clip of each stage; with several jobs each had its share of the cores."""
    lines: list[list[object]] = []
    for row in ROWS:
        found = [result["seconds"] for result in results if result["variant"] == row.name]
        means = [
            float(np.mean(known)) if (known := [f[stage] for f in found if stage in f]) else None
            for stage in STAGES
        ]
        if found:
            lines.append([LABELS[row.name], *means])
    return table(["seconds a clip", *STAGES], lines)


def _progress(results: Results, clips: Sequence[Path]) -> str:
    """One line after each seed: where things stand."""
    means = _means(results, clips)
    parts = [f"{LABELS[row]} {_spread(many, 'mpjpe_mm')}" for row, many in means.items()]
    return "MPJPE (mm) so far: " + ", ".join(parts)


def _spread(entries: Sequence[Scores], name: str) -> str:
    """Mean of a figure over entries, with the standard deviation where there are several."""
    known = [value for entry in entries if (value := entry[name]) is not None]
    return _mean_and_spread(known)


def _mean_and_spread(values: Sequence[float]) -> str:
    """Mean and, of several values, standard deviation, with digits that suit the mean."""
    if not values:
        return "-"
    mean = float(np.mean(values))
    digits = 4 if abs(mean) < 0.1 else 3 if abs(mean) < 1 else 2 if abs(mean) < 10 else 1
    if not any(values):
        return "0"
    text = f"{mean:.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


@dataclass(frozen=True)
class Verdict:
    """A number to reach, and what was measured."""

    what: str
    limit: str
    measured: str
    reached: bool

    def cells(self) -> list[object]:
        """A row of the table of verdicts."""
        return [self.what, self.limit, self.measured, "yes" if self.reached else "NO"]


Check = Callable[[Means], Verdict | None]


def _drop(name: str, label: str, percent: float) -> Check:
    """`full` is lower than `initial` by so many percent."""

    def check(means: Means) -> Verdict | None:
        pairs = _paired(means, "full", "initial", name)
        if pairs is None:
            return None
        changes = [100.0 * (full / initial - 1.0) for full, initial in pairs]
        measured = f"{_mean_and_spread(changes)} %"
        return Verdict(
            f"{label}, full against initial", f"-{percent:g} %", measured,
            float(np.mean(changes)) <= -percent,
        )  # fmt: skip

    return check


def _below(name: str, label: str, limit: float, scale: float, unit: str) -> Check:
    """`full` stays under a limit."""

    def check(means: Means) -> Verdict | None:
        values = [scale * (entry[name] or 0.0) for entry in means.get("full", [])]
        if not values:
            return None
        measured = f"{_mean_and_spread(values)} {unit}"
        return Verdict(label, f"under {limit:g} {unit}", measured, float(np.mean(values)) < limit)

    return check


def _worse(row: str, name: str, label: str) -> Check:
    """Leaving a part out makes the measure that it is for worse."""

    def check(means: Means) -> Verdict | None:
        pairs = _paired(means, row, "full", name)
        if pairs is None:
            return None
        without, full = (float(np.mean(side)) for side in zip(*pairs, strict=True))
        return Verdict(
            f"{label}, {LABELS[row]} worse than full", f"over {full:.3g}", f"{without:.3g}",
            without > full,
        )  # fmt: skip

    return check


def _penetration(means: Means) -> Verdict | None:
    pairs = _paired(means, "full", "initial", "a_pd_mm")
    if pairs is None:
        return None
    full, initial = (float(np.mean(side)) for side in zip(*pairs, strict=True))
    limit = max(0.5 * initial, A_PD_FLOOR_MM)
    limit_text = f"at most {limit:.3f} mm"
    return Verdict("A-PD, full", limit_text, f"{full:.3f} mm", full <= limit)


def _recall(means: Means) -> Verdict | None:
    pairs = _paired(means, "full", "initial", "contact_recall")
    if pairs is None:
        return None
    full, initial = (100.0 * float(np.mean(side)) for side in zip(*pairs, strict=True))
    limit = f"at least initial's {initial:.1f} %"
    return Verdict("contact recall, full", limit, f"{full:.1f} %", full >= initial)


def _paired(means: Means, first: str, second: str, name: str) -> list[tuple[float, float]] | None:
    """The same figure of two rows, seed by seed; None where a row was not run."""
    if len(means.get(first, [])) != len(means.get(second, [])) or first not in means:
        return None
    pairs = zip(means[first], means[second], strict=True)
    known = [(a[name], b[name]) for a, b in pairs]
    return [(a, b) for a, b in known if a is not None and b is not None] or None


CHECKS: tuple[Check, ...] = (
    _drop("mpjpe_mm", "MPJPE", 15.0),
    _drop("interaction_mm", "interaction error", 15.0),
    _penetration,
    _recall,
    _below("wrong_depth_order", "frames in wrong depth order, full", 6.0, 100.0, "%"),
    _below("mpjpe_mm", "MPJPE, full", 60.0, 1.0, "mm"),
    _below("pair_pa_mpjpe_mm", "pair PA-MPJPE, full", 60.0, 1.0, "mm"),
    _worse("no-appearance", "wrong_depth_order", "wrong depth order"),
    _worse("no-appearance", "mpjpe_mm", "MPJPE"),
    _worse("no-proxemics", "interaction_mm", "interaction error"),
    _worse("no-physics", "a_pd_mm", "A-PD"),
)
"""The numbers to reach. A depth order that is never wrong leaves appearance nothing to improve."""


if __name__ == "__main__":
    main()
