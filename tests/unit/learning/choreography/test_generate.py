"""Laws of the generated motion."""

import numpy as np
import pytest
import torch

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.geometry.penetration import average_penetration_depth_mm
from closefit.learning.choreography import KINDS, generate
from closefit.learning.choreography.generator import Solved, solve
from closefit.learning.choreography.scripts import FPS, Scripts, sample_scripts
from tests.known_motion import WEIGHTS

FRAMES = 48
COUNT = 12


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load(WEIGHTS / "closefit_body.npz")


@pytest.fixture(scope="module")
def scripts(body: Body) -> Scripts:
    return sample_scripts(body, FRAMES, 3, range(COUNT), KINDS)


@pytest.fixture(scope="module")
def solved(body: Body, scripts: Scripts) -> Solved:
    return solve(body, scripts)


def test_contacts_hold_while_a_scene_requires_them(scripts: Scripts, solved: Solved) -> None:
    posed = solved.bodies.pose(solved.rotations, solved.pelvis)
    weight = solved.draft.constraints.touching
    gap, _ = solved.bodies.contact_gaps(posed, scripts.constraints.sites)
    assert (weight > 0).any(-1).float().mean() > 0.3
    assert gap[weight > 0].median() < 0.025


def test_people_hardly_enter_each_other_or_the_floor(
    body: Body, scripts: Scripts, solved: Solved
) -> None:
    pelvis = solved.pelvis[::12] - solved.bodies.rest_joints[..., 0, :]
    skin = body.pose(solved.rotations[::12], scripts.betas, pelvis).vertices
    depth = average_penetration_depth_mm(skin.flatten(0, 1), body.faces)
    assert depth.mean() < 1.0
    assert skin[..., 1].min() > -0.06


def test_joints_stay_within_their_limits(solved: Solved) -> None:
    prior = JointLimits.create("cpu", torch.float32)
    deviation = prior.deviation(solved.rotations)
    excess = torch.relu(prior.low[1:] - deviation) + torch.relu(deviation - prior.high[1:])
    assert torch.rad2deg(excess.mean()) < 0.3


def test_standing_feet_do_not_slide(solved: Solved) -> None:
    joints = solved.bodies.pose(solved.rotations, solved.pelvis).transforms[..., :3, 3]
    balls = joints[..., [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], :]
    speed = FPS * balls.diff(dim=0)[..., (0, 2)].norm(dim=-1)
    steps = solved.steps
    stands = (steps.weight[1:] > 0.99) & (steps.lift_m[1:] == 0) & (steps.lift_m[:-1] == 0)
    assert stands.any()
    assert speed[stands].quantile(0.98) < 0.05


def test_nothing_jumps(solved: Solved) -> None:
    joints = solved.bodies.pose(solved.rotations, solved.pelvis).transforms[..., :3, 3]
    speed = FPS * joints.diff(dim=0).norm(dim=-1)
    acceleration = FPS**2 * joints.diff(n=2, dim=0).norm(dim=-1)
    assert speed.max() < 12.0
    assert acceleration.mean() < 6.0
    assert speed[:, :, :, 0].mean() > 0.005, "nobody is a statue"


def test_same_seed_same_motion_and_other_seed_other_motion(body: Body) -> None:
    first, _ = generate(body, count=2, seed=3, frames=8)
    again, _ = generate(body, count=2, seed=3, frames=8)
    one, other = (sample_scripts(body, 8, seed, range(2), KINDS) for seed in (3, 4))
    assert str(first.name) == str(again.name)
    np.testing.assert_array_equal(first.rotations, again.rotations)
    np.testing.assert_array_equal(first.betas, again.betas)
    assert not torch.allclose(one.betas, other.betas)


def test_records_are_named_sized_and_proper_rotations(body: Body) -> None:
    motions = generate(body, count=2, seed=9, frames=5, kinds=["lift"])
    for index, motion in enumerate(motions):
        assert str(motion.name) == f"lift/seed9/{index}"
        assert motion.rotations.shape == (5, 2, 24, 3, 3)
        product = motion.rotations @ np.swapaxes(motion.rotations, -1, -2)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-4)
        np.testing.assert_allclose(np.linalg.det(motion.rotations), 1.0, atol=1e-4)


def test_bad_arguments_are_refused(body: Body) -> None:
    with pytest.raises(ValueError, match="unknown kinds"):
        generate(body, count=1, seed=0, kinds=["levitation"])
    with pytest.raises(ValueError, match="0 frames"):
        generate(body, count=1, seed=0, frames=0)
