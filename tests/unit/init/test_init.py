"""The prior-free init finds a motion that is known, from its keypoints alone."""

import dataclasses

import pytest
import torch

from closefit.fit.objective import MotionObjective, motion_terms
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables, variables_from_motion
from closefit.fit.weights import MotionWeights
from closefit.init.clip_fit import fit_clip
from closefit.init.hypotheses import Progress, fit_best, fit_orders, most_steps, trial_steps
from closefit.init.lifting import lift
from tests.known_motion import KnownMotion, mpjpe_m


def _ignore(done: int, total: int) -> None:
    assert 0 < done <= total


def _joints(known: KnownMotion, variables: MotionVariables) -> torch.Tensor:
    transl = variables.transl(known.body)
    return known.body.joints(variables.rotations(), variables.betas, transl).detach()


def test_variables_round_trip(known: KnownMotion) -> None:
    v = known.variables
    again = variables_from_motion(v.rotations(), v.betas, v.transl(known.body), known.body)
    for before, after in zip(v.tensors(), again.tensors(), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


def test_lifting_finds_which_way_people_face(known: KnownMotion) -> None:
    lifted = lift(known.body, known.targets, known.prior, _ignore)
    forward = lifted.rotations()[:, :, 0, :, 2]
    truth = known.variables.rotations()[:, :, 0, :, 2]
    assert float((forward * truth).sum(-1).min()) > 0.8


def test_init_recovers_pose_and_place(known: KnownMotion) -> None:
    fit, _ = fit_best(known.body, known.targets, known.prior, 150, _ignore)
    joints = _joints(known, fit.variables)
    assert mpjpe_m(joints, known.joints) < 0.06
    depth = joints[:, :, 0, 2]
    assert float((depth - known.joints[:, :, 0, 2]).abs().max()) < 0.35
    assert float(depth[:, 0].mean()) < float(depth[:, 1].mean())


@pytest.mark.parametrize("swapped", [False, True])
def test_the_depth_order_of_the_better_trial_continues(known: KnownMotion, swapped: bool) -> None:
    objective = MotionObjective(
        known.body, "coco17", motion_terms(known.body, known.prior, MotionWeights())
    )
    true = known.variables
    flipped = dataclasses.replace(true, log_depth=true.log_depth.flip(-1))
    start, other = (flipped, true) if swapped else (true, flipped)
    energies = {
        name: fit_clip(objective, known.targets, begin, trial_steps(60), _ignore).energy
        for name, begin in (("given", start), ("swapped", other))
    }
    left: list[int] = []
    progress = Progress(lambda done, total: left.append(total - done), most_steps(60))
    fit, order = fit_orders(objective, objective, known.targets, "given", start, 60, progress)
    assert energies[order] == min(energies.values())
    assert fit.energy < energies[order]
    assert left == list(range(len(left)))[::-1]


def test_people_far_apart_in_depth_have_one_trial(known: KnownMotion) -> None:
    objective = MotionObjective(
        known.body, "coco17", motion_terms(known.body, known.prior, MotionWeights())
    )
    apart = known.variables.log_depth + torch.tensor([-0.2, 0.2])
    start = dataclasses.replace(known.variables, log_depth=apart)
    left: list[int] = []
    progress = Progress(lambda done, total: left.append(total - done), most_steps(10))
    _, order = fit_orders(objective, objective, known.targets, "given", start, 10, progress)
    assert order == "given"
    assert left == list(range(10 + trial_steps(10)))[::-1]


def test_a_hidden_period_is_bridged(known: KnownMotion) -> None:
    weight = known.targets.weight.clone()
    weight[4:8, 1] = 0.0
    hidden = dataclasses.replace(known.targets, weight=weight, seen=(weight > 0).sum(-1) >= 4)
    fit, _ = fit_best(known.body, hidden, known.prior, 150, _ignore)
    joints = _joints(known, fit.variables)
    assert torch.isfinite(joints).all()
    assert mpjpe_m(joints[4:8], known.joints[4:8]) < 0.1


def test_one_frame_is_enough(known: KnownMotion) -> None:
    one = known.targets.cut(slice(0, 1))
    fit, _ = fit_best(known.body, one, known.prior, 60, _ignore)
    assert mpjpe_m(_joints(known, fit.variables), known.joints[:1]) < 0.12


def test_no_keypoint_at_all_stays_finite(known: KnownMotion) -> None:
    blind = dataclasses.replace(
        known.targets,
        weight=torch.zeros_like(known.targets.weight),
        seen=torch.zeros_like(known.targets.seen),
    )
    fit, _ = fit_best(known.body, blind, known.prior, 10, _ignore)
    assert torch.isfinite(_joints(known, fit.variables)).all()


def test_landmarks_decide_between_poses_that_look_alike(known: KnownMotion) -> None:
    """3D landmarks of a backend pull the lifted pose towards them."""
    _, regressed = KeypointProjector(known.body, "coco17").keypoints(
        known.variables.rotations(), known.variables.betas, known.variables.transl(known.body)
    )
    relative = regressed - regressed[:, :, [11, 12]].mean(2, keepdim=True)
    confident = torch.cat([relative, torch.ones_like(relative[..., :1])], -1)
    with_landmarks: KeypointTargets = dataclasses.replace(known.targets, landmarks_m=confident)
    plain = lift(known.body, known.targets, known.prior, _ignore)
    guided = lift(known.body, with_landmarks, known.prior, _ignore)
    before, after = (mpjpe_m(_joints(known, v), known.joints) for v in (plain, guided))
    assert after < before


def test_more_steps_never_end_worse(known: KnownMotion) -> None:
    terms = motion_terms(known.body, known.prior, MotionWeights())
    objective = MotionObjective(known.body, "coco17", terms)
    start = lift(known.body, known.targets, known.prior, _ignore)
    short = fit_clip(objective, known.targets, start, 40, _ignore)
    long = fit_clip(objective, known.targets, start, 200, _ignore)
    assert long.energy < short.energy
