from pathlib import Path

import numpy as np
import pytest

from closefit.tracking.pair import Pair
from closefit.tracking.swaps import find_swapped
from tests.unit.tracking.scenes import crossing, walk

FPS = 30.0
NONE = np.zeros(60, dtype=bool)


def among(frames: int, *numbers: int) -> np.ndarray:
    chosen = np.zeros(frames, dtype=bool)
    chosen[list(numbers)] = True
    return chosen


@pytest.mark.parametrize("swapped", [NONE, among(60, 7), among(60, 10, 11, 29, 30, 31, 50)])
def test_single_mistakes_are_found(swapped: np.ndarray) -> None:
    found, confidence = find_swapped(crossing().swapped(swapped), FPS)
    np.testing.assert_array_equal(found, swapped)
    assert confidence.min() > 0.9


@pytest.mark.parametrize("first", [20, 35, 45])
def test_a_lasting_mistake_is_found(first: int) -> None:
    """A tracker that confuses two people usually goes on with it."""
    swapped = np.arange(60) >= first
    found, _ = find_swapped(crossing().swapped(swapped), FPS)
    np.testing.assert_array_equal(found if first > 30 else ~found, swapped)


def test_finding_does_not_depend_on_the_order_of_people() -> None:
    pair = crossing().swapped(among(60, 12, 40))
    found, confidence = find_swapped(pair, FPS)
    reversed_found, reversed_confidence = find_swapped(pair.swapped(~NONE), FPS)
    np.testing.assert_array_equal(found, reversed_found)
    np.testing.assert_allclose(confidence, reversed_confidence, atol=1e-9)


def test_finding_does_not_depend_on_place_and_size() -> None:
    pair = crossing().swapped(among(60, 12, 40))
    moved = Pair(
        boxes_xyxy=pair.boxes_xyxy * 3.0 + 50.0,
        keypoints=pair.keypoints * (3.0, 3.0, 1.0) + (50.0, 50.0, 0.0),
        colours=pair.colours,
    )
    for one, two in zip(find_swapped(pair, FPS), find_swapped(moved, FPS), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_person_who_is_missed_keeps_the_identity() -> None:
    pair = crossing()
    boxes, keypoints = pair.boxes_xyxy.copy(), pair.keypoints.copy()
    boxes[20:24, 0], keypoints[20:24, 0] = np.nan, 0.0
    missed = Pair(boxes, keypoints, pair.colours)
    swapped = among(60, 15, 22, 40)
    found, _ = find_swapped(missed.swapped(swapped), FPS)
    np.testing.assert_array_equal(found, swapped)


def test_colours_settle_what_motion_cannot() -> None:
    """Both are unseen for a second; only their clothes show who is who after that."""
    still = walk(np.tile([200.0, 420.0], (60, 1)))
    boxes, keypoints = still.boxes_xyxy.copy(), still.keypoints.copy()
    boxes[15:45], keypoints[15:45] = np.nan, 0.0
    generator = np.random.default_rng(0)
    clothes = generator.normal(size=(1, 2, 8)) + 0.1 * generator.normal(size=(60, 2, 8))
    clothes[15:45] = np.nan
    swapped = np.arange(60) >= 45
    pair = Pair(boxes, keypoints, clothes).swapped(swapped)
    found, _ = find_swapped(pair, FPS)
    seen = np.isfinite(boxes).all(axis=(1, 2))
    np.testing.assert_array_equal(found[seen], swapped[seen])


def test_clothes_of_one_kind_do_no_harm() -> None:
    pair = crossing()
    noise = np.random.default_rng(0).normal(size=(60, 2, 8))
    swapped = among(60, 10, 30, 31)
    found, _ = find_swapped(Pair(pair.boxes_xyxy, pair.keypoints, noise).swapped(swapped), FPS)
    np.testing.assert_array_equal(found, swapped)


def test_confidence_falls_where_nothing_distinguishes_the_two() -> None:
    """After a second in which nobody is seen, it is a guess who is who."""
    pair = walk(np.tile([300.0, 330.0], (60, 1)))
    boxes, keypoints = pair.boxes_xyxy.copy(), pair.keypoints.copy()
    boxes[15:45], keypoints[15:45] = np.nan, 0.0
    _, confidence = find_swapped(Pair(boxes, keypoints, pair.colours), FPS)
    assert min(confidence[:15].min(), confidence[45:].min()) < 0.95
    assert max(confidence[:15].max(), confidence[45:].max()) > 0.99


def test_one_frame_is_kept() -> None:
    pair = walk(np.array([[200.0, 300.0]]))
    found, confidence = find_swapped(pair, FPS)
    assert not found.any()
    np.testing.assert_allclose(confidence, 1.0)


@pytest.mark.parametrize("clip", ["dev_01", "dev_02", "dev_03", "dev_04"])
def test_more_than_99_percent_are_right_on_rendered_clips(shared: Path, clip: str) -> None:
    folder = shared / "clips" / "synth" / clip
    given, truth = np.load(folder / "observations.npz"), np.load(folder / "truth.npz")
    keypoints = np.nan_to_num(given["keypoints"].astype(float))
    distance = np.linalg.norm(keypoints[:, :, None, :, :2] - truth["keypoints2d"][:, None], axis=-1)
    apart = np.median(distance, axis=-1)
    swapped = apart[:, 0, 1] + apart[:, 1, 0] < apart[:, 0, 0] + apart[:, 1, 1]
    assert swapped.any()
    pair = Pair(
        boxes_xyxy=given["boxes"].astype(float),
        keypoints=keypoints,
        colours=np.full((len(keypoints), 2, 1), np.nan),
    )
    found, _ = find_swapped(pair, float(given["fps"]))
    assert (found == swapped).mean() > 0.99
