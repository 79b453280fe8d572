"""Where the texels of a UV map lie on the body's surface."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.geometry.meshes import largest_component


@dataclass(frozen=True, eq=False)
class SurfaceTexels:
    """The texels of a square UV map that lie on the body's outer surface.

    Attributes:
        size: Side of the map in texels.
        row: Map row of each texel (v grows upwards, rows downwards).
        column: Map column.
        face: Mesh face that the texel's centre lies on.
        barycentric: Where on that face.
        spacing_m: Distance between neighbouring texels on the mean body.
    """

    size: int
    row: Int[Tensor, " gaussian"]
    column: Int[Tensor, " gaussian"]
    face: Int[Tensor, " gaussian"]
    barycentric: Float[Tensor, "gaussian 3"]
    spacing_m: Float[Tensor, " gaussian"]


def surface_texels(body: Body, size: int) -> SurfaceTexels:
    """Find the face under every texel centre of a `size` x `size` map.

    A body without UVs gets a plain atlas in which pairs of faces fill square cells.
    """
    faces = body.faces.cpu().numpy()
    corners = _corner_uvs(body) * size
    outer = np.flatnonzero(largest_component(faces, body.num_vertices))
    texel, face = _texels_in_triangles(corners, outer, size)
    # Where charts touch, two faces can claim one texel: the first keeps it.
    texel, first = np.unique(texel, return_index=True)
    face = face[first]
    row, column = np.divmod(texel, size)
    barycentric = _barycentric(corners[face], np.stack([column + 0.5, row + 0.5], -1))
    vertices = body.v_template.cpu().numpy()[faces[face]]
    area_m2 = np.linalg.norm(
        np.cross(vertices[:, 1] - vertices[:, 0], vertices[:, 2] - vertices[:, 0]), axis=-1
    )
    area_texels = np.abs(_cross(corners[face]))
    device = body.v_template.device

    def tensor(array: np.ndarray, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

    return SurfaceTexels(
        size=size,
        row=tensor(row, torch.int64),
        column=tensor(column, torch.int64),
        face=tensor(face, torch.int64),
        barycentric=tensor(barycentric, torch.float32),
        spacing_m=tensor(np.sqrt(area_m2 / np.maximum(area_texels, 1e-9)), torch.float32),
    )


def _corner_uvs(body: Body) -> Float[np.ndarray, "face 3 2"]:
    """UV of each face corner with rows growing downwards, in 0..1."""
    if body.uv.shape[0] == 0:
        return _plain_atlas(body.faces.shape[0])
    uv = body.uv.cpu().numpy().astype(np.float64)
    corners: Float[np.ndarray, "face 3 2"] = np.stack([uv[:, 0], 1.0 - uv[:, 1]], -1)[
        body.faces_uv.cpu().numpy()
    ]
    return corners


def _plain_atlas(num_faces: int) -> Float[np.ndarray, "face 3 2"]:
    """Atlas for a mesh without UVs: two faces to a cell, cells row by row in face order."""
    cells = int(np.ceil(np.sqrt((num_faces + 1) // 2)))
    index = np.arange(num_faces)
    cell = np.stack([index // 2 % cells, index // 2 // cells], -1)[:, None].astype(np.float64)
    lower = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    upper = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    shape = np.where((index % 2 == 0)[:, None, None], lower, upper)
    corners: Float[np.ndarray, "face 3 2"] = (cell + shape) / cells
    return corners


def _cross(corners: Float[np.ndarray, "face 3 2"]) -> Float[np.ndarray, " face"]:
    """Twice the signed area of 2D triangles."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area: Float[np.ndarray, " face"] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return area


def _barycentric(
    corners: Float[np.ndarray, "face 3 2"], points: Float[np.ndarray, "face 2"]
) -> Float[np.ndarray, "face 3"]:
    """Barycentric coordinates of one point per triangle."""
    parts = []
    for corner in range(3):
        replaced = corners.copy()
        replaced[:, corner] = points
        parts.append(_cross(replaced))
    weights: Float[np.ndarray, "face 3"] = np.stack(parts, -1) / _cross(corners)[:, None]
    return weights


def _texels_in_triangles(
    corners: Float[np.ndarray, "face 3 2"], faces: Int[np.ndarray, " outer"], size: int
) -> tuple[Int[np.ndarray, " hit"], Int[np.ndarray, " hit"]]:
    """All (texel, face) pairs whose texel centre lies in the face, over bounding boxes at once."""
    faces = faces[np.abs(_cross(corners[faces])) > 1e-9]
    low = np.floor(corners[faces].min(1) - 0.5).astype(int)
    extent = np.ceil(corners[faces].max(1) - 0.5).astype(int) - low + 1
    texels, hits = [], []
    for down in range(int(extent[:, 1].max())):
        for right in range(int(extent[:, 0].max())):
            here = np.flatnonzero((extent[:, 0] > right) & (extent[:, 1] > down))
            cell = low[here] + np.array([right, down])
            inside = (_barycentric(corners[faces[here]], cell + 0.5) >= -1e-9).all(-1)
            inside &= (cell >= 0).all(-1) & (cell < size).all(-1)
            texels.append(cell[inside] @ np.array([1, size]))
            hits.append(faces[here[inside]])
    return np.concatenate(texels), np.concatenate(hits)
