"""Masks of two people over a clip, and what they say about the keypoints."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.sightings import Sightings

HIDDEN_SHARE = 0.5
"""A person of whose box this share lies behind the other's may have no mask of their own."""

COVERED_TRUST = 0.4
"""Confidence kept by a keypoint on the other person's pixels.

Measured on rendered clips: such keypoints are off by 1.7 times as much as the others.
"""

PairMask = Bool[np.ndarray, "2 height width"]


@dataclass(frozen=True, eq=False)
class PairMasks:
    """Masks of two people over a clip.

    Attributes:
        union: Pixels of both people; empty, which means unknown, where a person has no mask
            but should be visible: a wrong silhouette does more harm than none.
        people: Pixels of each person.
        covered: Keypoints that lie on the other person's pixels and not on their own person's.
    """

    union: MaskStack
    people: MaskStack
    covered: Bool[np.ndarray, "frame 2 keypoint"]

    def doubted(
        self, keypoints: Float[np.ndarray, "frame 2 keypoint 3"]
    ) -> Float[np.ndarray, "frame 2 keypoint 3"]:
        """Return `keypoints` with lower confidence where they are covered."""
        confidence = keypoints[..., 2] * np.where(self.covered, COVERED_TRUST, 1.0)
        return np.concatenate([keypoints[..., :2], confidence[..., None]], axis=-1)


def stack_pairs(
    masks: Iterable[PairMask],
    size_wh: tuple[int, int],
    boxes_xyxy: Float[np.ndarray, "frame 2 4"],
    keypoints: Float[np.ndarray, "frame 2 keypoint 3"],
) -> PairMasks:
    """Stack the masks of both people in each frame.

    Args:
        masks: One pair per frame; may be a stream.
        size_wh: Their width and height.
        boxes_xyxy: Where each person is, also where filled in; NaN where unknown.
        keypoints: x, y and confidence. All in pixels of the masks.
    """
    union, people = list[bytes](), list[bytes]()
    covered = np.zeros(keypoints.shape[:3], dtype=bool)
    for frame, (pair, boxes, points) in enumerate(zip(masks, boxes_xyxy, keypoints, strict=True)):
        people.extend(deflate(mask) for mask in pair)
        union.append(deflate(np.any(pair, axis=0)) if _complete(pair, boxes) else b"")
        covered[frame] = _covered(pair, points)
    return PairMasks(MaskStack.of(union, size_wh), MaskStack.of(people, size_wh, (-1, 2)), covered)


def chosen_masks(
    sightings: Sightings, chosen: Int[np.ndarray, "frame 2"], size_wh: tuple[int, int]
) -> Iterator[PairMask]:
    """Yield the masks of the chosen detections (-1: none) as whole pictures."""
    for numbers in chosen:
        masks = np.zeros((2, size_wh[1], size_wh[0]), dtype=bool)
        for person, number in enumerate(numbers):
            if number >= 0:
                sightings.masks[number].add_to(masks[person])
        yield masks


def _complete(masks: PairMask, boxes: Float[np.ndarray, "2 4"]) -> bool:
    """Whether no visible person lacks a mask."""
    for person in np.flatnonzero(~masks.any(axis=(1, 2))):
        own, other = boxes[person], boxes[1 - person]
        if not np.isfinite(own).all():
            continue  # out of the picture, or behind the other for long
        shared = np.minimum(own[2:], other[2:]) - np.maximum(own[:2], other[:2])
        hidden = np.prod(np.maximum(shared, 0.0)) / max(np.prod(own[2:] - own[:2]), 1e-9)
        if not hidden >= HIDDEN_SHARE:
            return False
    return True


def _covered(
    masks: PairMask, keypoints: Float[np.ndarray, "2 keypoint 3"]
) -> Bool[np.ndarray, "2 keypoint"]:
    height, width = masks.shape[1:]
    whole = np.floor(keypoints[..., :2]).astype(np.int64)
    column, row = whole[..., 0].clip(0, width - 1), whole[..., 1].clip(0, height - 1)
    person = np.arange(2)[:, None]
    covered: Bool[np.ndarray, "2 keypoint"] = (
        masks[1 - person, row, column] & ~masks[person, row, column] & (keypoints[..., 2] > 0)
    )
    return covered
