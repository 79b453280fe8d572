"""Finds where a segmenter has lost a person whom the detector sees, and new boxes for it."""

import numpy as np
from jaxtyping import Bool, Float

from closefit.tracking.detections import box_iou
from closefit.tracking.gaps import runs_of

MIN_AGREEMENT = 0.5
"""Below this IoU a mask's box and the tracked box count as different."""

MIN_FRAMES = 3
"""Fewer frames in a row than this are ignored."""

MAX_OVERLAP = 0.4
"""No box is given that overlaps the other person's more than this."""


def boxes_of(
    masks: Bool[np.ndarray, "*batch rows columns"], size_wh: tuple[int, int]
) -> Float[np.ndarray, "*batch 4"]:
    """Boxes around masks, scaled to a picture of another size; NaN where a mask is empty."""
    sides = []
    for axis, size in ((-2, size_wh[0]), (-1, size_wh[1])):  # across columns, then down rows
        used = np.asarray(masks.any(axis=axis))
        length = used.shape[-1]
        low = used.argmax(axis=-1)
        high = length - used[..., ::-1].argmax(axis=-1)
        sides.append(np.stack([low, high], axis=-1) * (size / length))
    across, down = sides
    boxes = np.stack([across[..., 0], down[..., 0], across[..., 1], down[..., 1]], axis=-1)
    boxes[~masks.any(axis=(-2, -1))] = np.nan
    return boxes


def disagreeing(
    mask_xyxy: Float[np.ndarray, "frame 2 4"], tracked_xyxy: Float[np.ndarray, "frame 2 4"]
) -> Bool[np.ndarray, "frame 2"]:
    """Where a mask differs from the person's box, and occlusion does not explain it.

    The part of a person's box that the other box covers may be hidden, so a mask may lack it.

    Args:
        mask_xyxy: Boxes around the masks; NaN where there is none.
        tracked_xyxy: Boxes of the people; NaN where unknown, which never disagrees.
    """
    other = tracked_xyxy[:, ::-1]
    low = np.maximum(tracked_xyxy[..., :2], other[..., :2])
    high = np.minimum(tracked_xyxy[..., 2:], other[..., 2:])
    hidden = np.concatenate([low, high], axis=-1)
    hidden[~(low < high).all(axis=-1)] = np.nan
    low = np.fmin(mask_xyxy[..., :2], hidden[..., :2])
    high = np.fmax(mask_xyxy[..., 2:], hidden[..., 2:])
    completed = np.concatenate([low, high], axis=-1)
    agreement = np.fmax(_iou(mask_xyxy, tracked_xyxy), _iou(completed, tracked_xyxy))
    known = np.isfinite(tracked_xyxy).all(axis=-1)
    return np.asarray(known & (agreement < MIN_AGREEMENT))


def choose_reprompts(
    wrong: Bool[np.ndarray, "frame 2"], tracked_xyxy: Float[np.ndarray, "frame 2 4"]
) -> Bool[np.ndarray, "frame 2"]:
    """Frames in which to give a person's tracked box: that of least overlap in each `wrong` run."""
    overlap = _iou(tracked_xyxy, tracked_xyxy[:, ::-1])
    chosen = np.zeros_like(wrong)
    for person in range(wrong.shape[1]):
        for run in runs_of(wrong[:, person]):
            clearest = run[overlap[run, person].argmin()]
            if len(run) >= MIN_FRAMES and overlap[clearest, person] <= MAX_OVERLAP:
                chosen[clearest, person] = True
    return chosen


def _iou(
    boxes: Float[np.ndarray, "frame 2 4"], others: Float[np.ndarray, "frame 2 4"]
) -> Float[np.ndarray, "frame 2"]:
    """Overlap of each box with its counterpart; 0 where either is unknown."""
    overlap = box_iou(boxes[..., None, :], others[..., None, :])[..., 0, 0]
    return np.asarray(np.nan_to_num(overlap))
