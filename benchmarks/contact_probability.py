"""How probable contacts of body parts are: the fit, how well it holds, and rules for reporting.

    python -m benchmarks.contact_probability CLIPS ... --quality OUT [--cells DIR ...]

Reads the finished runs of `benchmarks/quality` (`OUT`, of the same clips) and of
`benchmarks/ablation.py` (whole clips; on these the rules are compared) and runs nothing. Each clip
is judged by a fit to the others. Only what real detectors found is fitted to: users have nothing
else. The weights in `closefit/quality/contact_probability.py` are those of the fit to all clips,
and are changed by hand.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.contact_rows import Judged, collect
from benchmarks.measuring import publish, table
from closefit.evaluation.metrics import CONTACT_TOLERANCE_FRAMES, part_contact_score
from closefit.exporters.contacts import NEAR_M, PLAUSIBLE_DEPTH_MM
from closefit.quality.contact_probability import LEAST_PROBABILITY, Weights, evidence

NAMES = [field.name for field in fields(Weights)][:-1]
SIGNS = {name: -1 for name in NAMES} | {"agreement": 1, "hands": 0}
"""What may raise the probability, what may only lower it; 0 for either."""

RIDGE = 1e-4
"""Of squared weights of standardised features, against the mean negative log likelihood."""

DEPTHS_MM = (0.0, 0.001, 10.0, 20.0, 30.0, 40.0, 50.0, 300.0)
DEEP = ("hug", "side_hug", "ballroom", "clinch", "from_behind")
"""Generated clips whose truth is 48 to 87 mm deep; that of all others is 31 mm at most."""

SIMULATED = "simulated"
GROUPS = (SIMULATED, "yolo")
Rule = Callable[[Judged, np.ndarray], np.ndarray]


def main() -> None:
    """Fit, judge, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", help="folders of clips with truth")
    parser.add_argument("--quality", type=Path, default=Path("results/bench-quality"))
    parser.add_argument("--cells", type=Path, nargs="*", default=[])
    parser.add_argument("--cache", type=Path, default=Path("results/contact_rows.npz"))
    parser.add_argument(
        "--without", nargs="*", default=list(DEEP), help="clips whose own truth is too deep"
    )
    parser.add_argument("--name", default="contact_probability")
    options = parser.parse_args()
    runs = collect(options.clips, options.quality, options.cells, options.cache)
    runs = [run for run in runs if run.clip not in options.without]
    features = [np.stack(list(_evidence(run).values()), axis=-1) for run in runs]
    clips = sorted({run.clip for run in runs})
    real = np.array([run.detector != SIMULATED for run in runs])
    probabilities: list[np.ndarray] = [np.empty(0)] * len(runs)
    for clip in clips:
        other = np.array([run.clip != clip for run in runs])
        weights = fit(runs, features, (real & other).tolist())
        for number, run in enumerate(runs):
            if run.clip == clip:
                probabilities[number] = expit(features[number] @ weights[:-1] + weights[-1])
    weights = fit(runs, features, real.tolist())
    reliable = {group: reliability(runs, probabilities, group) for group in GROUPS}
    rules = compare(runs, probabilities)
    data = {
        "weights": dict(zip([*NAMES, "intercept"], weights.round(3).tolist(), strict=True)),
        "pieces": sum(not run.of for run in runs),
        "calibration error": {group: reliable[group][0] for group in GROUPS},
        "F1": rules,
    }
    publish(options.name, data, _tables(runs, data, reliable))


def fit(runs: list[Judged], features: list[np.ndarray], used: Sequence[bool]) -> np.ndarray:
    """Logistic regression on pairs of parts that come near each other; intercept last.

    Each clip counts alike. Weights have the sign that they are known to have.
    """
    chosen = [number for number, use in enumerate(used) if use]
    masks = {number: _candidates(runs[number]) for number in chosen}
    count = Counter[str]()
    for number, mask in masks.items():
        count[runs[number].clip] += int(mask.sum())
    rows = np.concatenate([features[number][mask] for number, mask in masks.items()])
    touch = np.concatenate([_event(runs[number])[mask] for number, mask in masks.items()])
    each = [np.full(int(m.sum()), 1.0 / max(count[runs[n].clip], 1)) for n, m in masks.items()]
    share = np.concatenate(each)
    share /= share.sum()
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    standard = np.c_[(rows - mean) / spread, np.ones(len(rows))]
    sign = np.where(touch, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (standard @ weights)
        slope = -(share * sign * expit(-margin)) @ standard
        kept = np.r_[weights[:-1], 0.0]
        value = share @ np.logaddexp(0.0, -margin) + RIDGE * kept @ kept
        return float(value), slope + 2.0 * RIDGE * kept

    bounds = [{-1: (None, 0.0), 0: (None, None), 1: (0.0, None)}[SIGNS[name]] for name in NAMES]
    start = np.zeros(len(NAMES) + 1)
    best = minimize(loss, start, jac=True, bounds=[*bounds, (None, None)], method="L-BFGS-B").x
    weights = best[:-1] / spread
    return np.r_[weights, best[-1] - weights @ mean]


def reliability(
    runs: list[Judged], probabilities: list[np.ndarray], group: str
) -> tuple[float, list[list[object]]]:
    """Expected calibration error, and a table; each clip counts alike."""
    mine = [number for number, run in enumerate(runs) if run.detector == group]
    count = Counter[str]()
    for number in mine:
        count[runs[number].clip] += int(_candidates(runs[number]).sum())
    said, true, share = [], [], []
    for number in mine:
        near = _candidates(runs[number])
        said.append(probabilities[number][near])
        true.append(_event(runs[number])[near])
        share.append(np.full(int(near.sum()), 1.0 / max(count[runs[number].clip], 1)))
    p, y, w = map(np.concatenate, (said, true, share))
    w = w / w.sum()
    error, rows = 0.0, []
    for low in np.arange(10) / 10.0:
        inside = (p >= low) & (p < low + 0.1)
        if inside.any():
            mean, measured = (float(np.average(x[inside], weights=w[inside])) for x in (p, y))
            error += float(w[inside].sum()) * abs(mean - measured)
            rows.append([f"{low:.1f} to {low + 0.1:.1f}", int(inside.sum()), mean, measured])
    return error, rows


def hysteresis(probability: np.ndarray, begins: float, lasts: float) -> np.ndarray:
    """Where a contact lasts: stretches above `lasts` in which the probability passes `begins`."""
    found = np.zeros(probability.shape, bool)
    for order in (slice(None), slice(None, None, -1)):
        on = np.zeros(probability.shape[1:], bool)
        for values, out in zip(probability[order], found[order], strict=True):
            on = (values > lasts) & (on | (values > begins))
            out |= on
    return found


RULES: dict[str, Rule] = {
    "nearer than 10 mm, or inside": lambda run, _: _touching(run),
    **{
        f"the same, not deeper than {depth} mm": lambda run, _, depth=depth: (
            _touching(run) & (run.arrays["depth_mm"] <= depth)
        )
        for depth in (20, 30, 40, 50, 60)
    },
    "probability over 0.5": lambda _, p: p > 0.5,
    "probability over 0.3": lambda _, p: p > 0.3,
    "begins over 0.5, lasts while over 0.3": lambda _, p: hysteresis(p, 0.5, 0.3),
    "begins over 0.5, lasts while over 0.2": lambda _, p: hysteresis(p, 0.5, 0.2),
    "begins over 0.3, lasts while over 0.2": lambda _, p: hysteresis(p, 0.3, 0.2),
    **{
        f"touching, not deeper than 40 mm, probability over {least}": lambda run, p, least=least: (
            _touching(run) & (run.arrays["depth_mm"] <= PLAUSIBLE_DEPTH_MM) & (p > least)
        )
        for least in (0.03, 0.05, 0.1, 0.2, 0.5)
    },
}
"""Which contacts may be reported."""

REPORTED = f"touching, not deeper than 40 mm, probability over {LEAST_PROBABILITY:g}"
"""The rule in use."""


def compare(runs: list[Judged], probabilities: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """F1 of contacts by rule, and by clip, detections and stage of the whole clips."""
    found: dict[str, dict[str, float]] = {}
    for name, rule in RULES.items():
        found[name] = {}
        for run, p in zip(runs, probabilities, strict=True):
            if run.of and run.detector in GROUPS:
                both = run.arrays["valid"].all(axis=1)
                score = part_contact_score(rule(run, p), run.arrays["truth"], both)
                found[name][f"{run.stage} {run.detector} {run.clip}"] = score.f1
        for group in GROUPS:
            mine = [n for n, run in enumerate(runs) if not run.of and run.detector == group]
            found[name][f"pieces {group}"] = _f1_of_pieces(runs, probabilities, mine, rule)
    return found


def _f1_of_pieces(
    runs: list[Judged], probabilities: list[np.ndarray], mine: list[int], rule: Rule
) -> float:
    """Mean over clips of the F1 over all pieces of a clip."""
    scores = []
    for clip in sorted({runs[number].clip for number in mine}):
        of_clip = [number for number in mine if runs[number].clip == clip]
        gap = np.zeros(
            (CONTACT_TOLERANCE_FRAMES, *runs[of_clip[0]].arrays["truth"].shape[1:]), bool
        )
        said, true = [], []
        for number in of_clip:
            said += [rule(runs[number], probabilities[number]), gap]
            true += [runs[number].arrays["truth"], gap]
        predicted, truth = np.concatenate(said), np.concatenate(true)
        scores.append(part_contact_score(predicted, truth, np.ones(len(truth), bool)).f1)
    return float(np.nanmean(scores)) if scores else float("nan")


def _tables(
    runs: list[Judged], data: dict, reliable: dict[str, tuple[float, list[list[object]]]]
) -> list[str]:
    columns = list(next(iter(data["F1"].values())))
    means = sorted({" ".join(c.split()[:2]) for c in columns if not c.startswith("pieces")})
    rows: list[list[object]] = []
    plain = next(iter(data["F1"].values()))
    for name, scores in data["F1"].items():
        of_means = [
            float(np.mean([scores[c] for c in columns if c.startswith(f"{mean} ")]))
            for mean in means
        ]
        better = sum(scores[c] > plain[c] + 1e-9 for c in columns if not c.startswith("pieces"))
        worse = sum(scores[c] < plain[c] - 1e-9 for c in columns if not c.startswith("pieces"))
        pieces = [scores[f"pieces {group}"] for group in GROUPS]
        rows.append([name, *of_means, *pieces, f"{better} / {worse}"])
    header = ["rule", *means, *(f"pieces {group}" for group in GROUPS), "better / worse on"]
    clips = [[c, plain[c], data["F1"][REPORTED][c]] for c in columns]
    return [
        table(["feature", "weight"], [[k, v] for k, v in data["weights"].items()]),
        f"{data['pieces']} pieces. F1 of contacts, means over clips:",
        table(header, rows),
        table(["F1", next(iter(data["F1"])), REPORTED], clips),
        "Share of touching pairs that truly touch, by depth:",
        table(["depth mm", *(f"{g}: pairs, true" for g in GROUPS)], _by_depth(runs)),
        *(
            f"{group}: calibration error {error:.3f}\n\n"
            + table(["probability", "pairs and frames", "mean", "truly touch"], rows)
            for group, (error, rows) in reliable.items()
        ),
    ]


def _by_depth(runs: list[Judged]) -> list[list[object]]:
    rows: list[list[object]] = []
    for low, high in itertools.pairwise(DEPTHS_MM):
        row: list[object] = [f"{low:g} to {high:g}"]
        for group in GROUPS:
            true = np.concatenate(
                [
                    _event(run)[
                        _touching(run)
                        & (run.arrays["depth_mm"] >= low)
                        & (run.arrays["depth_mm"] < high)
                    ]
                    for run in runs
                    if run.detector == group
                ]
            )
            row.append(f"{len(true)}: {true.mean():.2f}" if len(true) else "0")
        rows.append(row)
    return rows


def _evidence(run: Judged) -> dict[str, np.ndarray]:
    return evidence(run.found, run.arrays["joints"], run.arrays["confidence"])


def _candidates(run: Judged) -> np.ndarray:
    """Pairs of parts within reach in the frame or in one within the tolerance."""
    return _widened(run.arrays["near_m"] < NEAR_M)


def _event(run: Judged) -> np.ndarray:
    """Whether the parts truly touch within the tolerance."""
    return _widened(run.arrays["truth"])


def _touching(run: Judged) -> np.ndarray:
    return np.isfinite(run.found.distance_m)


def _widened(frames: np.ndarray) -> np.ndarray:
    wide = frames.copy()
    for shift in range(1, CONTACT_TOLERANCE_FRAMES + 1):
        wide[shift:] |= frames[:-shift]
        wide[:-shift] |= frames[shift:]
    return wide


if __name__ == "__main__":
    main()
