"""Features of a clip, and of the half second around each frame, from those of frames."""

import numpy as np
from jaxtyping import Float

from closefit.quality.features import FEATURES

HALF_WINDOW_S = 0.26
"""A frame is judged with its neighbours up to so far away, as far as the clip goes."""

FrameFeatures = Float[np.ndarray, "frame feature"]


def around_frames(features: FrameFeatures, fps: float) -> FrameFeatures:
    """Return the mean of the known values in the window about each frame; NaN of none.

    Windows at the ends of a clip are as long as the others, and lie within it.
    """
    frames = len(features)
    length = min(2 * max(1, round(HALF_WINDOW_S * fps)) + 1, frames)
    known = np.isfinite(features)
    total, count = (_summed(values, length) for values in (np.where(known, features, 0.0), known))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(count > 0, total / count, np.nan)
    first = np.clip(np.arange(frames) - length // 2, 0, frames - length)
    return np.asarray(means[first], np.float64)


def of_clip(features: FrameFeatures, fps: float) -> Float[np.ndarray, " feature"]:
    """Return the features of a whole clip: the mean, or the worst window (`Feature.over`)."""
    windows = around_frames(features, fps)
    known = np.isfinite(features)
    count = known.sum(axis=0)
    mean = np.where(known, features, 0.0).sum(axis=0) / np.maximum(count, 1)
    worst = np.where(np.isfinite(windows), windows, -np.inf).max(axis=0)
    is_worst = np.array([feature.over == "worst" for feature in FEATURES])
    return np.where(count > 0, np.where(is_worst, worst, mean), np.nan)


def _summed(values: np.ndarray, length: int) -> Float[np.ndarray, "window feature"]:
    """Sums over all windows of a length."""
    start = np.zeros((1, values.shape[1]))
    running = np.concatenate([start, np.cumsum(values.astype(np.float64), axis=0)])
    return np.asarray(running[length:] - running[:-length], np.float64)
