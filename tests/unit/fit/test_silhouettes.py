"""Bodies compared with masks that were painted from bodies."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from closefit.body.model import Body
from closefit.fit.floor import FloorPlane, typical_up
from closefit.fit.objective import MotionObjective, motion_terms
from closefit.fit.silhouettes import (
    Silhouettes,
    silhouette_losses,
    silhouettes_from_track,
    spread_vertices,
)
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.fit.weights import MotionWeights
from closefit.geometry.camera import project
from closefit.mask_stack import MaskStack, deflate
from tests.known_motion import KnownMotion, make_known_motion
from tests.samples import make_track

SIZE_WH = (480, 360)
FRAMES = len(make_track().time_s)
HEIGHT_PX = 265.0


@pytest.fixture(scope="module")
def known() -> KnownMotion:
    """Two people of whom one stands in front of the other and hides a part."""
    known = make_known_motion()
    variables = known.variables.cut(slice(0, FRAMES))
    ray = variables.pelvis_ray.clone()
    ray[:, :, 0] = torch.tensor([-0.03, 0.03])
    moved = dataclasses.replace(variables, pelvis_ray=ray)
    return dataclasses.replace(known, variables=moved, targets=known.targets.cut(slice(0, FRAMES)))


def vertices_of(body: Body, motion: MotionVariables) -> torch.Tensor:
    return body.pose(motion.rotations(), motion.betas, motion.transl(body)).vertices


def painted(known: KnownMotion) -> np.ndarray:
    """Masks (frame, person, height, width): the nearer triangle is painted over the farther."""
    vertices, K = vertices_of(known.body, known.variables), known.targets.K
    pixels = project(vertices, K[:, None, None]).numpy()
    faces = known.body.faces.numpy()
    masks = np.zeros((FRAMES, 2, SIZE_WH[1], SIZE_WH[0]), bool)
    for frame in range(FRAMES):
        owner = np.full(SIZE_WH[::-1], 2, np.uint8)
        depth = vertices[frame, :, :, 2].numpy()[:, faces].mean(-1)
        corners = np.ascontiguousarray(np.round(pixels[frame][:, faces] * 8), np.int32)
        for triangle in np.argsort(-depth, axis=None):
            person, face = divmod(int(triangle), len(faces))
            cv2.fillConvexPoly(owner, corners[person, face], person, shift=3)
        masks[frame] = owner == np.arange(2)[:, None, None]
    return masks


@pytest.fixture(scope="module")
def seen(known: KnownMotion) -> Silhouettes:
    return silhouettes(painted(known))


def silhouettes(masks: np.ndarray, shown_px: np.ndarray | None = None) -> Silhouettes:
    size_wh = masks.shape[:1:-1]
    stack = MaskStack.of((deflate(mask) for pair in masks for mask in pair), size_wh, (-1, 2))
    track = dataclasses.replace(
        make_track(),
        size_wh=np.array(size_wh),
        mask_size_wh=np.array(size_wh),
        person_mask_bytes=stack.joined,
        person_mask_ends=stack.ends,
    )
    found = silhouettes_from_track(track, np.full((FRAMES, 2), HEIGHT_PX), "cpu", shown_px)
    assert found is not None
    return found


def losses(known: KnownMotion, seen: Silhouettes, motion: MotionVariables) -> torch.Tensor:
    """Cover, inside and front: (loss, frame, person)."""
    surface = known.body.subset(spread_vertices(known.body))
    vertices = vertices_of(surface, motion)
    found = silhouette_losses(vertices, torch.zeros(FRAMES, 2), known.targets.K, seen)
    return torch.stack([found.cover, found.inside, found.front])


def test_the_bodies_that_masks_show_cost_next_to_nothing(known, seen) -> None:
    assert losses(known, seen, known.variables).max() < 0.05


@pytest.mark.parametrize("way", [(0.03, 0.0), (0.0, -0.03)], ids=["aside", "up"])
def test_a_body_away_from_its_mask_costs_more_the_farther_it_is(known, seen, way) -> None:
    found = []
    for times in range(4):
        ray = known.variables.pelvis_ray.clone()
        ray[:, 0] += times * torch.tensor(way)
        moved = dataclasses.replace(known.variables, pelvis_ray=ray)
        found.append(losses(known, seen, moved)[:2, :, 0].mean(-1))
    cover, inside = torch.stack(found).T
    assert (cover.diff() > 0.02).all()
    assert (inside.diff() > 0.0).all()


def test_a_wrong_order_costs_and_its_gradient_moves_the_two_past_each_other(known, seen) -> None:
    depth = known.variables.log_depth.flip(-1).clone().requires_grad_()
    swapped = dataclasses.replace(known.variables, log_depth=depth)
    right, wrong = (losses(known, seen, m)[2].sum() for m in (known.variables, swapped))
    assert wrong > 10.0 * right
    terms = objective_terms(known, seen, swapped)
    (gradient,) = torch.autograd.grad(terms["front"], depth)
    farther, nearer = gradient.sum(0)  # person 0 is in front in the masks, and now behind
    assert farther > 0 > nearer


def objective_terms(known: KnownMotion, seen: Silhouettes, motion: MotionVariables):
    targets: KeypointTargets = dataclasses.replace(known.targets, silhouettes=seen)
    terms = motion_terms(known.body, known.prior, MotionWeights())
    objective = MotionObjective(known.body, "coco17", terms)
    floor = FloorPlane.from_plane(torch.cat([typical_up(torch.device("cpu")), torch.ones(1)]))
    return objective(motion, floor, targets)


def test_the_size_of_a_mask_moves_nobody_in_depth_and_makes_nobody_taller(known, seen) -> None:
    motion = known.variables.detached()
    ray = motion.pelvis_ray.detach() + 0.02
    motion.pelvis_ray = ray.requires_grad_()
    terms = objective_terms(known, seen, motion)
    for name in ("cover", "inside"):
        gradients = torch.autograd.grad(
            terms[name], motion.tensors(), retain_graph=True, allow_unused=True
        )
        pose, place, depth, betas = gradients
        assert pose.abs().max() > 0
        assert place.abs().max() > 0
        assert depth is None or not depth.any()
        assert betas is None or not betas.any()


def test_gradients_are_those_of_finite_differences(known, seen) -> None:
    double = Silhouettes(
        *(
            value.double() if value.is_floating_point() else value
            for value in (getattr(seen, field.name) for field in dataclasses.fields(seen))
        )
    )
    chosen = spread_vertices(known.body)
    start = vertices_of(known.body, known.variables)[:, :, chosen].double()
    start = start + torch.tensor([0.06, -0.04, 0.0], dtype=torch.float64)
    way = torch.randn(start.shape, generator=torch.Generator().manual_seed(3)).double()
    K = known.targets.K.double()

    def value(vertices: torch.Tensor) -> torch.Tensor:
        found = silhouette_losses(vertices, vertices.new_zeros(FRAMES, 2), K, double)
        return (found.cover + found.inside + found.front).sum()

    vertices = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(vertices), vertices)
    step = 1e-7
    measured = (value(start + step * way) - value(start - step * way)) / (2 * step)
    torch.testing.assert_close(measured, (gradient * way).sum(), rtol=1e-3, atol=1e-4)


def test_without_a_mask_nothing_is_stated(known) -> None:
    masks = painted(known)
    masks[:, 1] = False
    found = losses(known, silhouettes(masks), known.variables)
    assert not found[:, :, 1].any()
    assert not found[2].any()
    empty = make_track()
    stack = MaskStack.of([b""] * (2 * FRAMES), SIZE_WH, (-1, 2))
    empty = dataclasses.replace(empty, person_mask_bytes=stack.joined, person_mask_ends=stack.ends)
    assert silhouettes_from_track(empty, np.full((FRAMES, 2), HEIGHT_PX), "cpu") is None


@pytest.mark.parametrize("turn", [0.0, 0.1], ids=["level", "rolled"])
def test_bodies_may_be_anywhere_outside_of_what_a_frame_shows(known, turn) -> None:
    width, height = SIZE_WH
    knees = 0.65 * height
    shown = np.array([[-99, -99], [width + 99, -99], [width + 99, knees], [-99, knees]])
    shown = shown + turn * np.array([[0, 0], [0, 0], [0, 99], [0, -99]])
    seen_part = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(seen_part, np.round(shown).astype(np.int32), 1)
    masks = painted(known) & (seen_part > 0)
    told = silhouettes(masks, np.tile(shown, (FRAMES, 1, 1)))
    assert losses(known, told, known.variables).max() < 0.05
    assert losses(known, silhouettes(masks), known.variables)[1].mean() > 0.5


def test_nothing_is_stated_beyond_the_edge_of_the_picture(known) -> None:
    masks = painted(known)[:, :, : SIZE_WH[1] // 2]
    seen = silhouettes(masks)
    assert losses(known, seen, known.variables).max() < 0.05
    pose = known.variables.pose_6d.clone()
    pose[:, :, 1:3] = pose[:, :, 1:3].flip(2)  # other legs, all below the edge
    assert losses(known, seen, dataclasses.replace(known.variables, pose_6d=pose)).max() < 0.05


def test_frames_are_independent(known, seen) -> None:
    whole = losses(known, seen, known.variables)
    part = torch.arange(1, FRAMES)
    surface = known.body.subset(spread_vertices(known.body))
    cut = silhouette_losses(
        vertices_of(surface, known.variables.cut(part)),
        torch.zeros(FRAMES - 1, 2),
        known.targets.K[part],
        seen.cut(part),
    )
    torch.testing.assert_close(cut.cover, whole[0, 1:])
    torch.testing.assert_close(cut.front, whole[2, 1:])
