"""Masks separate people where nothing else does, and have no effect where they are missing."""

from dataclasses import replace

import numpy as np
import pytest

from closefit.records import DetectedPeople
from closefit.tracking.association import link
from closefit.tracking.mask_crops import MaskCrop
from closefit.tracking.mask_evidence import UNKNOWN_IOU, continued_iou, newest_iou
from closefit.tracking.pair import Pair
from closefit.tracking.swaps import find_swapped
from tests.unit.tracking.scenes import crossing, import_pair, see

FPS = 30.0
FRAMES = 40
SIDE_PX = 100


def clinch() -> Pair:
    """Two people in one box that wanders: same clothes, no keypoints, other outlines."""
    left_top = 20.0 + np.arange(FRAMES)[:, None] * (2.0, 1.0)
    box = np.concatenate([left_top, left_top + SIDE_PX], axis=1)
    leaning = np.tri(SIDE_PX, dtype=bool)
    masks = np.empty((FRAMES, 2), dtype=object)
    for frame, (left, top) in enumerate(left_top.astype(int)):
        for person, outline in enumerate((leaning, ~leaning)):
            picture = np.zeros((300, 300), dtype=bool)
            picture[top : top + SIDE_PX, left : left + SIDE_PX] = outline
            masks[frame, person] = MaskCrop.of(picture)
    return Pair(
        boxes_xyxy=np.stack([box, box], axis=1),
        keypoints=np.zeros((FRAMES, 2, 17, 3)),
        colours=np.full((FRAMES, 2, 4), np.nan),
        masks=masks,
    )


def of_frames(*numbers: int) -> np.ndarray:
    chosen = np.zeros(FRAMES, dtype=bool)
    chosen[list(numbers)] = True
    return chosen


def people_of(pair: Pair) -> DetectedPeople:
    people = import_pair(pair)
    return replace(people, identity=np.full(len(people.frame), -1))


@pytest.mark.parametrize("numbers", [(), (7,), (10, 11, 12, 30), tuple(range(25, 40))])
def test_masks_alone_find_the_swapped_frames(numbers: tuple[int, ...]) -> None:
    swapped = of_frames(*numbers)
    found, confidence = find_swapped(clinch().swapped(swapped), FPS)
    np.testing.assert_array_equal(found, swapped)
    assert confidence.min() > 0.7
    blind, unsure = find_swapped(replace(clinch(), masks=None).swapped(swapped), FPS)
    assert not blind.any()
    assert unsure.min() < 0.6


def test_masks_outlast_a_frame_without_them() -> None:
    pair = clinch()
    assert pair.masks is not None
    pair.masks[18] = MaskCrop.empty()
    swapped = np.arange(FRAMES) > 18
    found, _ = find_swapped(pair.swapped(swapped), FPS)
    known = ~of_frames(18)
    agreed = found[known] == swapped[known]
    assert agreed.all() or not agreed.any()


def test_masks_alone_make_a_tracklet_of_each_person() -> None:
    linked = link(people_of(clinch()), FPS)
    assert [len(tracklet.detections) for tracklet in linked] == [FRAMES, FRAMES]
    assert len(link(people_of(replace(clinch(), masks=None)), FPS)) > 2


def test_empty_masks_have_no_effect() -> None:
    """Empty masks and no masks at all are the same to every step."""
    plain = crossing().swapped(np.isin(np.arange(60), (7, 30, 31)))
    empty = replace(plain, masks=np.full((60, 2), MaskCrop.empty(), dtype=object))
    found, confidence = find_swapped(plain, FPS)
    of_empty, confidence_of_empty = find_swapped(empty, FPS)
    np.testing.assert_array_equal(found, of_empty)
    np.testing.assert_allclose(confidence, confidence_of_empty, atol=1e-9)
    seen = see([crossing()])
    bare = replace(seen, mask_bytes=seen.mask_bytes[:0], mask_ends=np.zeros_like(seen.mask_ends))
    chosen = np.arange(120).reshape(60, 2)
    assert Pair.of(bare, chosen).masks is None
    assert Pair.of(seen, chosen).masks is not None


def test_overlap_is_that_of_whole_pictures() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.random((2, 30, 40)) < 0.02
    for right, down in ((0, 0), (3, -2), (-7, 4)):
        padded = np.pad(one, 20), np.pad(two, 20)
        moved = np.roll(padded[0], (down, right), axis=(0, 1))
        expected = (moved & padded[1]).sum() / (moved | padded[1]).sum()
        shift = np.array([right + 0.3, down - 0.3])
        assert MaskCrop.of(one).iou(MaskCrop.of(two), shift) == pytest.approx(expected)
    assert np.isnan(MaskCrop.of(one).iou(MaskCrop.empty(), np.zeros(2)))


def test_a_moving_mask_overlaps_itself() -> None:
    """Up to the speed that people reach; the person's column is followed, newest mask first."""
    pair = clinch()
    assert pair.masks is not None
    ages = np.array([np.full(FRAMES, 1), np.full(FRAMES, 2)])
    overlaps = continued_iou(pair.masks, pair.boxes_xyxy, ages, fps=10.0)
    for person in range(2):
        np.testing.assert_allclose(newest_iou(overlaps, [person, 1])[1:, person], 1.0)
        assert not newest_iou(overlaps, [person, 0])[1:, 1 - person].any()


def test_old_masks_count_less_and_missing_ones_not_at_all() -> None:
    pair = clinch()
    assert pair.masks is not None
    pair.masks[19] = MaskCrop.empty()
    ages = np.array([np.full(FRAMES, 1), np.full(FRAMES, 2)])
    overlaps = continued_iou(pair.masks, pair.boxes_xyxy, ages, fps=10.0)
    np.testing.assert_allclose(newest_iou(overlaps, [0, 0])[20], (0.75, 0.25))
    np.testing.assert_allclose(newest_iou(overlaps, [0, 0])[19], UNKNOWN_IOU)
