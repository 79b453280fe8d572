"""Chooses the boxes with which a video segmenter is prompted."""

import numpy as np
from jaxtyping import Bool, Float

from closefit.tracking.detections import box_iou

REMIND_EVERY_S = 1.0
MAX_OVERLAP = 0.15
"""Boxes that overlap more than this contain a part of the other person."""

MIN_IDENTITY = 0.95


def choose_prompts(
    boxes_xyxy: Float[np.ndarray, "frame 2 4"],
    seen: Bool[np.ndarray, "frame 2"],
    identity_confidence: Float[np.ndarray, "frame 2"],
    fps: float,
    placed: Bool[np.ndarray, "frame 2"] | None = None,
) -> Float[np.ndarray, "frame 2 4"]:
    """Return the boxes to give to the segmenter, NaN elsewhere.

    These are each person's first box; about once a second, both boxes of the frame in which the two
    overlap least, if they hardly overlap and their identity is certain; and boxes `placed` by a
    correction.
    """
    prompted = np.zeros_like(seen)
    for person in np.flatnonzero(seen.any(axis=0)):
        prompted[seen[:, person].argmax(), person] = True
    overlap = box_iou(boxes_xyxy[:, :1], boxes_xyxy[:, 1:])[:, 0, 0]
    sure = seen.all(axis=1) & (identity_confidence >= MIN_IDENTITY).all(axis=1)
    cost = np.where(sure, overlap, np.inf)
    step = max(1, round(REMIND_EVERY_S * fps))
    for start in range(0, len(cost), step):
        best = start + int(cost[start : start + step].argmin())
        if cost[best] <= MAX_OVERLAP:
            prompted[best] = True
    if placed is not None:
        prompted |= placed & seen
    return np.where(prompted[..., None], boxes_xyxy, np.nan)


def sure_boxes(
    boxes_xyxy: Float[np.ndarray, "frame 2 4"],
    seen: Bool[np.ndarray, "frame 2"],
    identity_confidence: Float[np.ndarray, "frame 2"],
) -> Float[np.ndarray, "frame 2 4"]:
    """Return the boxes of people who were seen and whose identity is certain, NaN elsewhere."""
    sure = seen & (identity_confidence >= MIN_IDENTITY)
    return np.where(sure[..., None], boxes_xyxy, np.nan)
