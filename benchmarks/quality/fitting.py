"""Fits the model, and measures it on clips that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.stats import rankdata

from closefit.quality.model import QualityModel, bent, probability

PENALTY = 1.0
"""Of the squared weights, against the sum of the log losses."""

BINS = 10
LEAST_SPREAD = 1e-3
CLIP_SHARE = 0.5
"""From this probability on a result counts as one that would be kept."""


def fit(
    features: Float[np.ndarray, "run feature"],
    kept: Bool[np.ndarray, " run"],
    penalty: float = PENALTY,
) -> QualityModel:
    """Return the model with the least penalised log loss; its weights are not positive."""
    curved = np.where(np.isfinite(features), bent(features), np.nan)
    known = np.isfinite(curved)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, curved, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (curved - mean) ** 2, 0.0).sum(axis=0) / count)
    spread = np.maximum(spread, LEAST_SPREAD)
    good = np.where(known & kept[:, None], features, np.nan)
    usual = np.array([np.nanmedian(c) if np.isfinite(c).any() else 0.0 for c in good.T])
    empty = QualityModel(0.0, mean, spread, np.zeros(len(mean)), usual)
    scaled, sign = empty.standardised(features), np.where(kept, 1.0, -1.0)

    def loss(values: Float[np.ndarray, " value"]) -> tuple[float, Float[np.ndarray, " value"]]:
        margin = sign * (values[0] + scaled @ values[1:])
        push = -sign * probability(-margin)
        total = np.logaddexp(0.0, -margin).sum() + 0.5 * penalty * (values[1:] ** 2).sum()
        return float(total), np.append(push.sum(), push @ scaled + penalty * values[1:])

    bounds = [(None, None), *[(None, 0.0)] * len(mean)]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds)
    return QualityModel(float(found.x[0]), mean, spread, np.minimum(found.x[1:], 0.0), usual)


def held_out(
    features: Float[np.ndarray, "run feature"],
    kept: Bool[np.ndarray, " run"],
    groups: Sequence[str] | np.ndarray,
    penalty: float = PENALTY,
) -> Float[np.ndarray, " run"]:
    """Return each run's probability from a model that saw no run of its group."""
    groups, found = np.asarray(groups), np.full(len(kept), np.nan)
    for group in np.unique(groups):
        test = groups == group
        model = fit(features[~test], kept[~test], penalty)
        found[test] = probability(model.log_odds(features[test]))
    return found


@dataclass(frozen=True)
class Figures:
    """How well probabilities agree with what came of it."""

    runs: int
    base_rate: float
    agreement: float
    calibration_error: float
    area: float
    brier: float

    @classmethod
    def of(cls, found: Float[np.ndarray, " run"], kept: Bool[np.ndarray, " run"]) -> "Figures":
        """Measure them."""
        return cls(
            runs=len(kept),
            base_rate=float(kept.mean()),
            agreement=float(((found >= CLIP_SHARE) == kept).mean()),
            calibration_error=sum(
                abs(line[1] - line[2]) * line[0] for line in reliability(found, kept)
            )
            / len(kept),
            area=roc_area(found, kept),
            brier=float(((found - kept) ** 2).mean()),
        )


def reliability(
    found: Float[np.ndarray, " run"], kept: Bool[np.ndarray, " run"]
) -> list[tuple[int, float, float]]:
    """Return number of runs, mean probability and share kept of each bin that has runs."""
    bins = np.minimum((found * BINS).astype(int), BINS - 1)
    return [
        (int(here.sum()), float(found[here].mean()), float(kept[here].mean()))
        for here in (bins == number for number in range(BINS))
        if here.any()
    ]


def roc_area(found: Float[np.ndarray, " run"], kept: Bool[np.ndarray, " run"]) -> float:
    """Area under the ROC curve: how often a kept run is above another; NaN if all are alike."""
    good, bad = int(kept.sum()), int((~kept).sum())
    if not good or not bad:
        return float("nan")
    ranks = rankdata(found)[kept].sum()
    return float((ranks - 0.5 * good * (good + 1)) / (good * bad))
