from pathlib import Path

import numpy as np

from closefit.tracking.joints import doubt_jumps, swap_back_limbs
from tests.unit.tracking.scenes import HEIGHT_PX, crossing, walk

FPS = 30.0
HEIGHTS = np.array([HEIGHT_PX, HEIGHT_PX])
APART = walk(np.tile([200.0, 330.0], (40, 1)))


def kept(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return after[..., 2] / before[..., 2]


def test_people_who_walk_are_not_doubted() -> None:
    keypoints = crossing().keypoints
    after = doubt_jumps(keypoints, HEIGHTS, FPS)
    assert kept(keypoints, after).mean() > 0.98
    np.testing.assert_array_equal(after[..., :2], keypoints[..., :2])


def test_a_jump_to_the_other_person_and_back_is_doubted() -> None:
    keypoints = APART.keypoints.copy()
    keypoints[20:22, 0, 9, :2] = keypoints[20:22, 1, 9, :2]
    after = kept(keypoints, doubt_jumps(keypoints, HEIGHTS, FPS))
    assert after[20:22, 0, 9].max() < 0.05
    after[20:22, 0, 9] = 1.0
    assert after.min() > 0.5


def test_a_jump_to_the_other_person_is_doubted_more_than_one_elsewhere() -> None:
    near = walk(np.tile([250.0, 266.0], (40, 1)), noise_px=0.0).keypoints
    there, elsewhere = near.copy(), near.copy()
    there[20, 0, 5, :2] = there[20, 1, 5, :2]
    step = there[20, 1, 5, :2] - near[20, 0, 5, :2]
    elsewhere[20, 0, 5, :2] -= step
    doubted = [doubt_jumps(k, HEIGHTS, FPS)[20, 0, 5, 2] for k in (there, elsewhere)]
    assert doubted[0] < 0.8 * doubted[1]


def test_doubt_does_not_depend_on_place_size_and_order() -> None:
    keypoints = APART.keypoints.copy()
    keypoints[10, 0, 9, :2] += 40.0
    plain = doubt_jumps(keypoints, HEIGHTS, FPS)
    scaled = doubt_jumps(keypoints * (2, 2, 1) + (9, 9, 0), 2 * HEIGHTS, FPS)
    np.testing.assert_allclose(scaled[..., 2], plain[..., 2], atol=1e-9)
    turned = doubt_jumps(keypoints[:, ::-1].copy(), HEIGHTS, FPS)
    np.testing.assert_allclose(turned[:, ::-1], plain, atol=1e-9)


def test_without_neighbours_nothing_is_doubted() -> None:
    keypoints = APART.keypoints[:1]
    np.testing.assert_allclose(doubt_jumps(keypoints, HEIGHTS, FPS), keypoints, atol=1e-6)


def test_weighted_error_falls_on_rendered_clips(shared: Path) -> None:
    for clip in ("dev_02", "dev_03", "dev_04"):
        folder = shared / "clips" / "synth" / clip
        given, truth = np.load(folder / "observations.npz"), np.load(folder / "truth.npz")
        keypoints, true = given["keypoints"].astype(float), truth["keypoints2d"]
        direct = np.linalg.norm(keypoints[..., :2] - true, axis=-1)
        other = np.linalg.norm(keypoints[:, ::-1, :, :2] - true, axis=-1)
        swapped = np.median(other, axis=2).sum(axis=1) < np.median(direct, axis=2).sum(axis=1)
        keypoints[swapped] = keypoints[swapped, ::-1]
        error = np.linalg.norm(keypoints[..., :2] - true, axis=-1)
        heights = np.percentile(np.ptp(true[..., 1], axis=2), 75, axis=0)
        after = doubt_jumps(keypoints, heights, float(given["fps"]))
        means = [np.average(error, weights=k[..., 2]) for k in (keypoints, after)]
        assert means[1] < 0.92 * means[0]
        assert after[..., 2].sum() > 0.85 * keypoints[..., 2].sum()


def test_swapped_legs_are_given_back() -> None:
    legs = [11, 12, 13, 14, 15, 16]
    wrong = APART.keypoints.copy()
    wrong[18:21, :, legs] = wrong[18:21, ::-1, legs]
    found, swapped_points = swap_back_limbs(wrong, HEIGHTS, FPS)
    np.testing.assert_array_equal(found, APART.keypoints)
    expected = np.zeros_like(swapped_points)
    expected[18:21, legs] = True
    np.testing.assert_array_equal(swapped_points, expected)


def test_giving_back_twice_changes_nothing_more() -> None:
    wrong = crossing().keypoints.copy()
    wrong[12:14, :, [5, 7, 9]] = wrong[12:14, ::-1, [5, 7, 9]]
    once, _ = swap_back_limbs(wrong, HEIGHTS, FPS)
    twice, again = swap_back_limbs(once, HEIGHTS, FPS)
    np.testing.assert_array_equal(once, twice)
    assert not again.any()


def test_nothing_is_swapped_without_need() -> None:
    """Neither walking past each other, nor one keypoint, nor what only one person lost."""
    crossed = crossing().keypoints
    one = APART.keypoints.copy()
    one[20, :, 9] = one[20, ::-1, 9]
    onto_other = APART.keypoints.copy()
    onto_other[20:22, 0, 13:16] = onto_other[20:22, 1, 13:16]
    for keypoints in (crossed, one, onto_other):
        found, swapped_points = swap_back_limbs(keypoints, HEIGHTS, FPS)
        np.testing.assert_array_equal(found, keypoints)
        assert not swapped_points.any()


def test_the_order_of_the_two_people_does_not_matter() -> None:
    wrong = APART.keypoints.copy()
    wrong[18:21, :, 11:17] = wrong[18:21, ::-1, 11:17]
    found, _ = swap_back_limbs(wrong, HEIGHTS, FPS)
    reverse, _ = swap_back_limbs(wrong[:, ::-1], HEIGHTS, FPS)
    np.testing.assert_array_equal(found, reverse[:, ::-1])
