"""A fit that starts from another tool's poses: placed by keypoints, filled in time, kept near."""

import dataclasses

import numpy as np
import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.body.stature import Stature
from closefit.fit.floor import FloorPlane
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables, rest_pelvis
from closefit.fit.weights import MotionWeights
from closefit.geometry.rotations import matrix_to_6d
from closefit.init.from_estimate import (
    estimate_objective,
    fill_rotations,
    fit_from_estimate,
    implied_statures,
    place,
    start_from_estimate,
)
from closefit.records import PersonEstimates
from tests.known_motion import FRAMES, KnownMotion, mpjpe_m

STEPS = 60
KNEE, HIP, ANKLE_KEYPOINT = 4, 1, 15


def estimate_of(known: KnownMotion, *, has_camera: bool = True) -> PersonEstimates:
    """The truth, in the form of a tool's result."""
    return PersonEstimates(
        rotations=known.variables.rotations().numpy(),
        transl_m=known.variables.pelvis().numpy(),
        known=np.ones((FRAMES, 2), dtype=bool),
        K=known.targets.K[0].double().numpy(),
        tool="a tool",
        has_camera=has_camera,
    )


def without(estimates: PersonEstimates, frames: slice, person: int) -> PersonEstimates:
    known, rotations = estimates.known.copy(), estimates.rotations.copy()
    known[frames, person] = False
    rotations[frames, person] = np.eye(3)
    transl_m = np.where(known[..., None], estimates.transl_m, np.nan).astype(np.float32)
    return dataclasses.replace(estimates, known=known, rotations=rotations, transl_m=transl_m)


def hide(targets: KeypointTargets, frames: slice, person: int) -> KeypointTargets:
    weight = targets.weight.clone()
    weight[frames, person] = 0.0
    return dataclasses.replace(targets, weight=weight, seen=(weight > 0).sum(-1) >= 4)


def joints_of(known: KnownMotion, variables: MotionVariables) -> torch.Tensor:
    transl = variables.transl(known.body)
    return known.body.joints(variables.rotations(), variables.betas, transl).detach()


def angle_deg(variables: MotionVariables, known: KnownMotion) -> torch.Tensor:
    """(frame, person, 24) between fitted and true rotations."""
    relative = variables.rotations().mT @ known.variables.rotations()
    return torch.rad2deg(roma.rotmat_to_rotvec(relative).norm(dim=-1)).detach()


def relative_keypoints(known: KnownMotion) -> torch.Tensor:
    betas = torch.zeros(2, 10)
    projector = KeypointProjector(known.body, "coco17")
    rotations = known.variables.rotations()
    return projector.keypoints(rotations, betas, -rest_pelvis(known.body, betas))[1]


def test_placing_finds_the_place(known: KnownMotion) -> None:
    relative = relative_keypoints(known)
    pelvis, placed = place(relative, known.targets)
    assert placed.all()
    torch.testing.assert_close(pelvis, known.variables.pelvis(), atol=2e-3, rtol=0)
    both, _ = place(torch.stack([relative, relative * 1.1]), known.targets)
    torch.testing.assert_close(both[0], pelvis)
    assert (both[1, ..., 2] > both[0, ..., 2]).all()


def test_placing_lets_go_of_wild_keypoints(known: KnownMotion) -> None:
    points = known.targets.points_px.clone()
    points[:, 0, [9, 15, 16]] = known.targets.points_px[:, 1, [9, 15, 16]]
    wild = dataclasses.replace(known.targets, points_px=points)
    pelvis, placed = place(relative_keypoints(known), wild)
    assert placed.all()
    assert float((pelvis - known.variables.pelvis()).norm(dim=-1).max()) < 0.05


def test_placing_needs_keypoints(known: KnownMotion) -> None:
    _, placed = place(relative_keypoints(known), hide(known.targets, slice(2, 4), 1))
    assert placed[:, 0].all()
    assert not placed[2:4, 1].any()


def test_unknown_frames_turn_evenly(known: KnownMotion) -> None:
    truth = known.variables.rotations()
    mask = torch.ones(FRAMES, 2, dtype=torch.bool)
    mask[3:6, 0], mask[:2, 1], mask[10:, 1] = False, False, False
    scrambled = torch.where(mask[..., None, None, None], truth, torch.eye(3))
    filled = fill_rotations(scrambled, mask)
    torch.testing.assert_close(filled[mask], truth[mask])
    torch.testing.assert_close(filled[:2, 1], truth[2:3, 1].expand(2, -1, -1, -1))
    torch.testing.assert_close(filled[10:, 1], truth[9:10, 1].expand(2, -1, -1, -1))
    steps = roma.rotmat_to_rotvec(filled[2:6, 0].mT @ filled[3:7, 0])
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-4, rtol=0)
    nobody = fill_rotations(scrambled, torch.zeros_like(mask))
    torch.testing.assert_close(nobody, scrambled)


def test_the_start_projects_onto_the_keypoints(known: KnownMotion) -> None:
    start = start_from_estimate(known.body, known.targets, estimate_of(known))
    projector = KeypointProjector(known.body, "coco17")
    _, pixels = projector(start.rotations(), start.betas, start.transl(known.body), known.targets.K)
    assert float((pixels - known.targets.points_px).norm(dim=-1).max()) < 0.5


def test_the_tools_own_depth_does_not_matter_where_there_are_keypoints(known: KnownMotion) -> None:
    estimates = estimate_of(known)
    far = dataclasses.replace(estimates, transl_m=estimates.transl_m * 1.5)
    first, second = (
        start_from_estimate(known.body, known.targets, given) for given in (estimates, far)
    )
    torch.testing.assert_close(first.log_depth, second.log_depth)


def test_gaps_are_bridged_in_pose_and_place(known: KnownMotion) -> None:
    targets = hide(known.targets, slice(4, 8), 1)
    start = start_from_estimate(known.body, targets, without(estimate_of(known), slice(4, 8), 1))
    assert mpjpe_m(joints_of(known, start), known.joints) < 0.02
    torch.testing.assert_close(start.log_depth, known.variables.log_depth, atol=2e-3, rtol=0)


def test_without_any_keypoint_the_tools_place_is_taken(known: KnownMotion) -> None:
    blind = hide(known.targets, slice(None), 1)
    start = start_from_estimate(known.body, blind, estimate_of(known))
    torch.testing.assert_close(start.pelvis(), known.variables.pelvis(), atol=2e-3, rtol=0)
    nowhere = dataclasses.replace(
        estimate_of(known), transl_m=np.full((FRAMES, 2, 3), np.nan, np.float32)
    )
    start = start_from_estimate(known.body, blind, nowhere)
    assert torch.isfinite(start.pelvis()).all()
    assert (start.pelvis()[..., 2] > 0).all()


def wrong_start(known: KnownMotion) -> tuple[Body, KeypointTargets, PersonEstimates]:
    """What `start_from_estimate` takes, with that knee."""
    estimates = estimate_of(known)
    rotations = estimates.rotations.copy()
    turn = roma.rotvec_to_rotmat(torch.tensor([0.79, 0.0, 0.0])).numpy()
    rotations[:, 0, KNEE] = rotations[:, 0, KNEE] @ turn
    return known.body, known.targets, dataclasses.replace(estimates, rotations=rotations)


@pytest.fixture(scope="module")
def fitted(known: KnownMotion) -> tuple[MotionVariables, list[int]]:
    """A fit from the truth but for one knee of person 0, 45 degrees off; and what it reported."""
    _, _, wrong = wrong_start(known)
    remaining: list[int] = []

    def on_step(done: int, total: int) -> None:
        assert done <= total
        remaining[:] = [*remaining, total - done]

    fit, order = fit_from_estimate(known.body, known.targets, known.prior, wrong, STEPS, on_step)
    assert order == "as estimated"  # the true one
    return fit.variables, remaining


def test_progress_runs_to_its_end(fitted: tuple[MotionVariables, list[int]]) -> None:
    _, left = fitted
    assert left == list(range(len(left)))[::-1]


def test_the_fit_stays_near_a_good_estimate(
    known: KnownMotion, fitted: tuple[MotionVariables, list[int]]
) -> None:
    """Of person 1, who is complete in the estimate, and of the other joints of person 0."""
    variables, _ = fitted
    others = [joint for joint in range(24) if joint not in (KNEE, HIP)]
    angles = angle_deg(variables, known)
    assert float(angles[:, 1].mean()) < 3.0
    assert float(angles[:, 0, others].mean()) < 4.0
    assert mpjpe_m(joints_of(known, variables)[:, 1:], known.joints[:, 1:]) < 0.045


def test_a_wrong_joint_is_corrected_by_the_keypoints(
    known: KnownMotion, fitted: tuple[MotionVariables, list[int]]
) -> None:
    def error_px(variables: MotionVariables) -> torch.Tensor:
        projector = KeypointProjector(known.body, "coco17")
        transl = variables.transl(known.body)
        _, pixels = projector(variables.rotations(), variables.betas, transl, known.targets.K)
        return (pixels - known.targets.points_px).detach().norm(dim=-1)

    start_px, off_px = error_px(start_from_estimate(*wrong_start(known))), error_px(fitted[0])
    assert float(off_px[:, 0, ANKLE_KEYPOINT].mean()) < 0.7 * float(
        start_px[:, 0, ANKLE_KEYPOINT].mean()
    )


def test_someone_the_estimate_lacks_is_lifted(known: KnownMotion) -> None:
    frames = slice(0, 3)
    one = without(estimate_of(known), slice(None), 0)
    part = dataclasses.replace(
        one, rotations=one.rotations[frames], transl_m=one.transl_m[frames], known=one.known[frames]
    )
    left = []
    fit, _ = fit_from_estimate(
        known.body,
        known.targets.cut(frames),
        known.prior,
        part,
        30,
        lambda done, total: left.append(total - done),
    )
    assert left == list(range(len(left)))[::-1]
    joints = joints_of(known, fit.variables)
    assert mpjpe_m(joints[:, :1], known.joints[frames, :1]) < 0.15
    assert mpjpe_m(joints[:, 1:], known.joints[frames, 1:]) < 0.08


def test_body_heights_follow_from_where_the_tool_puts_people(known: KnownMotion) -> None:
    """Someone who is as tall in the picture but farther away is taller."""
    estimates = estimate_of(known)
    start = start_from_estimate(known.body, known.targets, estimates)
    mean = Stature(known.body)(torch.zeros(2, 10))
    moved = dataclasses.replace(
        estimates,
        transl_m=estimates.transl_m * np.array([1.05, 0.96], np.float32)[:, None],
    )
    statures = implied_statures(known.body, start, moved)
    torch.testing.assert_close(statures, mean * torch.tensor([1.05, 0.96]), atol=2e-3, rtol=0)
    unknown = dataclasses.replace(moved, has_camera=False)
    assert implied_statures(known.body, start, unknown).isnan().all()
    giants = dataclasses.replace(moved, transl_m=moved.transl_m * 2)
    assert implied_statures(known.body, start, giants).isnan().all()


def test_body_heights_and_world_headings_in_the_objective(known: KnownMotion) -> None:
    """The terms vanish at the estimate; a world without a camera leaves the heading open."""
    floor = FloorPlane.from_plane(torch.tensor([0.0, -1.0, 0.0, 1.0]))
    turned = known.variables.rotations().clone()
    turned[:, :, 0] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.3, 0.0])) @ turned[:, :, 0]
    motion = dataclasses.replace(known.variables, pose_6d=matrix_to_6d(turned))
    mean = Stature(known.body)(torch.zeros(2, 10))

    def terms(has_camera: bool, statures: torch.Tensor) -> dict[str, torch.Tensor]:
        objective = estimate_objective(
            known.body,
            known.prior,
            known.targets,
            estimate_of(known, has_camera=has_camera),
            statures,
            MotionWeights(),
        )
        return objective(motion, floor, known.targets)

    assert float(terms(False, mean)["reference"]) == pytest.approx(0.0, abs=1e-3)
    assert float(terms(True, mean)["reference"]) > 0.5
    assert float(terms(True, mean)["stature"]) == pytest.approx(0.0, abs=1e-6)
    assert float(terms(True, mean + 0.1)["stature"]) > 0.5
    assert float(terms(True, mean * torch.nan)["stature"]) == 0.0
