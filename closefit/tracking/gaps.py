"""Fills short spans in which a person was not detected."""

import numpy as np
from jaxtyping import Bool, Float, Int

FILLED_TRUST = 0.5
"""Confidence of an interpolated keypoint, as a share of the lower one of its two sources."""


def fill_gaps(
    boxes_xyxy: Float[np.ndarray, "frame person 4"],
    keypoints: Float[np.ndarray, "frame person keypoint 3"],
    time_s: Float[np.ndarray, " frame"],
    max_gap_s: float,
) -> tuple[
    Float[np.ndarray, "frame person 4"],
    Float[np.ndarray, "frame person keypoint 3"],
    Bool[np.ndarray, "frame person"],
]:
    """Interpolate boxes and keypoints between two detections at most `max_gap_s` apart.

    Returns:
        Boxes and keypoints with the gaps filled, and which frames were filled.
    """
    seen = np.isfinite(boxes_xyxy).all(axis=-1)
    before, after = _neighbours(seen)
    bounded = (before >= 0) & (after < len(seen))
    before, after = before.clip(0), after.clip(max=len(seen) - 1)
    span = time_s[after] - time_s[before]
    filled = ~seen & bounded & (span <= max_gap_s + 1e-9)
    share = (time_s[:, None] - time_s[before]) / np.where(filled, span, 1.0)

    person = np.arange(seen.shape[1])
    early, late = keypoints[before, person], keypoints[after, person]
    known = (early[..., 2] > 0) & (late[..., 2] > 0)
    points = early + share[..., None, None] * (late - early)
    points[..., 2] = FILLED_TRUST * np.minimum(early[..., 2], late[..., 2])
    points[~known] = 0.0
    boxes = boxes_xyxy[before, person]
    boxes = boxes + share[..., None] * (boxes_xyxy[after, person] - boxes)
    return (
        np.where(filled[..., None], boxes, boxes_xyxy),
        np.where(filled[..., None, None], points, keypoints),
        filled,
    )


def runs_of(chosen: Bool[np.ndarray, " frame"]) -> list[Int[np.ndarray, " number"]]:
    """Return the numbers of the chosen frames, one array for each unbroken run."""
    numbers = np.flatnonzero(chosen)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [run for run in runs if len(run)]


def _neighbours(
    seen: Bool[np.ndarray, "frame person"],
) -> tuple[Int[np.ndarray, "frame person"], Int[np.ndarray, "frame person"]]:
    """Last frame so far and next frame from here in which each person is seen.

    -1, and the number of frames, stand for none.
    """
    count = len(seen)
    frame = np.arange(count)[:, None]
    before = np.maximum.accumulate(np.where(seen, frame, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, frame, count)[::-1], axis=0)[::-1]
    return before, after


def listed(chosen: Bool[np.ndarray, " frame"]) -> str:
    """Write the numbers of the chosen frames as `3-8, 20`."""
    runs = runs_of(chosen)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
