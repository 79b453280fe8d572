import numpy as np
import pytest
import trimesh

from closefit.geometry.meshes import closed_proxy, largest_component


def torus() -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.torus(0.5, 0.2, major_sections=48, minor_sections=24)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def as_mesh(vertices: np.ndarray, proxy: tuple[np.ndarray, np.ndarray]) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices[proxy[0]], proxy[1], process=False)


def test_a_proxy_is_closed_and_of_the_same_kind_and_nearly_the_same_size() -> None:
    vertices, faces = torus()
    proxy = as_mesh(vertices, closed_proxy(vertices, faces, 250))
    full = trimesh.Trimesh(vertices, faces)
    assert len(proxy.vertices) <= 260
    assert proxy.is_watertight
    assert proxy.is_winding_consistent
    assert proxy.euler_number == full.euler_number == 0
    assert proxy.volume == pytest.approx(full.volume, rel=0.04)


def test_a_proxy_is_the_same_every_time() -> None:
    vertices, faces = torus()
    first, second = (closed_proxy(vertices, faces, 200) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_flat_ground_costs_no_vertices() -> None:
    box = trimesh.creation.box()
    for _ in range(3):
        box = box.subdivide()
    proxy = as_mesh(box.vertices, closed_proxy(np.asarray(box.vertices), np.asarray(box.faces), 8))
    assert len(proxy.vertices) == 8
    assert proxy.volume == pytest.approx(1.0)


def test_only_the_largest_part_is_kept() -> None:
    vertices, faces = torus()
    eye = trimesh.creation.icosphere(subdivisions=1, radius=0.05)
    both = np.concatenate([eye.vertices, vertices])
    both_faces = np.concatenate([eye.faces, faces + len(eye.vertices)])
    outer = largest_component(both_faces, len(both))
    np.testing.assert_array_equal(outer, np.arange(len(both_faces)) >= len(eye.faces))
    kept, _ = closed_proxy(both, both_faces, 300)
    assert kept.min() >= len(eye.vertices)


def test_a_tetrahedron_cannot_be_coarsened() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    proxy = as_mesh(mesh.vertices, closed_proxy(np.asarray(mesh.vertices), mesh.faces, 1))
    assert len(proxy.vertices) >= 4
    assert proxy.is_watertight
