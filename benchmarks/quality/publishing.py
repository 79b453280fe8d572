"""Fits the model that ships and writes `results/quality.md`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.measuring import machine, publish, table
from benchmarks.quality.fitting import Figures, fit, held_out, reliability, roc_area
from benchmarks.quality.table import Table, read_table
from benchmarks.quality.truths import is_kept
from closefit.quality.features import FEATURES
from closefit.quality.model import FORMAT, MODEL, VERSION, QualityModel, probability
from closefit.quality.windows import around_frames

HEADER = ["", "runs", "to be kept", "agreement", "calibration error", "ROC area", "Brier"]


def fit_and_publish(out: Path, full: Table | None = None) -> None:
    """Fit on all runs of a folder; measure with each clip held out in turn.

    `full` are pieces of runs with full settings, which nothing is fitted to.
    """
    runs, failed = read_table(out)
    found = held_out(runs.features, runs.kept, runs.column("clip"))
    by_family = held_out(runs.features, runs.kept, runs.column("family"))
    model = fit(runs.features, runs.kept)
    write_model(model, f"{len(runs.kept)} runs, commit {machine()['commit']}")
    groups: dict[str, dict[str, Figures]] = {
        "all": {
            "clips held out": Figures.of(found, runs.kept),
            "families of clips held out": Figures.of(by_family, runs.kept),
        },
        **{name: _grouped(runs, found, name) for name in ("detector", "kind", "settings", "clip")},
        "frames": {"frames of clips held out": _of_frames(runs)},
    }
    if full is not None:
        groups["full"] = _carried_over(runs, full)
    tables = [_lead(runs, failed), _table(groups["all"])]
    tables += ["## How far a probability can be trusted", _reliability(found, runs.kept)]
    titles = {
        "detector": "By detector",
        "kind": "By damage",
        "settings": "By settings",
        "clip": "By clip",
        "frames": "Frames",
        "full": "Pieces of whole clips with the full settings of `draft`",
    }
    for name, title in ((name, title) for name, title in titles.items() if name in groups):
        tables += [f"## {title}", _table(groups[name])]
    tables += ["## What a feature weighs", _weights(runs, model)]
    data: dict[str, Any] = {
        name: {key: vars(figures) for key, figures in group.items()}
        for name, group in groups.items()
    }
    rows = zip(runs.records, found.round(4).tolist(), runs.kept.tolist(), strict=True)
    data["runs"] = [
        {**record["spec"], "family": record["family"], "score": score, "kept": kept}
        | {key: round(float(np.mean(record["errors"][key])), 1) for key in ERRORS}
        for record, score, kept in rows
    ]
    publish("quality", data, tables)


ERRORS = ("mpjpe_mm", "interaction_mm")


def write_model(model: QualityModel, made: str, path: Path = MODEL) -> None:
    """Write the model as `closefit.quality.model.read_model` reads it."""
    columns = {key: getattr(model, key) for key in ("mean", "spread", "weight", "usual")}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "made": made,
        "intercept": round(model.intercept, 5),
        "features": {
            feature.name: {
                key: round(float(column[number]), 5) + 0.0 for key, column in columns.items()
            }
            for number, feature in enumerate(FEATURES)
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _lead(runs: Table, failed: list[dict[str, Any]]) -> str:
    clips = len(set(runs.column("clip")))
    seconds = sum(record["seconds"] for record in runs.records) / len(runs.records)
    return (
        f"{len(runs.kept)} runs of pieces of {clips} clips with exact truth, {seconds:.0f} s each "
        f"on one core; {len(failed)} more ended with an error and have no result. A result is to "
        "be kept with an MPJPE under 80 mm, an interaction error under 100 mm and the right person "
        "in front in 95 % of the frames, over all frames. Each run is judged by a model that was "
        "trained without its clip. Agreement: the score is on the same side of one half. "
        "Calibration error: expected, ten bins."
    )


def _grouped(runs: Table, found: Float[np.ndarray, " run"], name: str) -> dict[str, Figures]:
    column = runs.column(name)
    return {
        str(value): Figures.of(found[column == value], runs.kept[column == value])
        for value in np.unique(column)
    }


def _of_frames(runs: Table) -> Figures:
    """Scores of single frames of held-out clips against whether the frame itself is right."""
    found, right = [], []
    clips = runs.column("clip")
    for clip in np.unique(clips):
        model = fit(runs.features[clips != clip], runs.kept[clips != clip])
        for number in np.flatnonzero(clips == clip):
            windows = around_frames(runs.frames[number], runs.fps[number])
            found.append(probability(model.log_odds(windows)))
            errors = runs.records[number]["errors"]
            right += [is_kept(errors, slice(n, n + 1)) for n in range(len(windows))]
    return Figures.of(np.concatenate(found), np.array(right))


def _carried_over(runs: Table, full: Table) -> dict[str, Figures]:
    """Figures of pieces of full runs, judged by models that saw nothing of their clips."""
    found, clips, detectors = np.zeros(len(full.kept)), full.column("clip"), full.column("detector")
    for clip in np.unique(clips):
        train = runs.column("clip") != clip
        model = fit(runs.features[train], runs.kept[train])
        found[clips == clip] = probability(model.log_odds(full.features[clips == clip]))
    groups = {"all": np.ones(len(found), bool)}
    groups |= {str(name): detectors == name for name in np.unique(detectors)}
    return {name: Figures.of(found[here], full.kept[here]) for name, here in groups.items()}


def _table(group: dict[str, Figures]) -> str:
    return table(
        HEADER,
        [
            [
                name,
                figures.runs,
                f"{figures.base_rate:.0%}",
                f"{figures.agreement:.1%}",
                round(figures.calibration_error, 3),
                round(figures.area, 3),
                round(figures.brier, 3),
            ]
            for name, figures in group.items()
        ],
    )


def _reliability(found: Float[np.ndarray, " run"], kept: Bool[np.ndarray, " run"]) -> str:
    lines = [
        [count, f"{mean:.0%}", f"{share:.0%}"] for count, mean, share in reliability(found, kept)
    ]
    return table(["runs", "mean score", "to be kept"], lines)


def _weights(runs: Table, model: QualityModel) -> str:
    rows = []
    for number, feature in enumerate(FEATURES):
        column = runs.features[:, number]
        known = np.isfinite(column)
        one = roc_area(-column[known], runs.kept[known])
        figure = format(model.usual[number] * feature.factor, feature.figure)
        rows.append(
            [feature.name, feature.text, figure, round(float(model.weight[number]), 2), one]
        )
    return table(["feature", "in words", "usual", "log-odds per deviation", "ROC area alone"], rows)
