"""A view removes everything about the image except pitch and apparent size."""

import math
from typing import Any

import pytest
import torch

from closefit.body.model import Body
from closefit.body.pose import PairPose, global_rotations, local_rotations
from closefit.body.skeleton import PARENTS
from closefit.prior.state import decode, encode
from closefit.prior.view import STANDING, View, normalised_keypoints


def panned(keypoints: torch.Tensor, angle: float) -> torch.Tensor:
    """The same keypoints for a camera turned about its vertical axis."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    inside = torch.nn.functional.pad(keypoints[..., :2], (0, 1), value=1.0) @ turn.T
    return torch.cat([inside[..., :2] / inside[..., 2:], keypoints[..., 2:]], -1)


def test_axis_points_at_the_people(keypoints: torch.Tensor) -> None:
    view = View.of(keypoints)
    inside = view.keypoints(keypoints)
    weight = inside[..., 2:]
    mean = ((inside[..., :2] * weight).sum((1, 3)) / weight.sum((1, 3))).mean(1)
    assert mean.abs().max() < 0.1


@pytest.mark.parametrize("angle", [-0.5, 0.2, 0.6])
def test_a_pan_turns_the_view_and_changes_nothing_in_it(angle: float) -> None:
    # One point per person: the mean ray then turns exactly with the camera.
    point = torch.tensor([0.1, -0.05, 1.0]).expand(1, 16, 2, 17, 3).clone()
    before, after = View.of(point), View.of(panned(point, angle))
    torch.testing.assert_close(before.pitch, after.pitch, atol=1e-5, rtol=0)
    torch.testing.assert_close(before.keypoints(point), after.keypoints(panned(point, angle)))


def test_a_pan_hardly_changes_what_the_network_sees(keypoints: torch.Tensor) -> None:
    moved = panned(keypoints, 0.3)
    before, after = View.of(keypoints).keypoints(keypoints), View.of(moved).keypoints(moved)
    size = before[..., :2].norm(dim=-1).mean()
    assert (before - after)[..., :2].norm(dim=-1).mean() < 0.05 * size


def test_image_size_and_focal_length_do_not_matter(keypoints: torch.Tensor) -> None:
    def seen(focal: float, width: float, height: float) -> torch.Tensor:
        K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        pixels = keypoints.clone()
        pixels[..., :2] = keypoints[..., :2] * focal + torch.tensor([width / 2, height / 2])
        found = normalised_keypoints(pixels, K.expand(3, 16, 3, 3))
        return View.of(found).keypoints(found)

    torch.testing.assert_close(
        seen(500.0, 640.0, 480.0), seen(2000.0, 1080.0, 1920.0), atol=1e-4, rtol=1e-4
    )


def test_a_zoom_changes_only_the_size() -> None:
    generator = torch.Generator().manual_seed(2)
    xy = 1e-3 * torch.randn(1, 16, 2, 17, 2, generator=generator)
    keypoints = torch.cat([xy, torch.ones(1, 16, 2, 17, 1)], -1)
    zoomed = torch.cat([3.0 * xy, keypoints[..., 2:]], -1)
    near, far = View.of(zoomed), View.of(keypoints)
    torch.testing.assert_close(near.size, 3.0 * far.size, rtol=1e-3, atol=0)
    torch.testing.assert_close(
        near.keypoints(zoomed), far.keypoints(keypoints), rtol=1e-2, atol=1e-3
    )


@pytest.mark.parametrize(
    "shown",
    [slice(0, 5), slice(5, 11), slice(11, 17), [0, 9, 16]],
    ids=["face", "arms", "legs", "few"],
)
def test_size_hardly_depends_on_which_keypoints_are_seen(shown: Any) -> None:
    standing = 0.3 * torch.tensor(STANDING).expand(1, 16, 2, 17, 2)
    whole = torch.cat([standing, torch.ones(1, 16, 2, 17, 1)], -1)
    part = whole.clone()
    part[..., 2] = 0.0
    part[..., shown, 2] = 1.0
    assert float(View.of(whole).size) == pytest.approx(0.3, rel=1e-3)
    assert float(View.of(part).size) == pytest.approx(0.3, rel=0.1)


def test_swapped_people_have_the_same_view(keypoints: torch.Tensor) -> None:
    view, swapped = View.of(keypoints), View.of(keypoints.flip(2))
    torch.testing.assert_close(view.R_view_cam, swapped.R_view_cam)
    torch.testing.assert_close(view.size, swapped.size)


def test_values_without_confidence_do_not_matter(keypoints: torch.Tensor) -> None:
    keypoints[:, 3:9, 1, :, 2] = 0.0
    other = keypoints.clone()
    other[:, 3:9, 1, :, :2] = 77.0
    torch.testing.assert_close(View.of(keypoints).R_view_cam, View.of(other).R_view_cam)
    torch.testing.assert_close(View.of(keypoints).size, View.of(other).size)


def test_state_round_trip(keypoints: torch.Tensor, people: PairPose) -> None:
    view, pose = View.of(keypoints), people
    found = decode(encode(pose, view), view)
    torch.testing.assert_close(found.rotations, pose.rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.pelvis_m, pose.pelvis_m, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.betas, pose.betas)


def test_joints_are_linear_in_the_state(people: PairPose, body: Body) -> None:
    """What the state holds of a bone turns that bone alone."""
    rotations = global_rotations(people.rotations)
    torch.testing.assert_close(local_rotations(rotations), people.rotations, atol=1e-5, rtol=0)
    betas = torch.zeros(10)
    joints = body.joints(people.rotations, betas, torch.zeros(3))
    rest = body.rest(betas).joints
    bones = (rest[1:] - rest[list(PARENTS[1:])])[..., None]
    turned = (rotations[..., list(PARENTS[1:]), :, :] @ bones)[..., 0]
    expected = joints[..., 1:, :] - joints[..., list(PARENTS[1:]), :]
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_state_does_not_depend_on_where_in_the_image_people_are(
    keypoints: torch.Tensor, people: PairPose
) -> None:
    """Turning camera and people together by the view's `R_view_cam` leaves the state alone."""
    view, pose = View.of(keypoints), people
    straight = View(torch.eye(3).expand(3, 3, 3), view.size, view.pitch)
    turned = decode(encode(pose, view), straight)
    torch.testing.assert_close(encode(turned, straight), encode(pose, view), atol=1e-4, rtol=1e-4)


def test_nobody_is_seen() -> None:
    view = View.of(torch.zeros(1, 16, 2, 17, 3))
    assert bool(torch.isfinite(view.R_view_cam).all())
    assert 0.1 < float(view.size) < 1.0
