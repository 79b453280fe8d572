"""A detection that lies on the other person is doubted, and no other one."""

import numpy as np
import pytest

from closefit.tracking.joints import own_probability
from closefit.tracking.repair import doubtful_frames, repair
from tests.unit.tracking.scenes import HEIGHT_PX, walk

FPS = 30.0
FRAMES = 60
DOUBLE = 25
TIME_S = np.arange(FRAMES) / FPS


def close() -> np.ndarray:
    return walk(np.tile([280.0, 320.0], (FRAMES, 1))).keypoints


@pytest.mark.parametrize("alone", [False, True])
def test_a_person_found_twice_is_doubted(alone: bool) -> None:
    """Whether or not the person whose detection it should be has one of their own."""
    keypoints = close()
    keypoints[DOUBLE, 1] = keypoints[DOUBLE, 0]
    if alone:
        keypoints[DOUBLE, 0] = 0.0
    probability = own_probability(keypoints, np.full(2, HEIGHT_PX), FPS)
    assert probability[DOUBLE, 1] < 0.01
    others = np.ones((FRAMES, 2), dtype=bool)
    others[DOUBLE, 1] = False
    assert probability[others].min() > 0.99


def test_people_in_one_place_are_undecided() -> None:
    keypoints = close()
    keypoints[:, 1] = keypoints[:, 0]
    probability = own_probability(keypoints, np.full(2, HEIGHT_PX), FPS)
    np.testing.assert_allclose(probability, 0.5, atol=1e-6)


def test_nobody_is_doubted_without_a_path() -> None:
    keypoints = close()
    keypoints[:, 1] = 0.0
    assert (own_probability(keypoints, np.full(2, HEIGHT_PX), FPS) == 1.0).all()


def test_it_is_listed_as_doubtful() -> None:
    pair = walk(np.tile([280.0, 320.0], (FRAMES, 1)))
    for values in (pair.keypoints, pair.boxes_xyxy):
        values[DOUBLE, 1] = values[DOUBLE, 0]
    repaired = repair(pair, TIME_S, FPS, 0.5)
    doubtful = doubtful_frames(repaired.seen, repaired.identity_confidence)
    assert doubtful.nonzero()[0].tolist() == [DOUBLE]
    assert repaired.identity_confidence[DOUBLE, 0] > 0.97
