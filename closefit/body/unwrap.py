"""Texture coordinates for a body whose file has none: SMPL's model files come without.

Each body part is cut into a front and a back half (top and bottom for feet), each half is unrolled
from a cylinder around the part's long axis, and the charts are packed on shelves. Charts keep
metric proportions, so texels have about the same size everywhere.
"""

import numpy as np
from jaxtyping import Float, Int

from closefit.body.skeleton import JOINT_PART, PART_NAMES

GAP_M = 0.01
"""Space around each chart, so that sampling a texture does not mix neighbours."""


def unwrap(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    weights: Float[np.ndarray, "vertex 24"],
) -> tuple[Float[np.ndarray, "uv 2"], Int[np.ndarray, "face 3"]]:
    """Return `uv` in 0..1 and, for each face, its corners' rows of `uv`.

    Args:
        vertices: The rest body (y up, facing +z, arms along x), metres.
        faces: Corners of the triangles.
        weights: Skinning weights, which determine the part of each face.
    """
    part_weights = weights @ np.eye(len(PART_NAMES))[list(JOINT_PART)]
    part = part_weights[faces].sum(axis=1).argmax(axis=-1)
    middles = vertices[faces].mean(axis=1)
    counts = np.maximum(np.bincount(part, minlength=len(PART_NAMES)), 1)
    centres = np.stack(
        [np.bincount(part, middles[:, axis], len(PART_NAMES)) / counts for axis in range(3)], axis=1
    )
    axes = np.array([_axes(name) for name in PART_NAMES])

    facing = np.take_along_axis(middles - centres[part], axes[part], axis=1)[:, 1]
    chart = 2 * part + (facing > 0)
    rows, faces_uv = np.unique(chart[:, None] * len(vertices) + faces, return_inverse=True)
    chart_of_row, vertex_of_row = np.divmod(rows, len(vertices))
    part_of_row, front = np.divmod(chart_of_row, 2)
    across, ahead, along = np.take_along_axis(
        vertices[vertex_of_row] - centres[part_of_row], axes[part_of_row], axis=1
    ).T
    # A corner may lie behind the cut, but not so far that its angle jumps to the other side.
    ahead = np.maximum(np.where(front, ahead, -ahead), -0.5 * np.abs(across))
    angle = np.arctan2(across, ahead)
    chart_counts = np.maximum(np.bincount(chart_of_row), 1)
    radius_m = np.bincount(chart_of_row, np.hypot(across, ahead)) / chart_counts
    flat = np.stack([angle * radius_m[chart_of_row], along], axis=1)
    return _packed(flat, chart_of_row), faces_uv.reshape(faces.shape)


def _axes(part: str) -> tuple[int, int, int]:
    """Return the part's (across, facing, along) axes in the rest frame."""
    if part.endswith(("arm", "hand")):
        return (1, 2, 0)
    return (0, 1, 2) if part.endswith("foot") else (0, 2, 1)


def _packed(
    points: Float[np.ndarray, "uv 2"], chart: Int[np.ndarray, " uv"]
) -> Float[np.ndarray, "uv 2"]:
    """Return the points with every chart moved to its own place, all scaled into 0..1."""
    charts, chart = np.unique(chart, return_inverse=True)
    low = np.full((len(charts), 2), np.inf)
    high = np.full((len(charts), 2), -np.inf)
    np.minimum.at(low, chart, points)
    np.maximum.at(high, chart, points)
    sizes = high - low + 2 * GAP_M
    square = np.sqrt(sizes.prod(axis=1).sum())
    widths = np.maximum(square * np.linspace(1.0, 1.4, 9), sizes[:, 0].max())
    corners, side = min(
        (_shelves(sizes, width) for width in widths), key=lambda shelves: shelves[1]
    )
    placed: Float[np.ndarray, "uv 2"] = (points - low[chart] + GAP_M + corners[chart]) / side
    return placed


def _shelves(
    sizes: Float[np.ndarray, "chart 2"], width: float
) -> tuple[Float[np.ndarray, "chart 2"], float]:
    """Return each chart's lower corner on shelves of this width, and the side of the square."""
    corners = np.zeros_like(sizes)
    x = y = shelf = 0.0
    for index in np.argsort(-sizes[:, 1], kind="stable"):
        if x + sizes[index, 0] > width:
            x, y, shelf = 0.0, y + shelf, 0.0
        corners[index] = x, y
        x, shelf = x + sizes[index, 0], max(shelf, sizes[index, 1])
    return corners, max(width, y + shelf)
