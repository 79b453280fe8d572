"""Laws of the 6D rotation form and of the pinhole camera."""

import math

import numpy as np
import pytest
import roma
import torch

from closefit.geometry.camera import crop_intrinsics, focal_from_fov, intrinsics, project
from closefit.geometry.rotations import (
    interpolate_rotations,
    matrix_from_6d,
    matrix_to_6d,
    rotation_between,
)


def test_6d_round_trip() -> None:
    matrix = roma.random_rotmat(50, dtype=torch.float64)
    torch.testing.assert_close(matrix_from_6d(matrix_to_6d(matrix)), matrix)


def test_any_6d_gives_a_rotation() -> None:
    matrix = matrix_from_6d(torch.randn(50, 6, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    torch.testing.assert_close(matrix @ matrix.mT, identity)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(50, dtype=torch.float64))


def test_6d_is_the_first_two_columns() -> None:
    matrix = roma.random_rotmat(1)[0]
    torch.testing.assert_close(matrix_to_6d(matrix), torch.cat([matrix[:, 0], matrix[:, 1]]))


def test_6d_gradient() -> None:
    value = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(matrix_from_6d, (value,))


def test_default_field_of_view_is_the_papers() -> None:
    assert focal_from_fov(1920, 1080) == pytest.approx(0.9605 * math.hypot(1920, 1080), rel=1e-4)


def test_point_on_the_axis_falls_on_the_centre() -> None:
    K = torch.from_numpy(intrinsics(640, 480, 500.0))
    point = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(project(point, K), torch.tensor([320.0, 240.0], dtype=torch.float64))


def test_projection_ignores_scale_along_the_ray() -> None:
    K = torch.from_numpy(intrinsics(640, 480, 500.0))
    points = torch.rand(20, 3, dtype=torch.float64) + torch.tensor([0.0, 0.0, 1.0])
    torch.testing.assert_close(project(points, K), project(2.5 * points, K))


def test_points_behind_the_camera_stay_finite() -> None:
    K = torch.from_numpy(intrinsics(640, 480, 500.0))
    behind = torch.tensor([[1.0, 1.0, -2.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.isfinite(project(behind, K)).all()


def test_cropping_moves_pixels_as_the_crop_does() -> None:
    K = torch.from_numpy(intrinsics(640, 480, 500.0))
    points = torch.rand(20, 3, dtype=torch.float64) + torch.tensor([0.0, 0.0, 1.0])
    cropped = crop_intrinsics(K, 30.0, 10.0, 0.5, 0.25)
    expected = (project(points, K) - torch.tensor([30.0, 10.0])) * torch.tensor([0.5, 0.25])
    torch.testing.assert_close(project(points, cropped), expected)
    assert np.allclose(K.numpy(), intrinsics(640, 480, 500.0))


def test_interpolation_turns_evenly_between_its_ends() -> None:
    before, after = roma.random_rotmat(2, dtype=torch.float64)
    shares = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)
    ends = (end.expand(5, 3, 3) for end in (before, after))
    between = interpolate_rotations(*ends, shares)
    torch.testing.assert_close(between[0], before)
    torch.testing.assert_close(between[-1], after)
    steps = roma.rotmat_geodesic_distance(between[1:], between[:-1])
    torch.testing.assert_close(steps, steps[:1].expand(4))


def test_the_rotation_between_directions_is_the_smallest() -> None:
    start, end = torch.randn(2, 6, 3, dtype=torch.float64)
    end[0] = 2.0 * start[0]
    turn = rotation_between(start, end)
    unit_start, unit_end = (torch.nn.functional.normalize(v, dim=-1) for v in (start, end))
    torch.testing.assert_close((turn @ unit_start[..., None])[..., 0], unit_end)
    angle = torch.acos((unit_start * unit_end).sum(-1).clamp(-1.0, 1.0))
    torch.testing.assert_close(roma.rotmat_to_rotvec(turn).norm(dim=-1), angle, atol=1e-6, rtol=0)
