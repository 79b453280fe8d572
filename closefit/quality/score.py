"""The score of a result and of each of its frames, with reasons."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from closefit.body.model import Body
from closefit.exporters.contacts import ranges_of
from closefit.quality.features import FEATURES, Result, frame_features
from closefit.quality.model import DIVERGED, QualityModel, probability, shipped_model
from closefit.quality.windows import around_frames, of_clip

LEAST_COST, MOST_REASONS = 0.25, 4
"""A reason costs this much of the log-odds at least; so many are given."""

GOOD, LEAST_GOOD_S = 0.5, 0.5
"""A stretch is good while each of its frames has this score, and if it lasts this long."""

DIVERGED_TEXT = "the optimisation diverged"


@dataclass(frozen=True, eq=False)
class Quality:
    """How likely a careful person would keep a result.

    Attributes:
        score: Probability for the whole clip.
        reasons: What costs most of it, the worst first, in words.
        frames: Probability for the half second around each frame.
    """

    score: float
    reasons: tuple[str, ...]
    frames: Float[np.ndarray, " frame"]


def judge(result: Result, body: Body, *, diverged: bool = False) -> Quality:
    """Return the score of a result with the model that ships.

    Raises:
        WeightsDamagedError: The stored model is damaged.
    """
    with torch.no_grad():
        features = frame_features(result, body)
    return quality_of(features, float(result.track.fps), shipped_model(), diverged=diverged)


def quality_of(
    features: Float[np.ndarray, "frame feature"],
    fps: float,
    model: QualityModel,
    *,
    diverged: bool = False,
) -> Quality:
    """Return the score of a clip with these features of frames."""
    penalty = DIVERGED if diverged else 0.0
    figures = of_clip(features, fps)
    costs = model.costs(figures)
    order = [n for n in np.argsort(-costs, kind="stable") if costs[n] >= LEAST_COST]
    reasons = [_reason(int(number), figures, model) for number in order]
    if diverged:
        reasons.insert(0, DIVERGED_TEXT)
    rows = np.vstack([figures, around_frames(features, fps)])
    shares = probability(model.log_odds(rows) + penalty)
    return Quality(float(shares[0]), tuple(reasons[:MOST_REASONS]), shares[1:])


def good_frames(scores: Float[np.ndarray, " frame"], fps: float) -> tuple[int, int] | None:
    """Return first and last frame of the longest good stretch; None where none is long enough."""
    least = min(LEAST_GOOD_S * fps, len(scores))
    stretches = [(last - first + 1, first, last) for first, last in ranges_of(scores >= GOOD)]
    length, first, last = max(stretches, default=(0, 0, 0))
    return (first, last) if length and length >= least else None


def _reason(number: int, figures: Float[np.ndarray, " feature"], model: QualityModel) -> str:
    feature = FEATURES[number]
    here, usual = (
        format(float(values[number]) * feature.factor, feature.figure)
        for values in (figures, model.usual)
    )
    return f"{feature.text.format(here)}; usual: {usual}"
