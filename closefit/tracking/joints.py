"""Undoes swapped limbs, and doubts keypoints that jump away from their person.

For a hidden joint a detector often reports the same joint of the person in front. Such a keypoint
leaves its own path through time and lands on that of the other person. A keypoint off its path is
suspicious, and more so on the other person. A whole detection on the other person's path is one
person found twice.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

WINDOW_S = 0.2
"""A path is a parabola over this long before and after."""

PATH_NOISE = 0.03
"""Neighbours farther than this from the path (in person heights) lose their weight."""

TOLERATED = 0.04
"""Distance from the path, in person heights, that is not suspicious."""

SOFTNESS = 0.03
"""Standard deviation beyond that, in person heights."""

NEAR_OTHER = 0.04
"""Standard deviation of the distance from the other person's keypoint, in person heights."""

PASSES = 4

OFF_PATH = 0.1
"""A swapped keypoint is farther than this from its own person's path, in person heights."""

MIN_SWAPPED = 2
"""Fewer keypoints of one part of the body may be a coincidence."""

PARTS = ((0, 1, 2, 3, 4), (5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16))
"""COCO-17 keypoints that a detector confuses together: head, arms, legs."""

UNDECIDED_HEIGHTS = 0.01
"""Being nearer to one of two paths by this much (in person heights) makes it e times as likely.

Measured with `lite` and `yolo` on rendered clips: the detections of a person found twice are nearer
to their own path by 0.014 at most, nearly all others by 0.035 or more.
"""

MIN_SUPPORT = 0.3
"""A path is unknown if less than this share of the keypoints supports it."""

Points = Float[np.ndarray, "frame 2 keypoint 2"]
Weights = Float[np.ndarray, "frame 2 keypoint"]


def doubt_jumps(
    keypoints: Float[np.ndarray, "frame 2 keypoint 3"],
    height_px: Float[np.ndarray, " 2"],
    fps: float,
) -> Float[np.ndarray, "frame 2 keypoint 3"]:
    """Return `keypoints` with lower confidence where they leave their person's path.

    Args:
        keypoints: x, y in pixels and confidence, 0 where unknown; people already identified.
        height_px: Size of each person in the image.
        fps: Frames per second.
    """
    points = keypoints[..., :2] / height_px[:, None, None]
    confidence = keypoints[..., 2]
    path, support = smooth_path(points, confidence, path_reach(fps))
    off_path = np.linalg.norm(points - path, axis=-1)
    to_other = np.linalg.norm(points - points[:, ::-1], axis=-1)
    on_other = np.exp(-0.5 * (to_other / NEAR_OTHER) ** 2) * confidence[:, ::-1]
    alone = _plausible(off_path, TOLERATED, SOFTNESS)
    suspect = _plausible(off_path, 0.6 * TOLERATED, 0.5 * SOFTNESS)
    plausible = (1.0 - on_other) * alone + on_other * suspect
    doubt = (1.0 - plausible) * np.minimum(support, 1.0)
    return np.concatenate([keypoints[..., :2], (confidence * (1.0 - doubt))[..., None]], axis=-1)


def swap_back_limbs(
    keypoints: Float[np.ndarray, "frame 2 keypoint 3"],
    height_px: Float[np.ndarray, " 2"],
    fps: float,
) -> tuple[Float[np.ndarray, "frame 2 keypoint 3"], Bool[np.ndarray, "frame keypoint"]]:
    """Swap keypoints that a detector gave to the wrong person of the two.

    Only where it is safe: several keypoints of one part of the body, of both people, are far from
    their own person's path and on that of the other. Arguments are those of `doubt_jumps`, with
    COCO-17 keypoints. Returns the keypoints, and which of them were swapped.
    """
    scale = height_px[:, None, None]
    points, confidence = keypoints[..., :2], keypoints[..., 2]
    path, support = smooth_path(points / scale, confidence, path_reach(fps))
    to_own = np.linalg.norm(points / scale - path, axis=-1)
    to_other = np.linalg.norm(points[:, ::-1] / scale - path, axis=-1)
    crossed = (to_own > OFF_PATH) & (to_other < TOLERATED) & (support > 1.0) & (confidence > 0.0)
    both = crossed.all(axis=1)
    swapped = np.zeros_like(both)
    for part in PARTS:
        columns = list(part)
        several = both[:, columns].sum(axis=1) >= MIN_SWAPPED
        swapped[:, columns] = both[:, columns] & several[:, None]
    return np.where(swapped[:, None, :, None], keypoints[:, ::-1], keypoints), swapped


def own_probability(
    keypoints: Float[np.ndarray, "frame 2 keypoint 3"],
    height_px: Float[np.ndarray, " 2"],
    fps: float,
) -> Float[np.ndarray, "frame 2"]:
    """Probability that a detection is of its own person, not of the other person found twice.

    A detector that loses one of two people in a clinch may return two detections of the other. The
    two people are not swapped then, but one detection leaves its own person's path for the other's.
    Arguments are those of `doubt_jumps`. The probability is 1 where a path or the detection is
    unknown.
    """
    scale_px = float(height_px.mean())
    points, confidence = keypoints[..., :2] / scale_px, keypoints[..., 2]
    path, support = smooth_path(points, confidence, path_reach(fps))
    own, own_known = _distance(points, confidence, path, support)
    other, other_known = _distance(points, confidence, path[:, ::-1], support[:, ::-1])
    return np.where(own_known & other_known, expit((other - own) / UNDECIDED_HEIGHTS), 1.0)


def _distance(
    points: Points, confidence: Weights, path: Points, support: Weights
) -> tuple[Float[np.ndarray, "frame 2"], Bool[np.ndarray, "frame 2"]]:
    """Mean distance from a path in person heights, and whether enough of the path is known."""
    weight = confidence * np.minimum(support, 1.0)
    total = weight.sum(axis=-1)
    distance = (weight * np.linalg.norm(points - path, axis=-1)).sum(axis=-1)
    known = total > MIN_SUPPORT * np.maximum(confidence.sum(axis=-1), 1e-9)
    return distance / np.maximum(total, 1e-9), known


def path_reach(fps: float) -> int:
    """Number of frames before and after that a path is fitted to."""
    return max(3, round(WINDOW_S * fps))


def _plausible(distance: Weights, tolerated: float, softness: float) -> Weights:
    return np.asarray(np.exp(-0.5 * (np.maximum(distance - tolerated, 0.0) / softness) ** 2))


def smooth_path(points: Points, confidence: Weights, reach: int) -> tuple[Points, Weights]:
    """Fit a parabola to the frames around each frame, without that frame itself.

    Args:
        points: Keypoints in person heights.
        confidence: 0 where unknown.
        reach: Frames before and after that count.

    Returns:
        Its value in the frame, and the total weight of the neighbours that agree with it.
    """
    offsets = [offset for offset in range(-reach, reach + 1) if offset]
    basis = {offset: (offset / reach) ** np.arange(3.0) for offset in offsets}
    # Regularises slope and curvature where few neighbours are known.
    prior = np.diag([1e-9, 0.01, 0.001])
    coefficients: Float[np.ndarray, "frame 2 keypoint 3 2"] | None = None
    for _ in range(PASSES):
        left = np.tile(prior, (*confidence.shape, 1, 1))
        right = np.zeros((*confidence.shape, 3, 2))
        support = np.zeros_like(confidence)
        for offset in offsets:
            weight = _shifted(confidence, offset) * np.exp(-0.5 * (offset / reach) ** 2)
            values = _shifted(points, offset)
            if coefficients is not None:
                fitted = np.einsum("a,...ac->...c", basis[offset], coefficients)
                error = np.linalg.norm(values - fitted, axis=-1) / PATH_NOISE
                weight = weight / (1.0 + error**2)
            left += weight[..., None, None] * np.outer(basis[offset], basis[offset])
            right += weight[..., None, None] * basis[offset][:, None] * values[..., None, :]
            support += weight
        coefficients = np.linalg.solve(left, right)
    assert coefficients is not None
    return coefficients[..., 0, :], support


def _shifted(
    values: Float[np.ndarray, "frame *rest"], offset: int
) -> Float[np.ndarray, "frame *rest"]:
    """Values `offset` frames later; 0 beyond the ends."""
    moved: np.ndarray = np.zeros_like(values)
    if offset > 0:
        moved[:-offset] = values[offset:]
    else:
        moved[-offset:] = values[:offset]
    return moved
