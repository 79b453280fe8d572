"""Confidence stands for an expected error: it must fall with everything that makes a pose worse."""

import dataclasses

import pytest
import torch

from closefit.fit.confidence import (
    CERTAIN_MM,
    WORTHLESS_MM,
    error_of_confidence,
    expected_error_mm,
    pose_confidence,
)
from closefit.fit.targets import KeypointTargets

FRAMES, FPS = 60, 30.0


@pytest.fixture
def targets() -> KeypointTargets:
    generator = torch.Generator().manual_seed(0)
    points = 200.0 + 100.0 * torch.rand(FRAMES, 2, 17, 2, generator=generator)
    return KeypointTargets(
        points_px=points,
        weight=torch.full((FRAMES, 2, 17), 0.9),
        sigma_px=torch.full((FRAMES, 2), 4.0),
        height_px=torch.full((FRAMES, 2), 300.0),
        landmarks_m=torch.zeros(FRAMES, 2, 0, 4),
        seen=torch.ones(FRAMES, 2, dtype=torch.bool),
        K=torch.eye(3).expand(FRAMES, 3, 3),
        fps=FPS,
        set_name="coco17",
    )


def _without(targets: KeypointTargets, frames: slice, keypoints: slice) -> KeypointTargets:
    weight = targets.weight.clone()
    weight[frames, 0, keypoints] = 0.0
    return dataclasses.replace(targets, weight=weight)


def test_confidence_and_expected_error_are_two_words_for_the_same(targets):
    for sigmas in (0.5, 1.0, 2.0):
        projected = targets.points_px + sigmas * 4.0 * torch.tensor([1.0, 0.0])
        confidence = float(pose_confidence(projected, targets)[30, 0])
        expected = float(expected_error_mm(projected, targets)[30, 0])
        assert error_of_confidence(confidence) == pytest.approx(expected, abs=0.01)
    assert error_of_confidence(0.5) == 80.0
    assert (error_of_confidence(1.0), error_of_confidence(0.0)) == (CERTAIN_MM, WORTHLESS_MM)


def test_the_further_from_the_keypoints_the_less_confident(targets):
    found = [
        pose_confidence(targets.points_px + offset, targets)[30, 0]
        for offset in (0.0, 3.0, 6.0, 100.0, torch.inf)
    ]
    assert found == sorted(found, reverse=True)
    assert found[2] > found[3], "beyond some distance an outlier is an outlier"
    nonsense = torch.full_like(targets.points_px, torch.nan)
    assert torch.isfinite(pose_confidence(nonsense, targets)).all()


def test_the_fewer_keypoints_the_less_confident(targets):
    everywhere = slice(None)
    cases = [slice(0, 0), slice(11, 17), slice(7, 17), slice(0, 17)]
    found = [
        pose_confidence(targets.points_px, _without(targets, everywhere, hidden))[30]
        for hidden in cases
    ]
    own = [float(both[0]) for both in found]
    assert own == sorted(own, reverse=True)
    assert own[0] > 0.7
    assert own[-1] == 0.0, "nothing was seen of this person: a guess"
    assert all(float(both[1]) == pytest.approx(own[0]) for both in found), "the other was seen"


def test_a_face_does_not_raise_the_confidence_of_the_body(targets):
    hidden = pose_confidence(targets.points_px, _without(targets, slice(None), slice(0, 5)))
    assert torch.equal(hidden, pose_confidence(targets.points_px, targets))


def test_a_lost_moment_makes_its_neighbours_unsure_and_nobody_else(targets):
    lost = pose_confidence(targets.points_px, _without(targets, slice(25, 35), slice(0, 17)))[:, 0]
    before = pose_confidence(targets.points_px, targets)[:, 0]
    assert lost[30] < lost[24] < lost[20]
    assert torch.allclose(lost[:8], before[:8], atol=1e-4)
    assert before.std() < 1e-5, "the ends of a clip are as good as its middle"
