"""Fits the model, and measures it on clips that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.stats import rankdata

from closefit.quality.model import QualityModel, bent, probability

PENALTIES = (5.0, 20.0, 40.0, 80.0)
"""Of the squared weights, against the sum of the log losses."""

LEVELS = ((0.7, 0.5), (0.85, 0.5), (1.0, 1.0), (1.2, 0.5), (1.5, 0.5), (2.0, 0.5))
"""Severities that runs are told apart at, and how much each counts."""

BINS = 10
LEAST_SPREAD = 1e-3
CLIP_SHARE = 0.5
"""From this probability on a result counts as one that would be kept."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model, and what cheap settings change.

    Attributes:
        model: For results of whole runs.
        cheap_shift: Added to the log-odds of runs with a short first fit, whose errors are larger
            than their features tell. It is not part of what ships.
        penalty: The one of `PENALTIES` that was chosen.
    """

    model: QualityModel
    cheap_shift: float
    penalty: float

    def probability(
        self, features: Float[np.ndarray, "run feature"], cheap: Bool[np.ndarray, " run"]
    ) -> Float[np.ndarray, " run"]:
        """Return the score of each run."""
        return probability(self.model.log_odds(features) + self.cheap_shift * cheap)


def fit(
    features: Float[np.ndarray, "run feature"],
    severity: Float[np.ndarray, " run"],
    cheap: Bool[np.ndarray, " run"],
    groups: Sequence[str] | np.ndarray,
) -> Fitted:
    """Return the model with the least penalised log loss; its weights are not positive.

    How steep it is, where it crosses one half, and how much weights are penalised is chosen on
    log-odds of runs whose group was left out: those of a clip are alike, and a model is too sure of
    clips that it knows. Only the given runs are used for it.
    """
    kept, groups = severity < 1.0, np.asarray(groups)

    def calibration(penalty: float) -> Calibration:
        odds = _left_out(features, severity, cheap, groups, penalty)
        return _calibrated(odds, kept, cheap)

    found = {penalty: calibration(penalty) for penalty in PENALTIES}
    penalty = min(found, key=lambda tried: found[tried].loss)
    model, best = _weighted(features, severity, cheap, penalty), found[penalty]
    intercept = best.shift + best.scale * model.intercept
    return Fitted(
        replace(model, intercept=intercept, weight=best.scale * model.weight),
        best.cheap_shift,
        penalty,
    )


def _left_out(
    features: Float[np.ndarray, "run feature"],
    severity: Float[np.ndarray, " run"],
    cheap: Bool[np.ndarray, " run"],
    groups: np.ndarray,
    penalty: float,
) -> Float[np.ndarray, " run"]:
    """Log-odds of each run from weights that saw nothing of its group, if there are several."""
    names = np.unique(groups)
    if len(names) == 1:
        return _weighted(features, severity, cheap, penalty).log_odds(features)
    odds = np.full(len(severity), np.nan)
    for name in names:
        test = groups == name
        other = _weighted(features[~test], severity[~test], cheap[~test], penalty)
        odds[test] = other.log_odds(features[test])
    return odds


def _weighted(
    features: Float[np.ndarray, "run feature"],
    severity: Float[np.ndarray, " run"],
    cheap: Bool[np.ndarray, " run"],
    penalty: float,
) -> QualityModel:
    """The model by its weights; a run is to be kept below a severity of 1.

    Other levels are used as well: the same weights decide, with other intercepts, whether a run is
    below them (ordinal logistic regression, McCullagh 1980).
    """
    scaling = _scaling(features, severity < 1.0)
    scaled = np.column_stack([scaling.standardised(features), cheap])
    levels, shares = (np.array(column) for column in zip(*LEVELS, strict=True))
    sign = np.where(severity[:, None] < levels, 1.0, -1.0)

    def loss(values: Float[np.ndarray, " value"]) -> tuple[float, Float[np.ndarray, " value"]]:
        intercepts, weights = values[: len(levels)], values[len(levels) :]
        margin = sign * (intercepts + (scaled @ weights)[:, None])
        push = -sign * probability(-margin) * shares
        total = (np.logaddexp(0.0, -margin) * shares).sum()
        total += 0.5 * penalty * (weights**2).sum()
        slope = push.sum(axis=1) @ scaled + penalty * weights
        return float(total), np.append(push.sum(axis=0), slope)

    free = (None, None)
    bounds = [free] * len(levels) + [(None, 0.0)] * (scaled.shape[1] - 1) + [free]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds).x
    at_limit = float(found[int(np.argmax(levels == 1.0))])
    return replace(scaling, intercept=at_limit, weight=np.minimum(found[len(levels) : -1], 0.0))


def _scaling(
    features: Float[np.ndarray, "run feature"], kept: Bool[np.ndarray, " run"]
) -> QualityModel:
    """A model without weights."""
    curved = np.where(np.isfinite(features), bent(features), np.nan)
    known = np.isfinite(curved)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, curved, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (curved - mean) ** 2, 0.0).sum(axis=0) / count)
    good = np.where(known & kept[:, None], features, np.nan)
    usual = np.array([np.nanmedian(c) if np.isfinite(c).any() else 0.0 for c in good.T])
    return QualityModel(0.0, mean, np.maximum(spread, LEAST_SPREAD), np.zeros(len(mean)), usual)


@dataclass(frozen=True)
class Calibration:
    """A linear function of log-odds, a shift where settings are cheap, and the loss it leaves."""

    shift: float
    scale: float
    cheap_shift: float
    loss: float


def _calibrated(
    odds: Float[np.ndarray, " run"], kept: Bool[np.ndarray, " run"], cheap: Bool[np.ndarray, " run"]
) -> Calibration:
    """What fits best to what is kept."""
    sign = np.where(kept, 1.0, -1.0)

    def loss(values: Float[np.ndarray, "3"]) -> float:
        shift, scale, cheap_shift = values
        shrinkage = 0.5 * (scale - 1.0) ** 2 + 0.1 * cheap_shift**2
        margin = sign * (shift + scale * odds + cheap_shift * cheap)
        return float(np.logaddexp(0.0, -margin).sum() + shrinkage)

    bounds = [(None, None), (0.05, None), (None, None)]
    found = minimize(loss, np.array([0.0, 1.0, 0.0]), bounds=bounds)
    return Calibration(*map(float, found.x), loss=float(found.fun))


def held_out(
    features: Float[np.ndarray, "run feature"],
    severity: Float[np.ndarray, " run"],
    cheap: Bool[np.ndarray, " run"],
    groups: Sequence[str] | np.ndarray,
) -> Float[np.ndarray, " run"]:
    """Return each run's probability from a model that saw no run of its group."""
    groups, found = np.asarray(groups), np.full(len(severity), np.nan)
    for group in np.unique(groups):
        test = groups == group
        fitted = fit(features[~test], severity[~test], cheap[~test], groups[~test])
        found[test] = fitted.probability(features[test], cheap[test])
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
