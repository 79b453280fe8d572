"""Laws of the motion that the prior expects."""

import dataclasses

import pytest
import torch

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.prior import expectation
from closefit.prior.expectation import expected_motion, mirrored_keypoints
from closefit.prior.network import Denoiser
from closefit.prior.objective import GeometryOf


def keypoints_of(frames: int) -> torch.Tensor:
    """Keypoints of two people who move, some of them unknown."""
    generator = torch.Generator().manual_seed(frames)
    side = torch.tensor([-0.2, 0.2])[:, None, None] * torch.tensor([1.0, 0.0])
    xy = side + 0.1 * torch.randn(frames, 2, 17, 2, generator=generator)
    known = (torch.rand(frames, 2, 17, 1, generator=generator) < 0.8).float()
    return torch.cat([xy * known, known], -1)


@pytest.mark.parametrize("frames", [1, 16, 37])
def test_what_is_expected_of_a_mirrored_clip_is_the_mirror_image(
    network: Denoiser, frames: int
) -> None:
    keypoints = keypoints_of(frames)
    plain, mirrored = (
        expected_motion(network, r, 2, 3) for r in (keypoints, mirrored_keypoints(keypoints))
    )
    image = plain.mirrored()
    assert plain.pelvis_m.shape == (frames, 2, 3)
    torch.testing.assert_close(mirrored.rotations, image.rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(mirrored.pelvis_m, image.pelvis_m, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mirrored.betas, image.betas, atol=1e-5, rtol=0)


def test_keypoints_of_mirrored_people_are_mirrored_keypoints(people: PairPose, body: Body) -> None:
    geometry = GeometryOf(body)
    plain = dataclasses.replace(people, betas=torch.zeros_like(people.betas))
    seen, image = geometry(plain).keypoints, geometry(plain.mirrored()).keypoints
    keypoints = torch.cat([seen, torch.ones_like(seen[..., :1])], -1).flatten(0, 1)
    # The body itself is not exactly symmetric: a few millimetres.
    torch.testing.assert_close(
        image.flatten(0, 1), mirrored_keypoints(keypoints)[..., :2], atol=0.005, rtol=0
    )


def test_mirroring_twice_changes_nothing(people: PairPose) -> None:
    twice = people.mirrored().mirrored()
    torch.testing.assert_close(twice.rotations, people.rotations)
    torch.testing.assert_close(twice.pelvis_m, people.pelvis_m)
    keypoints = keypoints_of(5)
    torch.testing.assert_close(mirrored_keypoints(mirrored_keypoints(keypoints)), keypoints)


def test_only_poses_of_hidden_people_rest_on_a_longer_view(
    network: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypoints = keypoints_of(40)
    keypoints[..., 2] = 1.0
    keypoints[16:30, 1, 4:] = 0.0
    found = expected_motion(network, keypoints, 1, 0)
    monkeypatch.setattr(expectation, "MOSTLY_SEEN", -0.1)
    monkeypatch.setattr(expectation, "MOSTLY_HIDDEN", -0.2)
    native = expected_motion(network, keypoints, 1, 0)
    hidden = torch.zeros(40, 2, dtype=torch.bool)
    hidden[16:30, 1] = True
    changed = (found.rotations - native.rotations).abs().amax((-3, -2, -1)) > 1e-4
    assert torch.equal(changed, hidden)
    torch.testing.assert_close(found.pelvis_m, native.pelvis_m)
