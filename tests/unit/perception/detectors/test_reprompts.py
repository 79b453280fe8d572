import numpy as np
import pytest

from closefit.perception.detectors.reprompts import boxes_of, choose_reprompts, disagreeing

NOWHERE = (np.nan,) * 4
OWN, APART = (0.0, 0.0, 10.0, 20.0), (50.0, 0.0, 60.0, 20.0)
BESIDE = (5.0, 0.0, 15.0, 20.0)
"""Covers the right half of `OWN`."""


def boxes(first: tuple[float, ...], second: tuple[float, ...], frames: int = 1) -> np.ndarray:
    return np.tile(np.array([first, second]), (frames, 1, 1))


@pytest.mark.parametrize(
    ("mask", "own", "other", "wrong"),
    [
        pytest.param(OWN, OWN, APART, False, id="where it should be"),
        pytest.param((0, 0, 10, 9), OWN, APART, True, id="less than half, nobody in front"),
        pytest.param((0, 0, 5, 9), OWN, BESIDE, False, id="the other may hide the rest"),
        pytest.param((0, 10, 4, 14), OWN, BESIDE, False, id="a scrap beside the other"),
        pytest.param(NOWHERE, OWN, APART, True, id="none, nobody in front"),
        pytest.param(NOWHERE, OWN, BESIDE, False, id="none, half is hidden"),
        pytest.param(NOWHERE, OWN, (8.0, 0.0, 18.0, 20.0), True, id="none, a fifth is hidden"),
        pytest.param(APART, OWN, APART, True, id="on the other person"),
        pytest.param((0, 0, 60, 20), OWN, APART, True, id="on both people"),
        pytest.param((0, 0, 25, 20), OWN, BESIDE, True, id="beyond both people"),
        pytest.param(APART, NOWHERE, APART, False, id="the person's place is unknown"),
        pytest.param(NOWHERE, OWN, NOWHERE, True, id="the other's place is unknown"),
    ],
)
def test_disagreement_by_hand(mask: tuple, own: tuple, other: tuple, wrong: bool) -> None:
    found = disagreeing(boxes(mask, other), boxes(own, other))
    assert found[0].tolist() == [wrong, False]
    swapped = disagreeing(boxes(other, mask), boxes(other, own))
    assert swapped[0].tolist() == [False, wrong]


def test_disagreement_does_not_depend_on_the_unit_of_length() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 50, (2, 200, 2, 2))
    mask, tracked = np.concatenate(
        [corners, corners + generator.uniform(5, 60, (2, 200, 2, 2))], -1
    )
    wrong = disagreeing(mask, tracked)
    assert 0 < wrong.sum() < wrong.size
    np.testing.assert_array_equal(disagreeing(3 * mask + 7, 3 * tracked + 7), wrong)


def test_one_box_for_each_run_where_people_overlap_least() -> None:
    wrong = np.zeros((20, 2), dtype=bool)
    wrong[2:7, 0] = wrong[11:14, 0] = wrong[11:14, 1] = True
    wrong[17:19, 0] = True  # too short
    tracked = boxes(OWN, (7.0, 0.0, 17.0, 20.0), 20)
    tracked[5, 1] = APART
    again = choose_reprompts(wrong, tracked)
    assert np.argwhere(again).tolist() == [[5, 0], [11, 0], [11, 1]]


def test_no_box_in_a_clinch() -> None:
    """Boxes that are nearly the same give the segmenter no information."""
    wrong = np.ones((10, 2), dtype=bool)
    assert not choose_reprompts(wrong, boxes(OWN, (1.0, 0.0, 11.0, 20.0), 10)).any()
    assert choose_reprompts(wrong, boxes(OWN, APART, 10)).sum() == 2


def test_boxes_around_masks() -> None:
    masks = np.zeros((3, 2, 4, 5), dtype=bool)
    masks[0, 0, 1:3, 2:5] = True
    masks[2, 1, 3, 0] = True
    found = boxes_of(masks, (50, 80))
    assert found[0, 0].tolist() == [20.0, 20.0, 50.0, 60.0]
    assert found[2, 1].tolist() == [0.0, 60.0, 10.0, 80.0]
    assert np.isnan(found).all(axis=-1).tolist() == [[False, True], [True, True], [True, False]]
