import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from closefit.body.skeleton import PART_NAMES
from closefit.exporters.contacts import find_contacts, join, write_contacts
from closefit.geometry.penetration import average_penetration_depth_mm, surface_gap

RADIUS = 0.1
HEAD, TORSO = PART_NAMES.index("head"), PART_NAMES.index("torso")


@pytest.fixture
def ball() -> tuple[Tensor, Tensor, Tensor]:
    """A ball whose upper half is a head and whose lower half is a torso."""
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    vertices = torch.tensor(mesh.vertices, dtype=torch.float32)
    parts = torch.where(vertices[:, 1] > 0, HEAD, TORSO)
    return vertices, torch.tensor(mesh.faces), parts


def approach(vertices: Tensor, heights: list[float]) -> Tensor:
    """The second ball comes down on the first from above."""
    above = torch.tensor([[[0.0, height, 0.0]] for height in heights])
    return torch.stack([vertices.expand(len(heights), -1, -1), vertices + above], dim=1)


def test_head_touches_torso_when_near_or_inside(ball) -> None:
    vertices, faces, parts = ball
    bodies = approach(vertices, [0.3, 0.215, 0.205, 0.19, 0.15])
    found = find_contacts(bodies, faces, parts)
    np.testing.assert_array_equal(found.touching, [False, False, True, True, True])
    assert set(zip(*np.nonzero(np.isfinite(found.distance_m[3])), strict=True)) == {(HEAD, TORSO)}
    assert found.distance_m[2, HEAD, TORSO] == pytest.approx(0.005, abs=1e-4)
    assert found.distance_m[3, HEAD, TORSO] == 0.0
    assert found.depth_mm[4, HEAD, TORSO] == pytest.approx(50.0, abs=1.0)
    np.testing.assert_array_equal(found.depth_mm[:3], 0.0)


def test_the_figures_are_the_measures(ball) -> None:
    vertices, faces, parts = ball
    bodies = approach(vertices, [0.3, 0.19, 0.12])
    found = find_contacts(bodies, faces, parts)
    np.testing.assert_allclose(found.gap_m, surface_gap(bodies), atol=1e-7)
    exact = average_penetration_depth_mm(bodies, faces)
    np.testing.assert_allclose(found.mean_depth_mm, exact, rtol=1e-5)


def test_the_other_person_first_is_the_same_transposed(ball) -> None:
    vertices, faces, parts = ball
    bodies = approach(vertices, [0.205, 0.17])
    straight = find_contacts(bodies, faces, parts)
    crossed = find_contacts(bodies.flip(1), faces, parts)
    np.testing.assert_allclose(crossed.distance_m, straight.distance_m.swapaxes(1, 2))
    np.testing.assert_allclose(crossed.depth_mm, straight.depth_mm.swapaxes(1, 2))


def test_the_file_names_parts_frames_and_seconds(ball, tmp_path: Path) -> None:
    vertices, faces, parts = ball
    heights = [0.3, 0.205, 0.2, 0.3, 0.19]
    whole = find_contacts(approach(vertices, heights), faces, parts)
    pieces = [
        find_contacts(approach(vertices, h), faces, parts) for h in (heights[:2], heights[2:])
    ]
    for name, contacts in (("whole", whole), ("pieces", join(pieces))):
        times = 1.0 + np.arange(5) / 10.0
        write_contacts(tmp_path / f"{name}.json", contacts, times, fps=10.0)
    assert (tmp_path / "whole.json").read_text() == (tmp_path / "pieces.json").read_text()
    content = json.loads((tmp_path / "whole.json").read_text())
    assert content["num_frames"] == 5
    assert content["frames_in_contact"] == [[1, 2], [4, 4]]
    (pair,) = content["contacts"]
    assert (pair["person_0"], pair["person_1"]) == ("head", "torso")
    assert pair["frames"] == [[1, 2], [4, 4]]
    assert pair["seconds"] == [[1.1, 1.2], [1.4, 1.4]]
    assert pair["num_frames"] == 3
    assert pair["smallest_distance_m"] == 0.0
    assert pair["max_penetration_mm"] == pytest.approx(10.0, abs=1.0)
    assert len(content["per_frame"]["gap_m"]) == 5


def test_people_who_never_touch_have_no_contacts(ball, tmp_path: Path) -> None:
    vertices, faces, parts = ball
    apart = find_contacts(approach(vertices, [0.5, 0.4]), faces, parts)
    write_contacts(tmp_path / "contacts.json", apart, np.arange(2) / 30.0, fps=30.0)
    content = json.loads((tmp_path / "contacts.json").read_text())
    assert content["contacts"] == content["frames_in_contact"] == []
