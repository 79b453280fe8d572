"""Laws of clips cut into windows, and of sampling whole clips."""

import pytest
import torch

from closefit.body.pose import PairPose
from closefit.prior import sampling
from closefit.prior.network import Denoiser
from closefit.prior.sampling import ClipSampler
from closefit.prior.windows import Windows


def clip_keypoints(frames: int) -> torch.Tensor:
    """Smoothly moving keypoints of two people who stand side by side."""
    generator = torch.Generator().manual_seed(frames)
    start, speed = (torch.randn(1, 2, 17, 2, generator=generator) for _ in range(2))
    time = torch.arange(frames)[:, None, None, None] / 30.0
    side = torch.tensor([-0.2, 0.2])[None, :, None, None] * torch.tensor([1.0, 0.0])
    xy = side + 0.12 * start + 0.02 * speed * time
    return torch.cat([xy, torch.ones(frames, 2, 17, 1)], -1)


def clip_pose(people: PairPose, frames: int) -> PairPose:
    flat = PairPose(
        people.rotations.flatten(0, 1), people.betas.flatten(0, 1), people.pelvis_m.flatten(0, 1)
    )
    return PairPose(
        flat.rotations[:frames], flat.betas[:1].expand(frames, 2, 10), flat.pelvis_m[:frames]
    )


@pytest.mark.parametrize("frames", [1, 7, 16, 17, 24, 25, 40, 48])
def test_windows_cover_every_frame_once_in_all(frames: int) -> None:
    windows = Windows.of(frames)
    total = torch.zeros(windows.length).index_add_(
        0, windows.frames.flatten(), windows.weight.flatten()
    )
    torch.testing.assert_close(total, torch.ones(windows.length))
    assert windows.length == max(frames, 16)


@pytest.mark.parametrize("frames", [16, 23, 40, 48])
def test_blending_the_windows_of_a_motion_gives_it_back(people: PairPose, frames: int) -> None:
    pose = clip_pose(people, frames)
    windows = Windows.of(frames)
    found = windows.blend(pose.map_frames(windows.cut))
    torch.testing.assert_close(found.rotations, pose.rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.pelvis_m, pose.pelvis_m, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.betas, pose.betas, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [1, 15, 16, 37])
def test_any_length_can_be_sampled(network: Denoiser, frames: int) -> None:
    pose = ClipSampler(network, clip_keypoints(frames)).sample(2, torch.Generator().manual_seed(0))
    assert pose.pelvis_m.shape == (2, frames, 2, 3)
    assert bool(torch.isfinite(pose.rotations).all())
    assert bool((pose.betas == pose.betas[:, :1]).all())


def test_samples_of_a_long_clip_one_after_the_other_are_those_drawn_together(
    network: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = ClipSampler(network, clip_keypoints(20))
    together = sampler.sample(3, torch.Generator().manual_seed(0))
    monkeypatch.setattr(sampling, "FRAMES_AT_ONCE", 20)
    each = sampler.sample(3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(each.rotations, together.rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(each.pelvis_m, together.pelvis_m, atol=1e-4, rtol=0)


def test_same_seed_same_sample_other_seed_another(network: Denoiser) -> None:
    sampler = ClipSampler(network, clip_keypoints(20))
    first, again, other = (
        sampler.sample(1, torch.Generator().manual_seed(seed)).rotations for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_swapping_people_and_their_noise_swaps_the_sample(
    network: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypoints = clip_keypoints(30)
    plain, swapped = ClipSampler(network, keypoints), ClipSampler(network, keypoints.flip(1))
    noise = plain.noise(2, torch.Generator().manual_seed(4))
    monkeypatch.setattr(plain, "noise", lambda *_: noise)
    monkeypatch.setattr(swapped, "noise", lambda *_: noise.flip(3))
    first, second = (s.sample(2, torch.Generator()) for s in (plain, swapped))
    torch.testing.assert_close(second.rotations, first.rotations.flip(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(second.pelvis_m, first.pelvis_m.flip(2), atol=1e-4, rtol=1e-5)


def test_a_given_person_is_kept_and_the_other_is_sampled(
    network: Denoiser, people: PairPose
) -> None:
    keypoints = clip_keypoints(40)
    keypoints[:, 1] = 0.0
    pose = clip_pose(people, 40)
    fixed = (pose, torch.tensor([True, False]))
    found = ClipSampler(network, keypoints).sample(1, torch.Generator().manual_seed(0), fixed)
    torch.testing.assert_close(found.rotations[0, :, 0], pose.rotations[:, 0])
    assert not torch.allclose(found.rotations[0, :, 1], pose.rotations[:, 1], atol=0.1)


def test_predicted_frames_are_part_of_the_whole(network: Denoiser) -> None:
    sampler = ClipSampler(network, clip_keypoints(60))
    noise = sampler.noise(1, torch.Generator().manual_seed(0))
    whole = sampler.windows.blend(sampler.decode(sampler.predict(noise, 20)))
    part = sampler.predict_frames(noise, 20, 21, 44)
    torch.testing.assert_close(part.pelvis_m, whole.pelvis_m[0, 21:44], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.rotations, whole.rotations[0, 21:44], atol=1e-5, rtol=0)


def test_frames_in_which_nobody_is_seen_look_like_their_neighbours(network: Denoiser) -> None:
    keypoints = clip_keypoints(64)
    keypoints[24:48] = 0.0
    view = ClipSampler(network, keypoints).view
    assert bool((view.size < 1.0).all())
