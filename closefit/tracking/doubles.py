"""Doubts detections that lie on the other person of the two: one person was found twice.

A detector that loses one of two people in a clinch may return two detections of the other. The two
people are not swapped then, but one detection leaves its own person's path for the other's.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from closefit.tracking.joints import path_reach, smooth_path

UNDECIDED_HEIGHTS = 0.01
"""Being nearer to one of two paths by this much (in person heights) makes it e times as likely.

Measured with `lite` and `yolo` on rendered clips: the detections of a person found twice are nearer
to their own path by 0.014 at most, nearly all others by 0.035 or more.
"""

MIN_SUPPORT = 0.3
"""A path is unknown if less than this share of the keypoints supports it."""


def own_probability(
    keypoints: Float[np.ndarray, "frame 2 keypoint 3"],
    height_px: Float[np.ndarray, " 2"],
    fps: float,
) -> Float[np.ndarray, "frame 2"]:
    """Probability that a detection is of its own person and not of the other one again.

    Args:
        keypoints: x, y in pixels and confidence, 0 where unknown; people already told apart.
        height_px: Size of each person in the image.
        fps: Frames per second.

    Returns:
        1 where a path or the detection is unknown.
    """
    scale_px = float(height_px.mean())
    points, confidence = keypoints[..., :2] / scale_px, keypoints[..., 2]
    path, support = smooth_path(points, confidence, path_reach(fps))
    own, own_known = _distance(points, confidence, path, support)
    other, other_known = _distance(points, confidence, path[:, ::-1], support[:, ::-1])
    probability: Float[np.ndarray, "frame 2"] = np.where(
        own_known & other_known, expit((other - own) / UNDECIDED_HEIGHTS), 1.0
    )
    return probability


def _distance(
    points: Float[np.ndarray, "frame 2 keypoint 2"],
    confidence: Float[np.ndarray, "frame 2 keypoint"],
    path: Float[np.ndarray, "frame 2 keypoint 2"],
    support: Float[np.ndarray, "frame 2 keypoint"],
) -> tuple[Float[np.ndarray, "frame 2"], Bool[np.ndarray, "frame 2"]]:
    """Mean distance from a path in person heights, and whether enough of the path is known."""
    weight = confidence * np.minimum(support, 1.0)
    total = weight.sum(axis=-1)
    distance = (weight * np.linalg.norm(points - path, axis=-1)).sum(axis=-1)
    known = total > MIN_SUPPORT * np.maximum(confidence.sum(axis=-1), 1e-9)
    return distance / np.maximum(total, 1e-9), known
