import numpy as np
import pytest

from closefit.body.model import Body
from closefit.body.unwrap import unwrap


@pytest.fixture(scope="module")
def unwrapped(body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    vertices, faces = body.v_template.double().numpy(), body.faces.numpy()
    return vertices, faces, *unwrap(vertices, faces, body.weights.double().numpy())


def test_every_corner_has_coordinates_within_the_texture(unwrapped) -> None:
    _, faces, uv, faces_uv = unwrapped
    assert faces_uv.shape == faces.shape
    assert set(np.unique(faces_uv)) == set(range(len(uv)))
    assert uv.min() > 0
    assert uv.max() < 1


def test_neighbours_within_a_chart_share_their_coordinates(unwrapped) -> None:
    vertices, faces, uv, faces_uv = unwrapped
    vertex_of_row = np.full(len(uv), -1)
    vertex_of_row[faces_uv.ravel()] = faces.ravel()
    assert (vertex_of_row[faces_uv] == faces).all()
    assert len(uv) < 1.2 * len(vertices)  # cut along the seams only


def test_texels_have_about_the_same_size_on_most_of_the_surface(unwrapped) -> None:
    vertices, faces, uv, faces_uv = unwrapped
    corners, flat = vertices[faces], uv[faces_uv]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    edges = flat[:, 1:] - flat[:, :1]
    density = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]) / area
    usual = np.median(density)
    even = (density > usual / 2) & (density < usual * 2)
    assert area[even].sum() / area.sum() > 0.9


def test_parts_of_the_body_do_not_overlap_in_the_texture(body: Body, unwrapped) -> None:
    _, faces, uv, faces_uv = unwrapped
    part_of_face = body.vertex_parts().numpy()[faces]
    within = (part_of_face == part_of_face[:, :1]).all(axis=1)
    cells = np.floor(uv[faces_uv[within]].mean(axis=1) * 256).astype(int) @ (256, 1)
    part = part_of_face[within, 0]
    pairs = np.unique(np.stack([cells, part], axis=1), axis=0)
    assert len(np.unique(pairs[:, 0])) == len(pairs)
