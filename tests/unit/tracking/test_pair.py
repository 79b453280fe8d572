"""Two people's detections, gathered from those of everybody."""

import numpy as np
import pytest

from closefit.tracking.detections import DetectionCollector, Detections
from closefit.tracking.pair import Pair
from closefit.tracking.pair_search import columns_of
from tests.unit.tracking.scenes import crossing, import_pair, see, walk

FRAMES = 60
FIELDS = ("boxes_xyxy", "keypoints", "colours", "landmarks_3d_m")


@pytest.fixture
def pair() -> Pair:
    people = see([crossing()])
    return Pair.of(people, columns_of(people, np.arange(2 * FRAMES) % 2, (0, 1)))


def assert_equal(one: Pair, two: Pair) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.masks is not None
    assert two.masks is not None
    for crop, other in zip(one.masks.ravel(), two.masks.ravel(), strict=True):
        assert (crop.corners, crop.deflated) == (other.corners, other.deflated)


def test_imported_columns_are_found_again() -> None:
    hidden = crossing().without(np.arange(2 * FRAMES).reshape(FRAMES, 2) % 7 == 0)
    people = import_pair(hidden)
    found = Pair.of(people, columns_of(people, people.identity, (0, 1)))
    np.testing.assert_array_equal(found.boxes_xyxy, hidden.boxes_xyxy)
    np.testing.assert_array_equal(found.keypoints, hidden.keypoints)
    assert found.masks is None


def test_swapping_twice_changes_nothing(pair: Pair) -> None:
    frames = np.arange(FRAMES) % 3 == 0
    once = pair.swapped(frames)
    np.testing.assert_array_equal(once.boxes_xyxy[frames], pair.boxes_xyxy[frames, ::-1])
    np.testing.assert_array_equal(once.boxes_xyxy[~frames], pair.boxes_xyxy[~frames])
    assert_equal(once.swapped(frames), pair)


def test_frames_and_people_are_independent(pair: Pair) -> None:
    """Swapping and dropping commute with choosing frames."""
    chosen = np.array([3, 4, 30])
    swapped = np.arange(FRAMES) % 2 == 0
    dropped = np.zeros((FRAMES, 2), dtype=bool)
    dropped[4, 0] = dropped[50, 1] = True
    assert_equal(pair.swapped(swapped).at(chosen), pair.at(chosen).swapped(swapped[chosen]))
    assert_equal(pair.without(dropped).at(chosen), pair.at(chosen).without(dropped[chosen]))


def test_what_is_dropped_is_unknown(pair: Pair) -> None:
    dropped = np.zeros((FRAMES, 2), dtype=bool)
    dropped[10:20, 1] = True
    left = pair.without(dropped)
    np.testing.assert_array_equal(left.seen, ~dropped)
    assert not left.keypoints[dropped].any()
    assert np.isnan(left.colours[dropped]).all()
    assert left.masks is not None
    assert all(mask.is_empty for mask in left.masks[dropped])
    assert pair.seen.all()  # the original is not changed


@pytest.mark.parametrize("missing", [False, True])
def test_landmarks_count_only_if_everybody_has_them(missing: bool) -> None:
    people = walk(np.array([[200.0, 400.0]] * 3))
    collector = DetectionCollector()
    for frame in range(3):
        landmarks = None if missing and frame == 1 else np.full((2, 17, 4), float(frame))
        masks = np.zeros((2, 360, 640), dtype=bool)
        boxes, keypoints = people.boxes_xyxy[frame], people.keypoints[frame]
        found = Detections(boxes, np.ones(2), keypoints, masks, landmarks)
        collector.add(np.zeros((360, 640, 3), dtype=np.uint8), found)
    record = collector.finish(np.arange(3.0))
    assert record.size_wh.tolist() == [640, 360]
    assert record.landmarks_3d_m.shape == (6, 0 if missing else 17, 4)
    if not missing:
        np.testing.assert_array_equal(record.landmarks_3d_m[:, 0, 0], record.frame)
