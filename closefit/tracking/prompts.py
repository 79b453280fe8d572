"""Chooses the boxes that tell a video segmenter who is who."""

import numpy as np
from jaxtyping import Bool, Float

from closefit.tracking.detections import box_iou

REMIND_EVERY_S = 1.0
MAX_OVERLAP = 0.15
"""Boxes that overlap more than this would show the segmenter a part of the other person."""

MIN_IDENTITY = 0.95


def choose_prompts(
    boxes_xyxy: Float[np.ndarray, "frame 2 4"],
    seen: Bool[np.ndarray, "frame 2"],
    identity_confidence: Float[np.ndarray, "frame 2"],
    fps: float,
    stated: Bool[np.ndarray, "frame 2"] | None = None,
) -> Float[np.ndarray, "frame 2 4"]:
    """Return the boxes to give to the segmenter, NaN elsewhere.

    Each person's first box is always given; after that, about once a second, both boxes of the
    frame in which the two overlap least, if they are hardly overlapping and their identity is sure.
    Boxes that a correction has `stated` are given too.
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
    if stated is not None:
        prompted |= stated & seen
    return np.where(prompted[..., None], boxes_xyxy, np.nan)


def sure_boxes(
    boxes_xyxy: Float[np.ndarray, "frame 2 4"],
    seen: Bool[np.ndarray, "frame 2"],
    identity_confidence: Float[np.ndarray, "frame 2"],
) -> Float[np.ndarray, "frame 2 4"]:
    """Return the boxes of people who were seen and whose identity is sure, NaN elsewhere."""
    sure = seen & (identity_confidence >= MIN_IDENTITY)
    return np.where(sure[..., None], boxes_xyxy, np.nan)
