"""Puts together what several sources say of the same people, frame by frame.

Whoever comes first is believed: a box, keypoints or a mask of theirs is never replaced, only what
they lack is taken from the person of the other source who is most likely the same. That is judged
by boxes, and by keypoints and masks where there are some: in an embrace boxes say little.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from closefit.imports.detections.imported import Imported
from closefit.imports.detections.part import Part
from closefit.mask_stack import MaskStack
from closefit.tracking.detections import Detections, box_iou
from closefit.tracking.mask_crops import MaskCrop

MIN_AFFINITY = 0.25
"""Who agrees less is somebody else."""

NEAR = 0.1
"""Distance of keypoints, in box heights, at which they hardly speak for one person."""


@dataclass(frozen=True, eq=False)
class Completed:
    """One picture's people from two sources.

    Attributes:
        found: The first source's people, completed by the second's.
        partner: For each of them, the same person in the second source, -1 for nobody.
    """

    found: Detections
    partner: Int[np.ndarray, " person"]


def combine(first: Imported, second: Imported, part: Part) -> Imported:
    """Complete `first` by `second`; people of whom only `second` knows are added.

    Numbers of people are the first's, or the second's if the first has none.
    """
    silhouettes = _first_silhouettes(first.silhouettes, second.silhouettes)
    if not (first.tells_apart and second.tells_apart):
        return replace(first if first.tells_apart else second, silhouettes=silhouettes)
    numbered = first if first.has_identities or not second.has_identities else second
    pieces = []
    for frame in range(part.num_frames):
        one, two = (source.of(np.flatnonzero(source.frame == frame)) for source in (first, second))
        completed = complete(one, detections(two, part.size_wh), two.box_given, part.size_wh)
        pieces.append(_joined(one, two, completed, first_numbers=numbered is first))
    return replace(
        _concatenated(pieces),
        identity_trusted=numbered.identity_trusted,
        silhouettes=silhouettes,
    )


def complete(
    known: Imported,
    others: Detections,
    others_sure: Bool[np.ndarray, " other"],
    size_wh: tuple[int, int],
) -> Completed:
    """Give one frame's imported people what they lack from other detections of that frame.

    Args:
        known: People of the frame.
        others: Other detections of the frame.
        others_sure: Whether each has a box of its own, rather than one around its keypoints.
        size_wh: Size of the picture.
    """
    own = detections(known, size_wh)
    partner = _match(own, others)
    boxes, keypoints, masks, scores = (
        own.boxes_xyxy.copy(), own.keypoints.copy(), own.masks.copy(), own.scores.copy()
    )  # fmt: skip
    for person, other in enumerate(partner):
        if other < 0:
            continue
        if not known.box_given[person] and others_sure[other]:
            boxes[person] = others.boxes_xyxy[other]
        if not keypoints[person, :, 2].any():
            keypoints[person] = others.keypoints[other]
        if not masks[person].any():
            masks[person] = others.masks[other]
    return Completed(Detections(boxes, scores, keypoints, masks), partner)


def detections(people: Imported, size_wh: tuple[int, int]) -> Detections:
    """One frame's people as a detector would report them."""
    masks = np.zeros((len(people.frame), size_wh[1], size_wh[0]), dtype=bool)
    for mask, crop in zip(masks, people.masks, strict=True):
        crop.add_to(mask)
    return Detections(people.boxes_xyxy, people.scores, people.keypoints, masks)


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


def _joined(one: Imported, two: Imported, completed: Completed, *, first_numbers: bool) -> Imported:
    """One frame's people of the first source, completed, and those that only the second knows."""
    partner = completed.partner
    alone = two.of(np.setdiff1d(np.arange(len(two.frame)), partner))
    given = np.append(two.box_given, False)[partner]
    if first_numbers:
        identity, identity_alone = one.identity, np.full(len(alone.frame), -1)
    else:
        identity, identity_alone = np.append(two.identity, -1)[partner], alone.identity
    return Imported(
        frame=np.concatenate([one.frame, alone.frame]),
        boxes_xyxy=np.concatenate([completed.found.boxes_xyxy, alone.boxes_xyxy]),
        box_given=np.concatenate([one.box_given | given, alone.box_given]),
        scores=np.concatenate([completed.found.scores, alone.scores]),
        keypoints=np.concatenate([completed.found.keypoints, alone.keypoints]),
        masks=[MaskCrop.of(mask) for mask in completed.found.masks] + alone.masks,
        identity=np.concatenate([identity, identity_alone]),
    )


def _concatenated(pieces: list[Imported]) -> Imported:
    return Imported(
        frame=np.concatenate([piece.frame for piece in pieces]),
        boxes_xyxy=np.concatenate([piece.boxes_xyxy for piece in pieces]),
        box_given=np.concatenate([piece.box_given for piece in pieces]),
        scores=np.concatenate([piece.scores for piece in pieces]),
        keypoints=np.concatenate([piece.keypoints for piece in pieces]),
        masks=[mask for piece in pieces for mask in piece.masks],
        identity=np.concatenate([piece.identity for piece in pieces]),
    )


def _first_silhouettes(*given: MaskStack | None) -> MaskStack | None:
    """The first that shows anything; an empty one only where there is no other."""
    known = [silhouettes for silhouettes in given if silhouettes is not None]
    shown = [silhouettes for silhouettes in known if silhouettes.shown.any()]
    return next(iter(shown or known), None)
