"""A-PD on the paper's grid, on spheres, for which the exact mean is known."""

import numpy as np
import pytest
import torch
import trimesh

from closefit.evaluation.grid_penetration import grid_a_pd_mm
from closefit.geometry.penetration import average_penetration_depth_mm

RADIUS_M = 0.5


def spheres(*gaps_m: float, sizes: tuple[float, float] = (1.0, 1.0)) -> tuple:
    """In each frame two spheres whose surfaces are so far apart; negative: inside each other."""
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS_M)
    base = torch.from_numpy(np.asarray(mesh.vertices)).float()
    far = [RADIUS_M * sum(sizes) + gap for gap in gaps_m]
    pairs = [torch.stack([sizes[0] * base, sizes[1] * base + torch.tensor([d, 0, 0])]) for d in far]
    return torch.stack(pairs), torch.from_numpy(np.asarray(mesh.faces)).long()


def test_apart_is_zero() -> None:
    np.testing.assert_array_equal(grid_a_pd_mm(*spheres(0.5, 0.05)), 0.0)


def test_it_is_near_the_exact_mean_where_both_are_of_one_size() -> None:
    vertices, faces = spheres(-0.4, -0.2)
    exact = average_penetration_depth_mm(vertices, faces).numpy()
    np.testing.assert_allclose(grid_a_pd_mm(vertices, faces), exact, rtol=0.15)


def test_place_and_order_do_not_matter() -> None:
    vertices, faces = spheres(-0.3)
    found = grid_a_pd_mm(vertices, faces)
    moved = grid_a_pd_mm(vertices + torch.tensor([3.0, -2.0, 5.0]), faces)
    np.testing.assert_allclose(moved, found, rtol=1e-3)
    np.testing.assert_allclose(grid_a_pd_mm(vertices.flip(1), faces), found, rtol=1e-3)


def test_bodies_of_two_sizes_are_measured_as_the_published_code_does() -> None:
    """Its places are divided by the size of the other body: the larger one reads too near."""
    vertices, faces = spheres(-0.2, sizes=(1.0, 0.6))
    exact = average_penetration_depth_mm(vertices, faces).numpy()
    assert grid_a_pd_mm(vertices, faces)[0] != pytest.approx(exact[0], rel=0.15)
