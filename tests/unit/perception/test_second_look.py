"""Two detections of one person: averaged where they agree, the first one where they do not."""

import numpy as np
import pytest

from closefit.body.keypoints import COCO17_FACE
from closefit.perception.second_look import LEAST_CONFIDENCE, WEIGHT, averaged, each_alone

SIDE = np.array([[200.0, 300.0], [240.0, 280.0]])
BODY = slice(COCO17_FACE.stop, None)


@pytest.fixture
def first() -> np.ndarray:
    """Keypoints of two people in two frames."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0.0, 300.0, (2, 2, 17, 2))
    return np.concatenate([places, rng.uniform(0.3, 1.0, (2, 2, 17, 1))], axis=-1)


@pytest.fixture
def second(first: np.ndarray) -> np.ndarray:
    """The same a little aside, from a network that is less sure."""
    moved = first + np.array([8.0, -6.0, 0.0])
    moved[..., 2] *= 0.5
    return moved


def test_places_that_agree_are_averaged(first: np.ndarray, second: np.ndarray) -> None:
    found = averaged(first, second, SIDE)
    mean = (1.0 - WEIGHT) * first + WEIGHT * second
    np.testing.assert_allclose(found[..., BODY, :2], mean[..., BODY, :2])


def test_faces_and_confidences_stay(first: np.ndarray, second: np.ndarray) -> None:
    found = averaged(first, second, SIDE)
    np.testing.assert_array_equal(found[..., COCO17_FACE, :], first[..., COCO17_FACE, :])
    np.testing.assert_array_equal(found[..., 2], first[..., 2])


@pytest.mark.parametrize("spoilt", ["far", "unsure", "unknown"])
def test_another_keypoint_does_not_matter(
    first: np.ndarray, second: np.ndarray, spoilt: str
) -> None:
    """A knee that is elsewhere, or not there, leaves this knee and no other keypoint alone."""
    changed, knee = second.copy(), 13
    if spoilt == "far":
        changed[..., knee, 0] += 60.0
    elif spoilt == "unsure":
        changed[..., knee, 2] = 0.9 * LEAST_CONFIDENCE
    else:
        changed[..., knee, :2] = np.nan
    found, expected = averaged(first, changed, SIDE), averaged(first, second, SIDE)
    np.testing.assert_array_equal(found[..., knee, :], first[..., knee, :])
    others = np.arange(17) != knee
    np.testing.assert_array_equal(found[..., others, :], expected[..., others, :])


def test_who_was_mistaken_is_not_used(first: np.ndarray, second: np.ndarray) -> None:
    """Where the torso is elsewhere, limbs that lie near by chance are no second detection."""
    second[1, 0, [5, 6, 11, 12], 0] += 60.0
    found = averaged(first, second, SIDE)
    np.testing.assert_array_equal(found[1, 0], first[1, 0])
    assert (found[0] != first[0]).any()
    assert (found[1, 1] != first[1, 1]).any()


def test_who_has_no_box_is_left_alone(first: np.ndarray, second: np.ndarray) -> None:
    side = np.where([[True, False], [True, True]], SIDE, np.nan)
    np.testing.assert_array_equal(averaged(first, second, side)[0, 1], first[0, 1])


def test_the_size_of_the_picture_does_not_matter(first: np.ndarray, second: np.ndarray) -> None:
    larger = np.array([3.0, 3.0, 1.0])
    found = averaged(first * larger, second * larger, 3.0 * SIDE)
    np.testing.assert_allclose(found, averaged(first, second, SIDE) * larger)


def test_only_the_other_person_is_painted_over() -> None:
    image = np.random.default_rng(0).integers(0, 100, (40, 60, 3)).astype(np.uint8)
    masks = np.zeros((2, 40, 60), dtype=bool)
    masks[0, 5:30, 5:30] = masks[1, 10:35, 20:50] = True
    before = image.copy()
    for person, picture in enumerate(each_alone(image, masks)):
        others = masks[1 - person] & ~masks[person]
        np.testing.assert_array_equal(picture[~others], image[~others])
        assert len(np.unique(picture[others])) == 1
    np.testing.assert_array_equal(image, before)
