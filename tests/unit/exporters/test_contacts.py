import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch import Tensor

from closefit.body.skeleton import PART_NAMES
from closefit.exporters.contact_file import write_contacts
from closefit.exporters.contacts import (
    Touch,
    find_contacts,
    join,
    touches,
    write_contact_table,
)
from closefit.exporters.timeline import write_timeline
from closefit.geometry.penetration import average_penetration_depth_mm, surface_gap
from closefit.palette import PERSON_COLOURS, depth_colour

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
    times = 1.0 + np.arange(5) / 10.0  # `--start 1`
    raised = np.eye(4)
    raised[1, 3] = 7.0
    whole = find_contacts(approach(vertices, heights), faces, parts)
    pieces = [
        find_contacts(approach(vertices, h), faces, parts) for h in (heights[:2], heights[2:])
    ]
    for name, contacts in (("whole", whole), ("pieces", join(pieces))):
        write_contacts(tmp_path / f"{name}.json", contacts, times, 10.0, raised)
    assert (tmp_path / "whole.json").read_text() == (tmp_path / "pieces.json").read_text()
    content = json.loads((tmp_path / "whole.json").read_text())
    assert content["num_frames"] == 5
    assert content["frames_in_contact"] == [[1, 2], [4, 4]]
    (pair,) = content["contacts"]
    assert (pair["person_0"], pair["person_1"]) == ("head", "torso")
    assert pair["frames"] == [[1, 2], [4, 4]]
    assert content["start_s"] == 1.0
    assert pair["seconds"] == [[0.1, 0.2], [0.4, 0.4]]
    np.testing.assert_allclose(pair["distance_mm"], [5.0, 0.0, 0.0], atol=0.1)
    assert pair["penetration_mm"][:2] == [0.0, 0.0]
    assert pair["penetration_mm"][2] == pytest.approx(pair["max_penetration_mm"], abs=0.01)
    between = 7.0 + 0.5 * np.array(heights)[[1, 2, 4]]
    np.testing.assert_allclose(np.array(pair["place_m"])[:, 1], between, atol=0.01)
    assert pair["num_frames"] == 3
    assert pair["smallest_distance_m"] == 0.0
    assert pair["max_penetration_mm"] == pytest.approx(10.0, abs=1.0)
    assert len(content["per_frame"]["gap_m"]) == 5


def test_people_who_never_touch_have_no_contacts(ball, tmp_path: Path) -> None:
    vertices, faces, parts = ball
    apart = find_contacts(approach(vertices, [0.5, 0.4]), faces, parts)
    write_contacts(tmp_path / "contacts.json", apart, np.arange(2) / 30.0, 30.0, np.eye(4))
    content = json.loads((tmp_path / "contacts.json").read_text())
    assert content["contacts"] == content["frames_in_contact"] == touches(apart) == []


def test_the_table_has_a_row_for_each_unbroken_contact(ball, tmp_path: Path) -> None:
    vertices, faces, parts = ball
    found = find_contacts(approach(vertices, [0.3, 0.205, 0.2, 0.3, 0.19]), faces, parts)
    write_contact_table(tmp_path / "contacts.csv", touches(found), 2.0 + np.arange(5) / 10.0)
    with open(tmp_path / "contacts.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["start s"], row["end s"]) for row in rows] == [("0.100", "0.200"), ("0.400",) * 2]
    assert {row["part of person 0"] + row["part of person 1"] for row in rows} == {"headtorso"}
    assert float(rows[0]["max penetration mm"]) == float(rows[1]["smallest distance mm"]) == 0.0
    assert float(rows[1]["max penetration mm"]) == pytest.approx(10.0, abs=1.0)


def test_the_timeline_draws_each_contact_at_its_time_in_the_colour_of_its_depth(
    tmp_path: Path,
) -> None:
    depths = (0.0, 20.0, 40.0)
    found = [Touch(20 * k, 20 * k + 9, "head", "torso", 0.0, depths[k], 0.5, 0.6) for k in range(3)]
    times, sure = np.arange(60) / 30.0, np.full((60, 2), 0.7)
    write_timeline(tmp_path / "t.png", found, times, sure, np.ones((60, 2), bool))
    picture = np.asarray(Image.open(tmp_path / "t.png").convert("RGB")).astype(int)
    confidence = (picture == np.round(255 * PERSON_COLOURS[0]).astype(int)).all(-1)
    row, columns = (
        confidence.sum(1).argmax(),
        np.flatnonzero(confidence[confidence.sum(1).argmax()]),
    )
    assert len(columns) > 100, row
    left, width = columns.min(), columns.max() - columns.min()
    for k, depth in enumerate(depths):
        colour = np.round(255 * np.array(depth_colour(depth))).astype(int)
        bar = (picture == colour).all(-1) & (np.arange(picture.shape[0]) < row)[:, None]
        bar &= (bar.sum(1) > 50)[:, None]  # not the legend
        seen = np.flatnonzero(bar.any(0))
        assert (seen.min() - left) / width == pytest.approx(20 * k / 60, abs=0.01)
        assert (seen.max() - left) / width == pytest.approx((20 * k + 10) / 60, abs=0.01)
