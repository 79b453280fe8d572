"""Which of two people a pixel is near to: an upright person and the same one aside."""

import numpy as np
import pytest

from closefit.tracking.limb_cue import REACH, SCALE, limb_odds

SIZE_WH, HEIGHT_PX = (160, 120), 100.0
BOTH = np.array([True, True])
SURE = 0.9


def person(x: float) -> np.ndarray:
    """Keypoints of somebody who stands with the arms down."""
    across = np.array([0, 2, -2, 4, -4, 10, -10, 13, -13, 14, -14, 7, -7, 7, -7, 7, -7])
    down = np.array([12, 10, 10, 12, 12, 22, 22, 36, 36, 50, 50, 52, 52, 75, 75, 98, 98])
    return np.stack([x + across, 10.0 + down, np.full(17, SURE)], axis=1).astype(float)


@pytest.fixture
def pair() -> np.ndarray:
    return np.stack([person(50.0), person(110.0)])


def odds(pair: np.ndarray, seen: np.ndarray = BOTH) -> np.ndarray:
    return limb_odds(pair, seen, SIZE_WH, HEIGHT_PX)


def test_a_persons_own_pixels_are_likely_theirs(pair: np.ndarray) -> None:
    found = odds(pair)
    strongest = 1.0 / (1.0 + np.exp(-REACH / SCALE))
    for number, keypoints in enumerate(pair):
        column, row = keypoints[5:, :2].astype(int).T
        np.testing.assert_allclose(found[row, column, number], 2.0 * strongest, rtol=1e-5)


def test_factors_of_both_add_up_to_two(pair: np.ndarray) -> None:
    np.testing.assert_allclose(odds(pair).sum(axis=-1), 2.0, rtol=1e-5)


def test_far_from_both_nothing_is_said(pair: np.ndarray) -> None:
    left, between = 5, 80
    np.testing.assert_allclose(odds(pair)[:, [left, between]], 1.0, rtol=1e-5)


def test_people_may_change_places(pair: np.ndarray) -> None:
    np.testing.assert_array_equal(odds(pair[::-1].copy()), odds(pair)[..., ::-1])


def test_two_people_in_one_place_are_equally_likely(pair: np.ndarray) -> None:
    np.testing.assert_array_equal(odds(pair[[0, 0]]), 1.0)


def test_who_is_not_known_says_nothing_about_the_other(pair: np.ndarray) -> None:
    np.testing.assert_array_equal(odds(pair, np.array([True, False])), 1.0)
    unsure = pair.copy()
    unsure[1, 5:15, 2] = 0.1
    np.testing.assert_array_equal(odds(unsure), 1.0)


def test_an_unsure_limb_is_not_drawn(pair: np.ndarray) -> None:
    """A wrist that is somewhere else, with little confidence, changes nothing there."""
    stray = pair.copy()
    stray[0, 9] = (110.0, 5.0, 0.1)
    assert (odds(stray)[..., 0] <= odds(pair)[..., 0] + 1e-6).all()


@pytest.mark.parametrize("place", [np.nan, 1e30, -1e9])
def test_places_far_outside_do_no_harm(pair: np.ndarray, place: float) -> None:
    pair[0, 15, :2] = place
    assert np.isfinite(odds(pair)).all()
