import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
import trimesh
from torch import Tensor

from closefit.body.model import Body
from closefit.geometry import penetration
from closefit.geometry.penetration import (
    PenetrationProxy,
    average_penetration_depth_mm,
    penetration_depth,
    surface_gap,
)

RADIUS = 0.3


def sphere(subdivisions: int = 4) -> tuple[Tensor, Tensor]:
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=RADIUS)
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces)


def two_spheres(distance: float, subdivisions: int = 4) -> tuple[Tensor, Tensor]:
    """Two balls whose centres are `distance` apart, on an axis that no vertex lies on."""
    vertices, faces = sphere(subdivisions)
    axis = torch.nn.functional.normalize(torch.tensor([0.9, 0.3, 0.2], dtype=torch.float64), dim=0)
    return torch.stack([vertices, vertices + distance * axis])[None], faces


def whole_proxy(faces: Tensor) -> PenetrationProxy:
    """A proxy that leaves nothing out."""
    every_vertex = torch.arange(int(faces.max()) + 1)
    return PenetrationProxy(every_vertex, faces, parts=every_vertex[None])


@pytest.fixture(scope="module")
def crossed_people() -> tuple[Tensor, Tensor, PenetrationProxy]:
    """Two people, one with folded arms, that go through each other more and more."""
    body = Body.load(Path(__file__).resolve().parents[3] / "weights" / "closefit_body.npz")
    axis_angle = torch.zeros(6, 2, 24, 3)
    axis_angle[:, 1, 0, 1] = torch.pi  # face to face
    axis_angle[:, 0, 16:18] = torch.tensor([[0.3, 0.4, -1.2], [0.3, -0.4, 1.2]])
    axis_angle[:, 0, 18:20] = torch.tensor([[0.0, -2.2, 0.0], [0.0, 2.2, 0.0]])
    transl = torch.zeros(6, 2, 3)
    transl[:, 1, 2] = torch.linspace(0.9, 0.15, 6)
    rotations = roma.rotvec_to_rotmat(axis_angle)
    vertices = body.pose(rotations, torch.zeros(2, 10), transl).vertices
    parts = body.weights.argmax(dim=-1)
    proxy = PenetrationProxy.create(body.v_template, body.faces, vertex_parts=parts)
    return vertices, body.faces, proxy


def test_depth_inside_a_ball_is_the_distance_to_its_skin() -> None:
    vertices, faces = sphere()
    radii = torch.linspace(0.06, 0.5, 12, dtype=torch.float64)
    directions = torch.nn.functional.normalize(torch.randn(12, 3, dtype=torch.float64), dim=-1)
    result = penetration_depth((radii[:, None] * directions)[None], vertices[None], faces)
    expected = (RADIUS - radii).clamp_min(0)
    torch.testing.assert_close(result.depth[0], expected, atol=1e-3, rtol=0)
    inside = expected > 0
    assert ((result.face[0] >= 0) == inside).all()
    skin = RADIUS * directions[inside]
    torch.testing.assert_close(result.closest[0, inside], skin, atol=0.02, rtol=0)
    torch.testing.assert_close(
        result.closest[0, ~inside], radii[~inside, None] * directions[~inside]
    )


def winding_number(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Sum of the solid angles of all triangles seen from each point (Van Oosterom, Strackee)."""
    a, b, c = np.moveaxis(triangles[None] - points[:, None, None], 2, 0)
    length_a, length_b, length_c = (np.linalg.norm(corner, axis=-1) for corner in (a, b, c))
    volume = (a * np.cross(b, c)).sum(-1)
    base = length_a * length_b * length_c
    base += (a * b).sum(-1) * length_c + (a * c).sum(-1) * length_b + (b * c).sum(-1) * length_a
    return np.arctan2(volume, base).sum(-1) / (2 * np.pi)


def test_agrees_with_a_slow_reference(crossed_people) -> None:
    vertices, faces, _ = crossed_people
    low, high = vertices[4, 1].amin(0), vertices[4, 1].amax(0)
    points = vertices[4, 0][((vertices[4, 0] > low) & (vertices[4, 0] < high)).all(-1)][::90]
    ours = penetration_depth(points[None], vertices[4, 1][None], faces).depth[0]
    triangles = vertices[4, 1].double().numpy()[faces.numpy()]
    exact = points.double().numpy()
    distance = [
        np.linalg.norm(
            trimesh.triangles.closest_point(triangles, np.broadcast_to(point, (len(faces), 3)))
            - point,
            axis=-1,
        ).min()
        for point in exact
    ]
    expected = np.where(winding_number(exact, triangles) > 0.5, distance, 0.0)
    assert 5 < np.count_nonzero(expected) < len(points) - 5
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-6)


def test_average_depth_counts_every_vertex_of_both() -> None:
    vertices, faces = two_spheres(0.5)
    first = penetration_depth(vertices[:, 0], vertices[:, 1], faces).depth
    second = penetration_depth(vertices[:, 1], vertices[:, 0], faces).depth
    expected = 1000 * torch.cat([first, second], dim=1).mean(dim=1)
    torch.testing.assert_close(average_penetration_depth_mm(vertices, faces), expected)


def test_bodies_apart_have_a_gap_and_no_penetration() -> None:
    vertices, faces = two_spheres(0.7, subdivisions=3)
    assert average_penetration_depth_mm(vertices, faces).item() == 0.0
    assert whole_proxy(faces).loss(vertices).item() == 0.0
    brute_force = torch.cdist(vertices[0, 0], vertices[0, 1]).min()
    torch.testing.assert_close(surface_gap(vertices)[0], brute_force)


def test_the_gap_is_that_of_all_pairs(crossed_people) -> None:
    vertices = crossed_people[0][:2, :, ::7]
    expected = torch.stack([torch.cdist(*frame).min() for frame in vertices])
    torch.testing.assert_close(surface_gap(vertices), expected, atol=1e-5, rtol=0)


def test_neither_place_nor_order_of_the_people_matters(crossed_people) -> None:
    vertices, faces, proxy = crossed_people
    rotation = roma.random_rotmat()
    moved = vertices @ rotation.T + torch.tensor([3.0, -1.0, 8.0])
    depth = average_penetration_depth_mm(vertices, faces)
    assert depth.max() > 1.0
    for other in (moved, vertices.flip(1)):
        torch.testing.assert_close(
            average_penetration_depth_mm(other, faces), depth, atol=1e-3, rtol=1e-3
        )
        torch.testing.assert_close(
            proxy.loss(other[:, :, proxy.vertex_indices]),
            proxy.loss(vertices[:, :, proxy.vertex_indices]),
            atol=1e-4,
            rtol=1e-3,
        )


def test_the_proxy_sees_what_the_whole_body_sees(crossed_people) -> None:
    vertices, faces, proxy = crossed_people
    depth = average_penetration_depth_mm(vertices, faces)
    losses = torch.stack([proxy.loss(frame[None, :, proxy.vertex_indices]) for frame in vertices])
    assert ((losses > 0) == (depth > 0.001)).all()
    assert (losses.argsort() == depth.argsort()).all()


def test_looking_at_limb_segments_first_misses_nothing(crossed_people) -> None:
    vertices, _, proxy = crossed_people
    whole = dataclasses.replace(proxy, parts=torch.arange(len(proxy.vertex_indices))[None])
    shown = vertices[:, :, proxy.vertex_indices]
    assert float(proxy.loss(shown)) == float(whole.loss(shown)) > 0.0


def test_searching_all_bodies_together_as_on_a_gpu_gives_the_same(
    crossed_people, monkeypatch
) -> None:
    vertices, _, proxy = crossed_people
    shown = vertices[:, :, proxy.vertex_indices].clone().requires_grad_()
    counted = proxy.loss(shown)
    (gradient,) = torch.autograd.grad(counted, shown)
    plain = penetration._find_nearest
    monkeypatch.setattr(
        penetration, "_find_nearest", lambda *args, **_: plain(*args, everywhere=True)
    )
    every = proxy.loss(shown)
    torch.testing.assert_close(every, counted)
    # A few points are as near to one face as to another: rounding decides where those push.
    difference = (torch.autograd.grad(every, shown)[0] - gradient).abs()
    assert (difference > 1e-5).double().mean() < 2e-3


def test_the_gradient_is_that_of_finite_differences() -> None:
    vertices, faces = two_spheres(0.5, subdivisions=2)
    proxy = whole_proxy(faces)
    vertices.requires_grad_()
    (gradient,) = torch.autograd.grad(proxy.loss(vertices), vertices)
    direction = torch.randn_like(vertices)
    step = 1e-6 * direction
    with torch.no_grad():
        slope = (proxy.loss(vertices + step) - proxy.loss(vertices - step)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-3, atol=1e-6)


def test_both_the_point_and_the_surface_are_pushed() -> None:
    vertices, faces = two_spheres(0.45, subdivisions=2)
    shift = torch.zeros(1, 2, 1, 3, dtype=torch.float64, requires_grad=True)
    whole_proxy(faces).loss(vertices + shift).backward()
    assert shift.grad is not None
    push = -shift.grad[0, :, 0]
    away = vertices[0, 1].mean(0) - vertices[0, 0].mean(0)
    assert push[1] @ away > 0
    torch.testing.assert_close(push[0], -push[1])  # no net force on the pair


def test_following_the_gradient_parts_the_bodies() -> None:
    vertices, faces = two_spheres(0.45, subdivisions=3)
    proxy = whole_proxy(faces)
    shift = torch.zeros(2, 1, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.01)
    start = proxy.loss(vertices).item()
    for _ in range(30):
        optimizer.zero_grad()
        proxy.loss(vertices + shift).backward()
        optimizer.step()
    assert proxy.loss((vertices + shift).detach()).item() < 0.01 * start


def test_no_frames_mean_no_loss() -> None:
    vertices, faces = two_spheres(0.4, subdivisions=1)
    assert whole_proxy(faces).loss(vertices[:0]).item() == 0.0


def test_the_truth_of_the_rendered_clips_is_reproduced(shared: Path) -> None:
    folder = shared / "clips" / "synth"
    truth = np.load(folder / "dev_02" / "truth.npz")
    body = Body.load(folder / "body.npz")
    frames = [0, 20, 26, 65, 69]
    betas = torch.from_numpy(truth["betas"])
    transl = torch.from_numpy(truth["transl"][frames]) - body.rest(betas).joints[:, 0]
    rotations = torch.from_numpy(truth["rotations"][frames])
    vertices = body.pose(rotations, betas, transl).vertices
    depth = average_penetration_depth_mm(vertices, body.faces)
    np.testing.assert_allclose(depth.numpy(), truth["penetration"][frames], atol=1e-5)
    np.testing.assert_allclose(surface_gap(vertices).numpy(), truth["gap"][frames], atol=1e-5)


def test_a_home_without_write_permission_is_enough(tmp_path: Path) -> None:
    not_a_folder = tmp_path / "cache"
    not_a_folder.write_text("a file where the cache should be")
    environment = {**os.environ, "XDG_CACHE_HOME": str(not_a_folder), "TMPDIR": str(tmp_path)}
    environment.pop("WARP_CACHE_PATH", None)
    program = "import closefit.geometry.penetration as p; print(p.wp.config.kernel_cache_dir)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    used = Path(result.stdout.strip())
    assert used.is_relative_to(tmp_path)
    assert not list(tmp_path.glob("closefit-warp-*")), "it is left behind"
