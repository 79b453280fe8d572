import numpy as np

from closefit.tracking.mask_crops import MaskCrop
from closefit.tracking.masks import COVERED_TRUST, detected_masks, stack_pairs
from closefit.tracking.pair import Pair
from closefit.tracking.pair_search import choose_pair
from closefit.tracking.prompts import choose_prompts, sure_boxes
from tests.unit.tracking.scenes import IMAGE_WH, see, walk

SIZE_WH = (40, 30)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((30, 40), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


LEFT, RIGHT, NOTHING = rectangle(5, 5, 15, 25), rectangle(20, 5, 32, 25), rectangle(0, 0, 0, 0)
BOXES = np.array([[[5.0, 5.0, 15.0, 25.0], [20.0, 5.0, 32.0, 25.0]]])
POINTS = np.zeros((1, 2, 1, 3))


def test_a_crop_restores_its_mask() -> None:
    generator = np.random.default_rng(0)
    for mask in (LEFT, NOTHING, generator.random((30, 40)) > 0.5):
        restored = np.zeros_like(mask)
        MaskCrop.of(mask).add_to(restored)
        np.testing.assert_array_equal(restored, mask)


def test_a_crop_adds_to_what_is_there() -> None:
    mask = LEFT.copy()
    MaskCrop.of(rectangle(10, 10, 25, 20)).add_to(mask)
    np.testing.assert_array_equal(mask, LEFT | rectangle(10, 10, 25, 20))


def test_other_masks_can_doubt_keypoints() -> None:
    """A keypoint of person 0 inside RIGHT is doubted where that is the other person's mask."""
    points = np.array([[[[25.0, 10.0, 1.0]], [[25.0, 10.0, 1.0]]]])
    of_two, of_one = np.stack([LEFT, RIGHT]), np.stack([LEFT, NOTHING])
    doubted = stack_pairs([of_one], SIZE_WH, BOXES, points, [of_two])
    assert doubted[2][0, :, 0, 2].tolist() == [COVERED_TRUST, 1.0]
    np.testing.assert_array_equal(doubted[1][0], of_one)
    assert stack_pairs([of_two], SIZE_WH, BOXES, points, [of_one])[2][0, 0, 0, 2] == 1.0


def test_union_and_people() -> None:
    union, people, _ = stack_pairs([np.stack([LEFT, RIGHT])], SIZE_WH, BOXES, POINTS)
    np.testing.assert_array_equal(union[0], LEFT | RIGHT)
    np.testing.assert_array_equal(people[0], [LEFT, RIGHT])


def test_the_union_is_unknown_where_a_visible_person_has_no_mask() -> None:
    union, people, _ = stack_pairs([np.stack([LEFT, NOTHING])], SIZE_WH, BOXES, POINTS)
    assert not union.shown.any()
    np.testing.assert_array_equal(people[0, 0], LEFT)


def test_the_union_is_one_person_where_the_other_is_behind_or_away() -> None:
    behind = np.array([[[5.0, 5.0, 15.0, 25.0], [8.0, 6.0, 17.0, 24.0]]])
    away = np.array([[[5.0, 5.0, 15.0, 25.0], [np.nan] * 4]])
    for boxes in (behind, away):
        union = stack_pairs([np.stack([LEFT, NOTHING])], SIZE_WH, boxes, POINTS)[0]
        np.testing.assert_array_equal(union[0], LEFT)


def test_keypoints_on_the_other_person_are_doubted() -> None:
    keypoints = np.zeros((1, 2, 4, 3))
    keypoints[0, 0, :, :2] = [(10, 10), (25, 10), (37, 10), (25, 12)]
    keypoints[0, 0, :, 2] = 0.8, 0.8, 0.8, 0.0
    doubted = stack_pairs([np.stack([LEFT, RIGHT])], SIZE_WH, BOXES, keypoints)[2]
    np.testing.assert_array_equal(doubted[0, 1], keypoints[0, 1])
    np.testing.assert_allclose(doubted[0, 0, :, 2], [0.8, 0.8 * COVERED_TRUST, 0.8, 0.0])
    np.testing.assert_array_equal(doubted[..., :2], keypoints[..., :2])


def test_masks_of_the_chosen_detections() -> None:
    people = walk(np.tile([200.0, 330.0], (5, 1)))
    hidden = np.zeros((5, 2), dtype=bool)
    hidden[2, 1] = True
    found = see([people], hidden)
    masks = list(detected_masks(Pair.of(found, choose_pair(found, 30.0)), IMAGE_WH))
    assert all(mask.shape == (2, IMAGE_WH[1], IMAGE_WH[0]) for mask in masks)
    assert not masks[2][1].any()
    columns = np.flatnonzero(masks[2][0].any(axis=0))
    np.testing.assert_allclose([columns[0], columns[-1]], people.boxes_xyxy[2, 0, [0, 2]], atol=2)


class TestPrompts:
    def test_first_sight_and_clear_frames(self) -> None:
        boxes = np.tile(BOXES, (60, 1, 1))
        boxes[10:50, 1] = boxes[10:50, 0] + 1.0
        seen = np.ones((60, 2), dtype=bool)
        seen[:4, 1] = False
        prompts = choose_prompts(boxes, seen, np.ones((60, 2)), fps=15.0)
        given = np.isfinite(prompts).all(axis=-1)
        assert given[:, 0].nonzero()[0].tolist() == [0, 4, 50]
        assert given[:, 1].nonzero()[0].tolist() == [4, 50]
        np.testing.assert_array_equal(prompts[given], boxes[given])

    def test_doubtful_identities_are_not_repeated(self) -> None:
        boxes = np.tile(BOXES, (60, 1, 1))
        sure = np.ones((60, 2))
        sure[1:] = 0.6
        prompts = choose_prompts(boxes, np.ones((60, 2), dtype=bool), sure, fps=15.0)
        assert np.isfinite(prompts).all(axis=(1, 2)).nonzero()[0].tolist() == [0]


def test_masks_are_compared_with_sure_boxes_only() -> None:
    boxes = np.tile(BOXES, (4, 1, 1))
    seen = np.array([[1, 1], [0, 1], [1, 1], [0, 1]], dtype=bool)
    confidence = np.array([[1.0, 0.99], [0.99, 0.99], [0.6, 0.99], [1.0, 0.5]])
    known = np.isfinite(sure_boxes(boxes, seen, confidence)).all(axis=-1)
    assert known.tolist() == [[True, True], [False, True], [False, True], [False, False]]


def test_masks_that_the_keypoints_of_all_contradict_are_unknown() -> None:
    in_left, in_right = (np.tile([x, 10.0, 0.9], (6, 1)) for x in (10.0, 25.0))
    unseen = np.zeros((6, 3))
    pair = [np.stack([LEFT, RIGHT])]
    for points in ([in_right, in_left], [in_right, unseen], [unseen, in_left]):
        union, people, kept = stack_pairs(pair, SIZE_WH, BOXES, np.array([points]))
        assert not people.shown.any()
        np.testing.assert_array_equal(union[0], LEFT | RIGHT)
        np.testing.assert_array_equal(kept, [points])  # such masks doubt nothing
    for points in ([in_left, in_right], [in_left, in_left], [in_right, in_right], [unseen] * 2):
        np.testing.assert_array_equal(
            stack_pairs(pair, SIZE_WH, BOXES, np.array([points]))[1][0], pair[0]
        )
