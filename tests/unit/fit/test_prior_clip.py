"""Resampling between a clip's frame rate and the prior's."""

import dataclasses

import pytest
import torch

from closefit.fit.prior_clip import clip_times, frame_times, keypoints_at, pose_of, variables_of
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.prior.objective import FPS
from closefit.prior.timing import pose_at

RATES = [12.5, 24.0, 25.0, 50.0, 60.0, 120.0]


def _targets(fps: float, frames: int) -> KeypointTargets:
    """Keypoints that move evenly over time, seen by a plain camera."""
    second = torch.arange(frames)[:, None, None, None] / fps
    points = torch.tensor([300.0, 200.0]) + second * torch.tensor([40.0, -25.0])
    return KeypointTargets(
        points_px=points.expand(frames, 2, 17, 2).clone(),
        weight=torch.full((frames, 2, 17), 0.8),
        sigma_px=torch.full((frames, 2), 3.0),
        height_px=torch.full((frames, 2), 200.0),
        landmarks_m=torch.zeros(frames, 2, 0, 4),
        seen=torch.ones(frames, 2, dtype=torch.bool),
        K=torch.tensor([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]).expand(frames, 3, 3),
        fps=fps,
        set_name="coco17",
    )


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("frames", [1, 2, 31, 100])
def test_the_times_of_both_rates_invert_each_other(fps: float, frames: int) -> None:
    times = clip_times(frames, fps)
    where = frame_times(frames, len(times))
    assert float(where[0]) == 0.0
    assert float(times[0]) == 0.0
    if frames > 1:
        torch.testing.assert_close(times[-1], torch.tensor(frames - 1.0))
        torch.testing.assert_close(where[-1], torch.tensor(len(times) - 1.0))
    if frames > 2:  # two frames stay two, however short
        assert (len(times) - 1) / FPS == pytest.approx((frames - 1) / fps, abs=0.5 / FPS + 1e-6)


def test_the_own_rate_and_nearly_the_own_rate_are_not_resampled() -> None:
    for fps in (FPS, 29.97, FPS * 1.01):
        assert torch.equal(clip_times(50, fps), torch.arange(50.0))


@pytest.mark.parametrize("fps", RATES)
def test_an_even_motion_survives_the_way_there_and_back(fps: float) -> None:
    frames = 60
    even = torch.linspace(0.0, 1.0, frames)[:, None, None]
    pelvis = torch.tensor([[-0.3, 0.1, 3.0], [0.4, 0.0, 3.5]]) + even * torch.tensor(
        [0.5, 0.1, 1.0]
    )
    motion = MotionVariables(
        torch.eye(3)[:2].flatten().expand(frames, 2, 24, 6),
        pelvis[..., :2] / pelvis[..., 2:],
        pelvis[..., 2].log(),
        torch.zeros(2, 10),
    )
    times = clip_times(frames, fps)
    back = pose_at(pose_at(pose_of(motion), times), frame_times(frames, len(times)))
    again = variables_of(back, motion.betas)
    for now, before in zip(again.tensors(), motion.tensors(), strict=True):
        torch.testing.assert_close(now, before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fps", RATES)
def test_keypoints_are_those_of_the_times_in_between(fps: float) -> None:
    """An even motion has the same keypoints at the prior's rate, whatever the clip's rate."""
    targets = _targets(fps, 60)
    times = clip_times(60, fps)
    found = keypoints_at(targets, times)[..., :2]
    pixels = torch.tensor([300.0, 200.0]) + times[:, None] / fps * torch.tensor([40.0, -25.0])
    expected = (pixels - torch.tensor([320.0, 240.0])) / 500.0
    torch.testing.assert_close(found, expected[:, None, None].expand_as(found), atol=1e-4, rtol=0)


def test_a_keypoint_unknown_in_one_frame_is_taken_from_its_neighbour() -> None:
    targets = _targets(60.0, 61)
    weight = targets.weight.clone()
    weight[30:] = 0.0
    hidden = keypoints_at(dataclasses.replace(targets, weight=weight), torch.tensor([29.5, 30.5]))
    whole = keypoints_at(targets, torch.tensor([29.0]))
    torch.testing.assert_close(hidden[0, ..., :2], whole[0, ..., :2])
    assert (hidden[1] == 0).all()
