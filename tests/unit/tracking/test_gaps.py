import numpy as np

from closefit.tracking.gaps import FILLED_TRUST, fill_gaps

TIME_S = np.arange(30) / 10.0


def moving(*missing: int) -> tuple[np.ndarray, np.ndarray]:
    """Two people on straight lines; person 1 is missing in some frames."""
    shift = np.arange(30.0)[:, None, None]
    boxes = np.array([[0.0, 0.0, 10.0, 20.0], [50.0, 0.0, 60.0, 20.0]]) + shift
    points = np.zeros((30, 2, 3, 3))
    points[..., :2] = boxes[:, :, None, :2] + np.arange(3)[:, None]
    points[..., 2] = 0.8
    for frame in missing:
        boxes[frame, 1], points[frame, 1] = np.nan, 0.0
    return boxes, points


def test_straight_motion_is_restored() -> None:
    whole_boxes, whole_points = moving()
    boxes, points, filled = fill_gaps(*moving(5, 6, 7, 20), TIME_S, 0.5)
    np.testing.assert_allclose(boxes, whole_boxes)
    np.testing.assert_allclose(points[..., :2], whole_points[..., :2])
    assert filled[:, 1].nonzero()[0].tolist() == [5, 6, 7, 20]
    assert not filled[:, 0].any()
    np.testing.assert_allclose(points[filled][..., 2], FILLED_TRUST * 0.8)


def test_long_gaps_and_open_ends_stay_open() -> None:
    missing = [0, 1, *range(10, 16), 28, 29]
    boxes, points, filled = fill_gaps(*moving(*missing), TIME_S, 0.5)
    assert not filled.any()
    assert np.isnan(boxes[missing, 1]).all()
    assert not points[missing, 1].any()


def test_the_longest_gap_is_measured_between_detections() -> None:
    missing = [10, 11, 12, 13]
    assert fill_gaps(*moving(*missing), TIME_S, 0.5)[2].sum() == 4
    assert fill_gaps(*moving(*missing), TIME_S, 0.49)[2].sum() == 0


def test_time_stamps_rule_not_frame_numbers() -> None:
    time_s = TIME_S.copy()
    time_s[7:] += 1.0
    boxes, points = moving(6)
    assert not fill_gaps(boxes, points, time_s, 0.5)[2].any()
    boxes, _, filled = fill_gaps(boxes, points, time_s, 2.0)
    assert filled[6, 1]
    share = (time_s[6] - time_s[5]) / (time_s[7] - time_s[5])
    np.testing.assert_allclose(boxes[6, 1, 0], 55.0 + 2.0 * share)


def test_a_keypoint_unknown_at_one_end_stays_unknown() -> None:
    boxes, points = moving(6)
    points[5, 1, 2] = 0.0
    _, points, _ = fill_gaps(boxes, points, TIME_S, 0.5)
    assert not points[6, 1, 2].any()
    assert points[6, 1, :2].all()


def test_a_person_never_seen_stays_unseen() -> None:
    boxes, points = moving(*range(30))
    filled_boxes, _, filled = fill_gaps(boxes, points, TIME_S, 0.5)
    np.testing.assert_array_equal(filled_boxes, boxes)
    assert not filled.any()
