from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.exporters.appearance import RestGaussians, rest_gaussians
from closefit.exporters.unseen import fade_unseen, trust_in_skin
from closefit.geometry.camera import intrinsics
from closefit.records import OptimizedMotion
from tests.samples import make_optimized_motion

FRAMES, SIZE_WH = 6, (160, 120)


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load(Path(__file__).resolve().parents[3] / "weights" / "closefit_body.npz")


def standing(body: Body, pelvis_m: list[list[float]]) -> OptimizedMotion:
    """Both face the camera with their arms down, in the same pose in every frame."""
    axis_angle = torch.zeros(FRAMES, 2, 24, 3)
    axis_angle[:, :, 0, 0] = torch.pi
    axis_angle[:, :, 16:18, 2] = torch.tensor([-1.2, 1.2])
    generator = np.random.default_rng(0)
    faces = generator.integers(0, len(body.faces), 9000)
    record = make_optimized_motion(FRAMES, gaussians=len(faces))
    return replace(
        record,
        rotations=roma.rotvec_to_rotmat(axis_angle).numpy(),
        betas=np.zeros((2, 10), np.float32),
        transl=np.tile(np.float32(pelvis_m), (FRAMES, 1, 1)),
        K=np.tile(intrinsics(*SIZE_WH, 150.0).astype(np.float32), (FRAMES, 1, 1)),
        gaussian_face=np.tile(faces, (2, 1)),
    )


def trust_in_gaussians(body: Body, motion: OptimizedMotion, person: int) -> np.ndarray:
    trust = trust_in_skin(body, motion, SIZE_WH)[person]
    return trust[body.faces.numpy()[motion.gaussian_face[person]]].mean(axis=1)


def test_the_front_was_seen_and_the_back_was_not(body: Body) -> None:
    trust = trust_in_skin(body, standing(body, [[-0.5, 0.0, 4.0], [0.5, 0.0, 4.0]]), SIZE_WH)
    a, b, c = np.moveaxis(body.v_template.numpy()[body.faces.numpy()], 1, 0)
    normals = np.zeros((len(body.v_template), 3))
    for corner in range(3):
        np.add.at(normals, body.faces[:, corner].numpy(), np.cross(b - a, c - a))
    ahead = normals[:, 2] / np.linalg.norm(normals, axis=1)
    torso = body.vertex_parts().numpy() == 2
    assert (trust[:, torso & (ahead > 0.5)] > 0.9).mean() > 0.95
    assert (trust[:, torso & (ahead < -0.5)] < 0.1).mean() > 0.95


def test_who_stands_behind_another_was_not_seen(body: Body) -> None:
    motion = standing(body, [[0.0, 0.0, 3.0], [0.0, 0.0, 3.6]])
    trust = trust_in_skin(body, motion, SIZE_WH)
    torso = body.vertex_parts().numpy() == 2
    assert trust[0, torso].mean() > 0.4
    assert trust[1, torso].mean() < 0.05
    nowhere = replace(motion, valid=np.zeros((FRAMES, 2), bool))
    assert trust_in_skin(body, nowhere, SIZE_WH).max() == 0.0


def test_an_unseen_side_takes_the_colours_of_the_other_one(body: Body) -> None:
    gaussians = rest_gaussians(body, standing(body, [[0.0, 0.0, 4.0]] * 2), 0)
    height = gaussians.means[:, 1:2]
    dressed = replace(
        gaussians,
        colour=np.where(height > 0.0, [[0.1, 0.2, 0.8]], [[0.6, 0.5, 0.1]]).astype(np.float32),
    )
    left = gaussians.means[:, 0] > 0.0
    smeared = replace(
        dressed,
        colour=np.where(left[:, None], dressed.colour, 1.0).astype(np.float32),
        scales_m=np.where(left[:, None], 0.01, [[0.2, 0.2, 0.2]]).astype(np.float32),
        opacity=np.where(left, 0.9, 0.1).astype(np.float32),
    )
    faded = fade_unseen(smeared, left.astype(np.float32))
    for name in ("colour", "scales_m", "opacity", "means", "weights"):
        np.testing.assert_array_equal(getattr(faded, name)[left], getattr(smeared, name)[left])
    assert np.abs(faded.colour - dressed.colour).mean() < 0.02
    np.testing.assert_allclose(faded.scales_m, 0.01, rtol=1e-5)
    np.testing.assert_allclose(faded.opacity, 0.9, rtol=1e-5)


def test_what_neither_side_shows_takes_the_middle_of_its_part(body: Body) -> None:
    gaussians = rest_gaussians(body, standing(body, [[0.0, 0.0, 4.0]] * 2), 0)
    torso = gaussians.weights[:, [3, 6, 9]].sum(axis=1) > 0.9
    front = gaussians.means[:, 2] > 0.0
    smeared: RestGaussians = replace(
        gaussians,
        colour=np.where((torso & front)[:, None], [[0.2, 0.4, 0.6]], 1.0).astype(np.float32),
    )
    faded = fade_unseen(smeared, front.astype(np.float32))
    back = torso & (gaussians.means[:, 2] < -0.07)
    assert back.sum() > 30
    np.testing.assert_allclose(faded.colour[back] - [[0.2, 0.4, 0.6]], 0.0, atol=0.05)


def test_without_anything_seen_nothing_changes(body: Body) -> None:
    gaussians = rest_gaussians(body, standing(body, [[0.0, 0.0, 4.0]] * 2), 0)
    assert fade_unseen(gaussians, np.zeros(len(gaussians.means), np.float32)) is gaussians
