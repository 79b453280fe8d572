"""Overlap of masks over time: a person covers nearly the same pixels from frame to frame.

In a clinch the boxes nearly coincide and keypoints jump, while the outlines of the two differ.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from closefit.tracking.mask_crops import MaskCrop

MOVED_HEIGHTS_PER_S = 0.6
"""A mask is moved along with its box before it is compared, at this speed at most."""

UNKNOWN_IOU = 0.5
"""Value where a mask is missing. The older a mask, the nearer its overlap is moved to this."""


def continued_iou(
    masks: Shaped[np.ndarray, "frame 2"],
    boxes_xyxy: Float[np.ndarray, "frame 2 4"],
    ages: Int[np.ndarray, "age frame"],
    fps: float,
) -> Float[np.ndarray, "age frame 2 2"]:
    """Overlap of each mask of a frame with those of the frames before it.

    Args:
        masks: `MaskCrop` of the detection in each column, empty where there is none.
        boxes_xyxy: Its box; NaN where there is none.
        ages: Distance in frames of the clip to the mask `age + 1` places earlier.
        fps: Frames per second.

    Returns:
        IoU of the mask in a column of the earlier frame (first axis of the two) with the one in a
        column of this frame, moved towards `UNKNOWN_IOU` with age; NaN where a mask is missing, and
        where a more recent frame has both.
    """
    overlaps = np.full((*ages.shape, 2, 2), np.nan)
    known = np.vectorize(lambda mask: not mask.is_empty, otypes=[bool])(masks)
    for frame in range(1, len(masks)):
        for age in range(min(len(ages), frame)):
            before = frame - age - 1
            passed = ages[age, frame]
            for column, now in np.argwhere(np.outer(known[before], known[frame])):
                iou = _moved_iou(
                    (masks[before, column], masks[frame, now]),
                    boxes_xyxy[[before, frame], [column, now]],
                    MOVED_HEIGHTS_PER_S * passed / fps,
                )
                overlaps[age, frame, column, now] = UNKNOWN_IOU + (iou - UNKNOWN_IOU) / passed
            if known[before].all():
                break
    return overlaps


def newest_iou(
    overlaps: Float[np.ndarray, "age frame 2 2"], columns: Sequence[int]
) -> Float[np.ndarray, "frame 2"]:
    """IoU of each column's mask with the last one of a person.

    Args:
        overlaps: From `continued_iou`.
        columns: Column in which the person was in each of the frames before, newest first.
    """
    newest = np.full(overlaps.shape[1:3], np.nan)
    for age, column in reversed(list(enumerate(columns))):
        here = overlaps[age, :, column]
        newest = np.where(np.isfinite(here), here, newest)
    return np.where(np.isfinite(newest), newest, UNKNOWN_IOU)


def _moved_iou(
    masks: tuple[MaskCrop, MaskCrop], boxes_xyxy: Float[np.ndarray, "2 4"], reach: float
) -> float:
    """Overlap of two masks, the first one moved along with its box, up to `reach` heights."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2.0
    limit = reach * float((boxes_xyxy[:, 3] - boxes_xyxy[:, 1]).max())
    step = centres[1] - centres[0]
    length = float(np.linalg.norm(step))
    if not np.isfinite(length):
        return float("nan")
    return masks[0].iou(masks[1], step * min(1.0, limit / max(length, 1e-9)))
