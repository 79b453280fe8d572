"""From a track to what a fit aims at."""

import dataclasses

import numpy as np
import pytest
import torch

from closefit.fit.targets import targets_from_track
from closefit.fit.weights import MIN_NOISE_PX, NOISE_PER_HEIGHT
from closefit.records import Track
from tests.samples import make_track

LIMIT = 0.3


@pytest.fixture
def track() -> Track:
    return make_track()


def _targets(track: Track):
    return targets_from_track(track, np.tile(np.eye(3), (len(track.time_s), 1, 1)), LIMIT, "cpu")


def _with(track: Track, **changes: float) -> Track:
    """The track with x, confidence or identity confidence of keypoint 3 of person 1 changed."""
    keypoints, identity = track.keypoints.copy(), track.identity_confidence.copy()
    if "x" in changes:
        keypoints[:, 1, 3, 0] = changes["x"]
    if "confidence" in changes:
        keypoints[:, 1, 3, 2] = changes["confidence"]
    if "identity" in changes:
        identity[:, 1] = changes["identity"]
    return dataclasses.replace(track, keypoints=keypoints, identity_confidence=identity)


def test_a_weight_is_the_confidence_in_place_and_in_person(track: Track) -> None:
    weight = _targets(_with(track, confidence=0.8, identity=0.5)).weight
    torch.testing.assert_close(weight[:, 1, 3], torch.full_like(weight[:, 1, 3], 0.4))


@pytest.mark.parametrize(
    "changes", [{"confidence": 0.29}, {"confidence": np.nan}, {"x": np.nan}, {"identity": 0.0}]
)
def test_what_is_not_trusted_has_no_weight_and_finite_numbers(
    track: Track, changes: dict[str, float]
) -> None:
    targets = _targets(_with(track, **changes))
    assert (targets.weight[:, 1, 3] == 0).all()
    assert (targets.points_px[:, 1, 3] == 0).all()
    for name in ("points_px", "weight", "sigma_px", "height_px"):
        assert torch.isfinite(getattr(targets, name)).all()


def test_a_confidence_at_the_limit_counts(track: Track) -> None:
    at_limit = _targets(_with(track, confidence=LIMIT, identity=1.0))
    assert (at_limit.weight[:, 1, 3] > 0).all()


def test_a_person_is_seen_with_four_keypoints(track: Track) -> None:
    keypoints, identity = track.keypoints.copy(), np.ones_like(track.identity_confidence)
    keypoints[..., 2] = 0.0
    keypoints[:, 0, :4, 2], keypoints[:, 1, :3, 2] = 1.0, 1.0
    keypoints[..., :2] = np.nan_to_num(keypoints[..., :2])
    seen = _targets(
        dataclasses.replace(track, keypoints=keypoints, identity_confidence=identity)
    ).seen
    assert seen[:, 0].all()
    assert not seen[:, 1].any()


def test_noise_grows_with_the_person_and_a_bent_person_keeps_their_size(track: Track) -> None:
    boxes = np.zeros_like(track.boxes_xyxy)
    boxes[..., 2], boxes[:, 0, 3], boxes[:, 1, 3] = 50.0, 400.0, 100.0
    boxes[3, 0, 3] = 200.0  # bends down for one frame
    targets = _targets(dataclasses.replace(track, boxes_xyxy=boxes))
    torch.testing.assert_close(
        targets.height_px[:, 0], torch.full_like(targets.height_px[:, 0], 400)
    )
    torch.testing.assert_close(
        targets.sigma_px, NOISE_PER_HEIGHT * targets.height_px + MIN_NOISE_PX
    )
    assert (targets.height_px[:, 1] == 100.0).all()
