import numpy as np

from closefit.tracking.colours import (
    COLOUR_SIZE,
    PART_SIZE,
    colour_distance,
    describe_clothes,
)
from tests.unit.tracking.scenes import IMAGE_WH, walk

RED, GREEN, GREY = (200, 30, 30), (30, 160, 40), (120, 120, 120)
PEOPLE = walk(np.tile([200.0, 420.0], (1, 1)), noise_px=0.0)


def picture(*clothes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """People in one colour each, and their masks."""
    image = np.full((IMAGE_WH[1], IMAGE_WH[0], 3), GREY, dtype=np.uint8)
    masks = np.zeros((2, IMAGE_WH[1], IMAGE_WH[0]), dtype=bool)
    for person, colour in enumerate(clothes):
        x0, y0, x1, y1 = PEOPLE.boxes_xyxy[0, person].astype(int)
        image[y0:y1, x0:x1] = colour
        masks[person, y0:y1, x0:x1] = True
    return image, masks


def test_equal_clothes_have_no_distance_and_others_a_large_one() -> None:
    same = describe_clothes(picture(RED, RED)[0], PEOPLE.keypoints[0])
    other = describe_clothes(picture(RED, GREEN)[0], PEOPLE.keypoints[0])
    assert same.shape == (2, COLOUR_SIZE)
    np.testing.assert_allclose(colour_distance(same[0], same[1], np.nan), 0.0, atol=1e-6)
    assert colour_distance(other[0], other[1], np.nan) > 0.7
    np.testing.assert_allclose(np.linalg.norm(same[0][:PART_SIZE]), np.sqrt(2.0))


def test_unsure_keypoints_describe_nothing() -> None:
    keypoints = PEOPLE.keypoints[0].copy()
    keypoints[0, 5, 2] = 0.1
    described = describe_clothes(picture(RED, RED)[0], keypoints)
    assert np.isnan(described[0, :PART_SIZE]).all()
    assert np.isfinite(described[0, PART_SIZE:]).all()
    assert np.isfinite(described[1]).all()


def test_only_own_pixels_count() -> None:
    image, masks = picture(RED, GREEN)
    masks[0] = False
    described = describe_clothes(image, PEOPLE.keypoints[0], masks)
    assert np.isnan(described[0]).all()
    assert np.isfinite(described[1]).all()


def test_without_masks_a_covered_trunk_describes_nothing() -> None:
    keypoints = np.stack([PEOPLE.keypoints[0, 0]] * 2)
    assert np.isnan(describe_clothes(picture(RED, RED)[0], keypoints)).all()


def test_a_person_outside_the_picture_does_not_change_the_other() -> None:
    image, keypoints = picture(RED, GREEN)[0], PEOPLE.keypoints[0].copy()
    inside = describe_clothes(image, keypoints)
    keypoints[0, :, 0] -= 230.0
    outside = describe_clothes(image, keypoints)
    np.testing.assert_allclose(outside[1], inside[1])
    assert colour_distance(outside[0], inside[0], np.nan) > 0.5


def test_nobody() -> None:
    assert describe_clothes(picture(RED, RED)[0], np.zeros((0, 17, 3))).shape == (0, COLOUR_SIZE)


def test_distance_without_a_common_part_is_unknown() -> None:
    one, two = np.full(COLOUR_SIZE, np.nan), np.full(COLOUR_SIZE, np.nan)
    one[:PART_SIZE], two[PART_SIZE:] = 0.1, 0.1
    assert colour_distance(one, two, unknown=0.3) == 0.3
