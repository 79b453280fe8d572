"""Completes the people of one picture by what another source has of the same people.

A box, keypoints or a mask of the first source is never replaced; only what is missing is taken from
the person of the other source who is most likely the same. That is judged by boxes, keypoints and
masks, as far as there are some: in an embrace boxes alone are a poor guide.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from closefit.tracking.detections import Detections, box_iou

MIN_AFFINITY = 0.25
"""People who agree less are not the same."""

NEAR = 0.1
"""Distance of keypoints, in box heights, at which they count 0.6 for being of one person."""


@dataclass(frozen=True, eq=False)
class Completed:
    """One picture's people from two sources.

    Attributes:
        found: The first source's people, completed by the second's.
        partner: For each of them, the same person in the second source, -1 for nobody.
    """

    found: Detections
    partner: Int[np.ndarray, " person"]


def complete(
    own: Detections,
    own_sure: Bool[np.ndarray, " person"],
    others: Detections,
    others_sure: Bool[np.ndarray, " other"],
) -> Completed:
    """Add to one source's people in a picture what only the other source has.

    Args:
        own: People of the picture.
        own_sure: Whether each has a box of its own, not one around its keypoints.
        others: Other detections in the same picture.
        others_sure: As `own_sure`.
    """
    partner = _match(own, others)
    boxes, keypoints, masks = own.boxes_xyxy.copy(), own.keypoints.copy(), own.masks.copy()
    for person, other in enumerate(partner):
        if other < 0:
            continue
        if not own_sure[person] and others_sure[other]:
            boxes[person] = others.boxes_xyxy[other]
        if not keypoints[person, :, 2].any():
            keypoints[person] = others.keypoints[other]
        if not masks[person].any():
            masks[person] = others.masks[other]
    return Completed(Detections(boxes, own.scores, keypoints, masks), partner)


def _match(own: Detections, others: Detections) -> Int[np.ndarray, " person"]:
    """For each person the same one among the others, -1 for nobody."""
    partner = np.full(len(own.scores), -1)
    affinity = _affinity(own, others)
    for person, other in zip(*linear_sum_assignment(-affinity), strict=True):
        if affinity[person, other] >= MIN_AFFINITY:
            partner[person] = other
    return partner


def _affinity(own: Detections, others: Detections) -> Float[np.ndarray, "person other"]:
    """Mean of all that can be compared, 0 for strangers to 1."""
    measures = np.stack(
        [
            box_iou(own.boxes_xyxy, others.boxes_xyxy),
            _keypoints_near(own, others),
            _keypoints_inside(own, others),
            _keypoints_inside(others, own).T,
            _masks_shared(own, others),
        ]
    )
    known = np.isfinite(measures)
    total = np.where(known, measures, 0.0).sum(axis=0)
    mean: Float[np.ndarray, "person other"] = total / known.sum(axis=0)
    return mean


def _keypoints_near(own: Detections, others: Detections) -> Float[np.ndarray, "person other"]:
    weight = own.keypoints[:, None, :, 2] * others.keypoints[None, :, :, 2]
    distance = np.linalg.norm(
        own.keypoints[:, None, :, :2] - others.keypoints[None, :, :, :2], axis=-1
    )
    height = np.maximum(own.boxes_xyxy[:, 3] - own.boxes_xyxy[:, 1], 1.0)[:, None, None]
    near = np.exp(-0.5 * (distance / height / NEAR) ** 2)
    return _weighted_mean(near, weight)


def _keypoints_inside(pointed: Detections, masked: Detections) -> Float[np.ndarray, "person other"]:
    """Share of each one's keypoints on each other one's mask; NaN without mask or keypoints."""
    height, width = masked.masks.shape[1:]
    column = np.floor(pointed.keypoints[..., 0]).astype(np.int64).clip(0, max(width - 1, 0))
    row = np.floor(pointed.keypoints[..., 1]).astype(np.int64).clip(0, max(height - 1, 0))
    has_mask = np.any(masked.masks, axis=(1, 2))
    inside = np.moveaxis(masked.masks[:, row, column], 0, 1).astype(np.float64)
    weight = pointed.keypoints[:, None, :, 2] * has_mask[None, :, None]
    return _weighted_mean(inside, weight)


def _masks_shared(own: Detections, others: Detections) -> Float[np.ndarray, "person other"]:
    shared = np.full((len(own.masks), len(others.masks)), np.nan)
    for person, mask in enumerate(own.masks):
        for other, other_mask in enumerate(others.masks):
            if mask.any() and other_mask.any():
                shared[person, other] = (mask & other_mask).sum() / (mask | other_mask).sum()
    return shared


def _weighted_mean(
    values: Float[np.ndarray, "person other keypoint"],
    weight: Float[np.ndarray, "person other keypoint"],
) -> Float[np.ndarray, "person other"]:
    """Mean over the keypoints; NaN where none has weight."""
    total = weight.sum(axis=-1)
    return np.where(
        total > 0, (weight * values).sum(axis=-1) / np.where(total > 0, total, 1.0), np.nan
    )
