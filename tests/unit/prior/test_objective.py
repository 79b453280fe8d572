"""Laws of the training loss (Eq. 3 to 5)."""

import dataclasses

import pytest
import roma
import torch

from closefit.body.pose import PairPose
from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.prior.objective import (
    HIPS,
    LossWeights,
    PairGeometry,
    hip_centred,
    interaction_loss,
    pair_distances,
    prior_loss,
    velocity,
)


@pytest.fixture
def geometry() -> PairGeometry:
    generator = torch.Generator().manual_seed(2)
    joints = torch.randn(3, 16, 2, 24, 3, generator=generator) + torch.tensor([0.0, 0.0, 4.0])
    return PairGeometry(joints, torch.randn(3, 16, 2, 17, 2, generator=generator))


def losses(
    people: PairPose, truth: PairPose, shown: PairGeometry, target: PairGeometry
) -> dict[str, torch.Tensor]:
    return prior_loss(people, truth, shown, target, torch.full((3,), 0.4), LossWeights())


def test_the_truth_costs_nothing(people: PairPose, geometry: PairGeometry) -> None:
    assert all(float(term) == 0.0 for term in losses(people, people, geometry, geometry).values())


@pytest.mark.parametrize(
    ("changed", "terms"),
    [
        ("rotations", {"pose"}),
        ("betas", {"shape"}),
        ("keypoints", {"reprojection"}),
        ("joints", {"joint", "velocity", "interaction"}),
    ],
)
def test_each_error_is_charged_to_its_term(
    people: PairPose, geometry: PairGeometry, changed: str, terms: set[str]
) -> None:
    wrong_people, wrong_geometry = people, geometry
    noise = torch.Generator().manual_seed(4)
    if changed in ("rotations", "betas"):
        value = getattr(people, changed)
        other = value + 0.1 * torch.randn(value.shape, generator=noise)
        wrong_people = dataclasses.replace(people, **{changed: other})
    else:
        value = getattr(geometry, changed)
        other = value + 0.1 * torch.randn(value.shape, generator=noise)
        wrong_geometry = dataclasses.replace(geometry, **{changed: other})
    found = losses(wrong_people, people, wrong_geometry, geometry)
    assert {name for name, term in found.items() if float(term) > 0.0} == terms


def test_one_wild_depth_costs_no_more_than_its_weight(
    people: PairPose, geometry: PairGeometry
) -> None:
    wild = dataclasses.replace(geometry, keypoints=geometry.keypoints + 1e4)
    cost = float(losses(people, people, wild, geometry)["reprojection"])
    assert cost <= LossWeights().reprojection


def moved_together(joints: torch.Tensor) -> torch.Tensor:
    """Both people turned and moved as one."""
    turn = roma.rotvec_to_rotmat(torch.tensor([0.3, -1.1, 0.4], dtype=joints.dtype))
    return joints @ turn.mT + torch.tensor([1.0, -2.0, 0.5], dtype=joints.dtype)


def test_the_interaction_ignores_where_the_pair_is_and_who_is_who(geometry: PairGeometry) -> None:
    truth = geometry.joints.double()
    found = truth + 0.2 * torch.randn(truth.shape, dtype=torch.float64)
    cost = interaction_loss(found, truth)
    torch.testing.assert_close(interaction_loss(moved_together(found), truth), cost)
    torch.testing.assert_close(interaction_loss(found.flip(-3), truth.flip(-3)), cost)
    apart = found + torch.tensor([[[0.0]], [[0.5]]])
    assert not torch.allclose(interaction_loss(apart, truth), cost)


def test_all_pairs_count_near_ones_most() -> None:
    """Eq. 5 by hand: of people 3 m apart, one joint of one is 2 m nearer to all of the other's."""
    joints = torch.zeros(2, 24, 3)
    joints[1, :, 0] = 3.0
    assert torch.equal(pair_distances(joints).round(decimals=3), torch.full((14, 14), 3.0))
    wrong = joints.clone()
    wrong[0, EVALUATION_JOINTS[4], 0] = 2.0
    weight = 0.1 + 0.9 / (1.0 + torch.tensor(2.0 / 0.15).exp())
    expected = weight * 14 * 4.0 / 14**2
    torch.testing.assert_close(interaction_loss(wrong, joints), expected, atol=1e-5, rtol=1e-4)
    near = joints.clone()
    near[1, :, 0] = 0.2
    wrong = near.clone()
    wrong[..., 0] *= 1.5
    far_wrong = joints.clone()
    far_wrong[1, :, 0] += 0.1
    assert interaction_loss(wrong, near) > 5.0 * interaction_loss(far_wrong, joints)


def test_the_gradient_of_the_interaction_agrees_with_finite_differences(
    geometry: PairGeometry,
) -> None:
    truth = geometry.joints[:1, :1].double()
    found = (truth + 0.3).requires_grad_()
    with torch.no_grad():
        found[:, :, 1] += 0.2
    assert torch.autograd.gradcheck(lambda x: interaction_loss(x, truth), found, fast_mode=True)


def test_the_gradient_is_finite_where_joints_coincide() -> None:
    joints = torch.zeros(2, 24, 3, requires_grad=True)
    truth = torch.zeros(2, 24, 3)
    truth[1, :, 1] = 0.3
    (gradient,) = torch.autograd.grad(interaction_loss(joints, truth), joints)
    assert bool(gradient.isfinite().all())


def test_velocity_is_metres_a_second() -> None:
    """30 frames a second: a centimetre a frame is 0.3 m/s, and only the one joint moves."""
    joints = torch.zeros(4, 2, 24, 3)
    joints[:, 1, 20, 2] = torch.tensor([0.0, 0.01, 0.03, 0.03])
    speed = velocity(joints)
    assert speed.shape == (3, 2, 24, 3)
    torch.testing.assert_close(speed[:, 1, 20, 2], torch.tensor([0.3, 0.6, 0.0]))
    speed[:, 1, 20, 2] = 0.0
    assert not speed.any()


def test_hip_centred_joints_ignore_the_place(geometry: PairGeometry) -> None:
    centred = hip_centred(geometry.joints)
    place = torch.randn(3, 16, 2, 1, 3)
    torch.testing.assert_close(hip_centred(geometry.joints + place), centred, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        centred[..., HIPS, :].mean(-2), torch.zeros(3, 16, 2, 3), atol=1e-6, rtol=0.0
    )
