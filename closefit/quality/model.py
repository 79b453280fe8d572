"""The model behind the score: logistic regression on standardised features that only speak against.

A feature's figure is bent (linear for small ones, logarithmic for large ones), standardised, and
cut off where the training had nothing. No weight is positive: a worse figure never raises the
score. A figure that is not known counts as a usual one. `benchmarks/quality` trains it.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
from jaxtyping import Float
from msgspec import Meta

from closefit.boundary.files import read_json, typed
from closefit.boundary.refusals import refusals_as, refuse
from closefit.errors import WeightsDamagedError
from closefit.quality.features import FEATURES

MODEL = Path(__file__).with_name("model.json")
FORMAT, VERSION = "closefit-quality", 1

LOW, HIGH = -2.0, 4.0
"""Standardised features are cut off here."""

DIVERGED = -2.0
"""Log-odds of a diverged optimisation. Authored: it was too rare in the training."""

Number = Annotated[float, Meta(ge=-1e6, le=1e6)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
Weight = Annotated[float, Meta(ge=-100.0, le=0.0)]


class FeatureContent(TypedDict):
    """What the stored model says of a feature.

    Attributes:
        mean: Of its bent figures in the training.
        spread: Their standard deviation.
        weight: Log-odds for each standard deviation; not positive.
        usual: Median figure of the results that were to be kept, in the feature's unit.
    """

    mean: Number
    spread: Positive
    weight: Weight
    usual: Number


class ModelContent(TypedDict):
    """Content of `model.json`.

    Attributes:
        format: `closefit-quality`.
        version: Of the layout.
        made: Which runs and which version of closefit it is from.
        intercept: Log-odds of a result whose features are all at their mean.
        features: By name, in the order of `FEATURES`.
    """

    format: str
    version: int
    made: str
    intercept: Number
    features: dict[str, FeatureContent]


@dataclass(frozen=True, eq=False)
class QualityModel:
    """Coefficients in the order of `FEATURES`.

    Attributes:
        intercept: Log-odds of a result whose features are all at their mean.
        mean: Of the bent figures.
        spread: Their standard deviations.
        weight: Log-odds for each standard deviation; none is positive.
        usual: Figures of usual results that were kept.
    """

    intercept: float
    mean: Float[np.ndarray, " feature"]
    spread: Float[np.ndarray, " feature"]
    weight: Float[np.ndarray, " feature"]
    usual: Float[np.ndarray, " feature"]

    def standardised(
        self, figures: Float[np.ndarray, "*row feature"]
    ) -> Float[np.ndarray, "*row feature"]:
        """Return bent and standardised figures; 0 for unknown ones."""
        scaled = (bent(figures) - self.mean) / self.spread
        return np.where(np.isfinite(figures), np.clip(scaled, LOW, HIGH), 0.0)

    def log_odds(self, figures: Float[np.ndarray, "*row feature"]) -> Float[np.ndarray, "*row"]:
        """Return the log-odds that a result with these figures would be kept."""
        return np.asarray(self.intercept + self.standardised(figures) @ self.weight)

    def costs(self, figures: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " feature"]:
        """Return the log-odds that each figure costs against a usual result that is kept."""
        worse = self.standardised(figures) - self.standardised(self.usual)
        return np.where(np.isfinite(figures), -self.weight * worse, 0.0)


def bent(figures: Float[np.ndarray, "*row feature"]) -> Float[np.ndarray, "*row feature"]:
    """Return log(1 + x / bend) of each figure."""
    bends = np.array([feature.bend for feature in FEATURES])
    curved: np.ndarray = np.log1p(np.maximum(np.nan_to_num(figures), 0.0) / bends)
    return curved


def probability(log_odds: Float[np.ndarray, "*row"]) -> Float[np.ndarray, "*row"]:
    """Return the logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(log_odds, -30.0, 30.0))))


@lru_cache(maxsize=1)
def shipped_model() -> QualityModel:
    """Return the model that ships with closefit.

    Raises:
        WeightsDamagedError: Its file is damaged.
    """
    return read_model(MODEL)


def read_model(path: Path) -> QualityModel:
    """Read a stored model.

    Raises:
        WeightsDamagedError: It is missing, cut off, of another kind or version, has another set of
            features, or a number out of range: a positive weight above all.
    """
    with refusals_as(WeightsDamagedError, path, "install closefit again"):
        content: ModelContent = typed(read_json(path), ModelContent)
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            refuse(f"it is not a model of quality of version {VERSION}")
        names = [feature.name for feature in FEATURES]
        if list(content["features"]) != names:
            refuse("it is for other features")
        return _model(content)


def _model(content: ModelContent) -> QualityModel:
    def column(key: str) -> Float[np.ndarray, " feature"]:
        return np.array([dict(entry)[key] for entry in content["features"].values()], np.float64)

    return QualityModel(
        content["intercept"], column("mean"), column("spread"), column("weight"), column("usual")
    )
