"""Stacks the masks of two people, and doubts the keypoints that lie on the other person."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float

from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.pair import Pair

HIDDEN_SHARE = 0.5
"""A person may lack a mask if this share of the box lies behind the other person's box."""

COVERED_TRUST = 0.4
"""Factor on the confidence of a keypoint on the other person's pixels and not on their own.

Measured on rendered clips: such keypoints are off by 1.7 times as much as the others.
"""

CONTRADICTED = 0.5
"""Masks by which more than this share of the keypoints of everybody who was detected lies on the
other person are wrong."""

KNOWN, LEAST_KNOWN = 0.1, 4
"""Least confidence, and number, of keypoints by which masks are judged."""

PairMask = Bool[np.ndarray, "2 height width"]


def stack_pairs(
    masks: Iterable[PairMask],
    size_wh: tuple[int, int],
    boxes_xyxy: Float[np.ndarray, "frame 2 4"],
    keypoints: Float[np.ndarray, "frame 2 keypoint 3"],
    doubting: Iterable[PairMask] | None = None,
) -> tuple[MaskStack, MaskStack, Float[np.ndarray, "frame 2 keypoint 3"]]:
    """Stack the masks of both people, and doubt the keypoints that they cover.

    Args:
        masks: One pair per frame; may be a stream.
        size_wh: Their width and height.
        boxes_xyxy: Box of each person, also where filled in; NaN where unknown.
        keypoints: x, y and confidence. All in pixels of the masks.
        doubting: Masks by which keypoints are doubted; the same ones by default. A mask that is
            right also covers keypoints that are right, but hidden: measured, `init` gets worse.

    Returns:
        Pixels of both people together (frame), of each person (frame, person), and the keypoints
        with lower confidence on the other person's pixels. The mask of both is empty, which means
        unknown, where a person who should be visible has no mask: a wrong silhouette is worse than
        none. For the same reason the masks of each are, where keypoints contradict them: of two
        people, one at least is in front.
    """
    union, people = list[bytes](), list[bytes]()
    covered = np.zeros(keypoints.shape[:3], dtype=bool)
    wrong = np.zeros(len(keypoints), dtype=bool)
    for frame, (pair, boxes) in enumerate(zip(masks, boxes_xyxy, strict=True)):
        covered[frame] = _covered(pair, keypoints[frame])
        wrong[frame] = _contradicted(covered[frame], keypoints[frame])
        people.extend(b"" if wrong[frame] else deflate(mask) for mask in pair)
        union.append(deflate(np.any(pair, axis=0)) if _complete(pair, boxes) else b"")
    if doubting is not None:
        pairs = zip(doubting, keypoints, strict=True)
        covered = np.array([_covered(pair, points) for pair, points in pairs])
    covered[wrong] = False
    confidence = keypoints[..., 2] * np.where(covered, COVERED_TRUST, 1.0)
    doubted = np.concatenate([keypoints[..., :2], confidence[..., None]], axis=-1)
    return MaskStack.of(union, size_wh), MaskStack.of(people, size_wh, (-1, 2)), doubted


def detected_masks(pair: Pair, size_wh: tuple[int, int]) -> Iterator[PairMask]:
    """Yield the masks of two people in each frame as whole pictures."""
    for frame in range(len(pair.boxes_xyxy)):
        masks = np.zeros((2, size_wh[1], size_wh[0]), dtype=bool)
        if pair.masks is not None:
            for person, crop in enumerate(pair.masks[frame]):
                crop.add_to(masks[person])
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
    other_only = masks[1 - person, row, column] & ~masks[person, row, column]
    return np.asarray(other_only & (keypoints[..., 2] > 0))


def _contradicted(
    covered: Bool[np.ndarray, "2 keypoint"], keypoints: Float[np.ndarray, "2 keypoint 3"]
) -> bool:
    """Whether, by the masks, everybody whose keypoints are known is behind the other."""
    known = keypoints[..., 2] >= KNOWN
    judged = known.sum(axis=-1) >= LEAST_KNOWN
    behind = (covered & known).sum(axis=-1) > CONTRADICTED * known.sum(axis=-1)
    return bool(judged.any() and behind[judged].all())
