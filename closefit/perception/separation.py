"""Masks of two people who touch: a detector's, corrected by how each of the two looks.

Detectors merge people who embrace, or give the limbs of one to the other. What each of them looks
like is learned from frames of the same clip in which they are apart (`pixel_classes`); pixels near
the limbs of one are more likely theirs (`limb_cue`). Both are passed on to the frames around along
the optical flow, forwards and backwards (`mask_flow`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import cv2
import numpy as np
from jaxtyping import Float, Int

from closefit.perception.clip import Image
from closefit.tracking.detections import box_iou
from closefit.tracking.limb_cue import limb_odds
from closefit.tracking.mask_flow import Grey, passed_on
from closefit.tracking.masks import PairMask, detected_masks
from closefit.tracking.pair_view import PairView
from closefit.tracking.pixel_classes import (
    CLASSES,
    NOBODY,
    Drawn,
    Look,
    PixelClasses,
    Shares,
    looks,
    normalised,
    samples,
)
from closefit.tracking.repair import IdentifiedPair

CLEAR_IOU = 0.1
"""Boxes that overlap less than this are apart: their masks can be trusted."""

SURE = 0.5
"""Least identity confidence of both people in frames to learn from."""

LEAST_CLEAR, MOST_CLEAR = 8, 60
"""Frames to learn from: at least so many, those of least overlap, and at most so many."""

USUAL_AREA = (0.5, 1.6)
"""A mask within these shares of its person's usual area is neither merged with the other's nor
cut off."""

TRIED = 4
"""Every so many of the frames to learn from is kept for the trial of what was learned."""

LEAST_ACCURACY = 0.7
"""Least share of right pixels in that trial, mean of the classes; guessing has 0.33. Three real and
four rendered clips have 0.95 to 0.99."""

LOOK_WEIGHT = 0.4
"""Exponent of the looks' probabilities: frame after frame shows the same, which is counted once."""

LEAST_UNSEEN_AREA = 0.25
"""Share of the usual area below which pixels of a person who was not detected are left out: an
error of looks, and not a person."""

CHUNK, AHEAD = 32, 12
"""Frames that are decided together, and frames after them that are considered for it."""

APART = (0.9, 0.04, 0.06)
"""Probability, in a mask of the detector, of its person, of the other and of nobody, where the two
are apart. All five triples were compared on three real and four rendered clips."""

CLOSE = (0.8, 0.14, 0.06)
"""The same where the two overlap."""

EITHER = (0.46, 0.46, 0.08)
"""The same where one mask may hold both people, or two masks claim the pixel."""

OUTSIDE = (0.06, 0.06, 0.88)
"""The same outside all masks."""

MISSED = (0.2, 0.2, 0.6)
"""The same outside all masks, where somebody was not detected."""


def separated_masks(
    found: IdentifiedPair,
    images: Callable[[str], Iterable[Image]],
    size_wh: tuple[int, int],
) -> Iterator[PairMask] | None:
    """Find the masks of both people in each frame.

    Args:
        found: The two, with the detector's masks.
        images: Streams the pictures, given the name of the task; called twice.
        size_wh: Size of the pictures.

    Returns:
        The masks, one frame after the other, all False where nothing of a person is seen; None
        where looks cannot be learned: both have a mask in fewer than three frames, or look alike.
    """
    if found.detected.masks is None:
        return None
    separation = _Separation(found, size_wh)
    classes = separation.learn(images("looks"))
    return None if classes is None else separation.masks(images("masks"), classes)


class _Separation:
    """The masks of a clip, and what of them can be trusted."""

    def __init__(self, found: IdentifiedPair, size_wh: tuple[int, int]) -> None:
        self._found, self._size_wh = found, size_wh
        self._view = PairView.of(found.boxes_xyxy, found.detected.height_px, size_wh)
        overlap = box_iou(found.boxes_xyxy[:, :1], found.boxes_xyxy[:, 1:])[:, 0, 0]
        self._overlap = np.nan_to_num(overlap)
        area = np.vectorize(lambda mask: mask.pixels.sum(), otypes=[float])(found.detected.masks)
        self._has_mask = area > 0
        self._learned_from = self._clear_frames()
        self._usual_area = np.zeros(2)
        if self._learned_from.size:
            self._usual_area = np.median(area[self._learned_from], axis=0)
        low, high = np.multiply.outer(USUAL_AREA, self._usual_area)
        self._usual = ((low < area) & (area < high)).all(axis=-1)

    def _clear_frames(self) -> Int[np.ndarray, " chosen"]:
        """Frames in which both have a mask and are apart, or least overlap."""
        sure = self._has_mask.all(axis=-1) & (self._found.identity_confidence > SURE).all(axis=-1)
        order = np.flatnonzero(sure)[np.argsort(self._overlap[sure], kind="stable")]
        apart = int((self._overlap[order] < CLEAR_IOU).sum())
        count = min(max(apart, LEAST_CLEAR), len(order))
        places = np.linspace(0, count - 1, min(count, MOST_CLEAR)).round().astype(int)
        return np.asarray(order[np.unique(places)])

    def learn(self, images: Iterable[Image]) -> PixelClasses | None:
        """Learn the looks of the two and of what is around them; None if they tell nothing."""
        chosen, rng = set(self._learned_from.tolist()), np.random.default_rng(0)
        if len(chosen) <= TRIED // 2:
            return None
        found = [
            samples(self._looks(frame, self._view.picture(image)), self._view.masks(pair), rng)
            for frame, (image, pair) in enumerate(zip(images, self._detected(), strict=True))
            if frame in chosen
        ]
        tried = found[TRIED // 2 :: TRIED]
        learned = [drawn for place, drawn in enumerate(found) if place % TRIED != TRIED // 2]
        if not all(_of_each_class(part) for part in (learned, tried)):
            return None
        classes = PixelClasses(*_joined(learned))
        return classes if classes.accuracy(*_joined(tried)) >= LEAST_ACCURACY else None

    def masks(self, images: Iterable[Image], classes: PixelClasses) -> Iterator[PairMask]:
        """Decide every pixel from its look, the detector's masks and the frames around."""
        stream, frame = self._evidence(images, classes), 0
        waiting: list[tuple[Shares, Grey]] = []
        before: tuple[Shares, Grey] | None = None
        while True:
            waiting += islice(stream, CHUNK + AHEAD - len(waiting))
            decided = waiting[: CHUNK if len(waiting) == CHUNK + AHEAD else None]
            if not decided:
                return
            forward = []
            for evidence, grey in decided:
                shares = evidence if before is None else evidence * passed_on(*before, grey)
                before = normalised(shares), grey
                forward.append(before[0].astype(np.float16))
            backward = _backward(waiting)
            for shares, later in zip(forward, backward, strict=False):
                both = normalised(shares.astype(np.float32) * later)
                pair = self._view.whole(both, self._size_wh)
                small = pair.sum(axis=(1, 2)) < LEAST_UNSEEN_AREA * self._usual_area
                pair[~self._has_mask[frame] & small] = False
                yield pair
                frame += 1
            del waiting[: len(decided)]

    def _evidence(
        self, images: Iterable[Image], classes: PixelClasses
    ) -> Iterator[tuple[Shares, Grey]]:
        """What each frame alone implies about each of its pixels, and the frame in grey."""
        for frame, (image, pair) in enumerate(zip(images, self._detected(), strict=True)):
            picture = self._view.picture(image)
            looked = classes(self._looks(frame, picture)) ** LOOK_WEIGHT
            shares = looked * self._mask_shares(frame, self._view.masks(pair))
            shares[..., :NOBODY] *= self._limb_odds(frame)
            yield normalised(shares), np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))

    def _detected(self) -> Iterator[PairMask]:
        return detected_masks(self._found.detected, self._size_wh)

    def _looks(self, frame: int, picture: Image) -> Look:
        top = self._found.boxes_xyxy[frame, :, 1]
        top_px = float(np.nanmin(top)) if np.isfinite(top).any() else float(self._view.corners[1])
        return looks(picture, self._view.row(top_px), self._view.height_px)

    def _limb_odds(self, frame: int) -> Float[np.ndarray, "y x 2"]:
        keypoints = self._found.keypoints[frame].copy()
        keypoints[..., :2] = self._view.places(keypoints[..., :2])
        seen, view = self._found.seen[frame], self._view
        return limb_odds(keypoints, seen, view.size_wh, view.height_px)

    def _mask_shares(self, frame: int, masks: PairMask) -> Shares:
        """Probability of each class by the detector's masks alone."""
        outside = OUTSIDE if self._has_mask[frame].all() else MISSED
        shares = np.full((*masks.shape[1:], CLASSES), outside, np.float32)
        shares[masks.any(axis=0)] = EITHER
        if self._usual[frame]:
            own = APART if self._overlap[frame] < CLEAR_IOU else CLOSE
            shares[masks[0] & ~masks[1]] = own
            shares[masks[1] & ~masks[0]] = np.take(own, [1, 0, 2])
        return shares


def _joined(drawn: Sequence[Drawn]) -> Drawn:
    look, label = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return look, label


def _of_each_class(drawn: Sequence[Drawn]) -> bool:
    return len({number for _, label in drawn for number in label.tolist()}) == CLASSES


def _backward(frames: list[tuple[Shares, Grey]]) -> list[Shares]:
    """What the frames after each one imply about its pixels."""
    shares = np.full_like(frames[-1][0], 1.0 / CLASSES)
    found = [shares.astype(np.float16)]
    for (evidence, grey), (_, earlier) in zip(frames[:0:-1], frames[-2::-1], strict=True):
        shares = passed_on(normalised(evidence * shares), grey, earlier)
        found.append(shares.astype(np.float16))
    return found[::-1]
