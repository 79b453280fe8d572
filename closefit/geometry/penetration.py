"""Penetration depth of two bodies, and the gap between them.

A point is inside a body where the winding number of its closed surface exceeds 1/2; its depth is
the distance to the nearest point of that surface. Both come from warp's bounding volume hierarchy
(CPU and CUDA, 32 bit), built once per call and refitted to each body, as bodies share their
triangles.
"""

import atexit
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from closefit.geometry.meshes import kept_proxy
from closefit.geometry.units import MM_PER_M

REACH_M = 0.25
"""No point inside a person is farther than this from the skin."""

PROXY_VERTICES = 2000
"""Vertices of a proxy: its surface is then 0.9 mm from the skin on average, 2.6 mm for 95 %."""

SPACING_M = 4.0
"""Between the bodies that a GPU searches together: no body is longer, by far."""

PART_ROOM_M = 0.02
"""Room about the box of a limb segment, for what lies between several segments at a joint."""

COARSE_STEP = 24
"""Every so many vertices bound the smallest distance before it is searched exactly."""


@dataclass(frozen=True, eq=False)
class Penetration:
    """Points against one closed surface each.

    Attributes:
        depth: Metres below the surface; 0 outside.
        closest: Nearest surface point of the points inside; outside, the point itself.
        face: Face on which that lies; -1 outside.
    """

    depth: Float[Tensor, "body point"]
    closest: Float[Tensor, "body point 3"]
    face: Int[Tensor, "body point"]


def penetration_depth(
    points: Float[Tensor, "body point 3"],
    vertices: Float[Tensor, "body vertex 3"],
    faces: Int[Tensor, "face 3"],
) -> Penetration:
    """Depth of each set of points inside the body of the same index.

    Differentiable in points and vertices (not at the surface, where depth starts).

    Args:
        points: Metres.
        vertices: Vertices of the bodies in the same frames as the points.
        faces: Triangles of all bodies, counter-clockwise from outside. All closed parts count:
            eyeballs fill their sockets.
    """
    hits = _find_nearest(points.detach(), vertices.detach(), faces)
    nearest = hits.closest(vertices, faces)
    depth = points.new_zeros(points.shape[:2])
    depth[hits.body, hits.point] = (points[hits.body, hits.point] - nearest).norm(dim=-1)
    closest = points.clone()
    closest[hits.body, hits.point] = nearest
    face = torch.full_like(depth, -1, dtype=torch.int64)
    face[hits.body, hits.point] = hits.face
    return Penetration(depth=depth, closest=closest, face=face)


def average_penetration_depth_mm(
    vertices: Float[Tensor, "frame 2 vertex 3"], faces: Int[Tensor, "face 3"]
) -> Float[Tensor, " frame"]:
    """A-PD of each frame: mean depth over all vertices of both bodies, zeros included.

    Exact up to 32-bit rounding. The paper's figures come from a voxel grid and are not comparable.
    """
    with torch.no_grad():
        points, bodies = vertices.flip(1).flatten(0, 1), vertices.flatten(0, 1)
        hits = _find_nearest(points, bodies, faces)
        depth = (points[hits.body, hits.point] - hits.closest(bodies, faces)).norm(dim=-1)
        total = points.new_zeros(len(bodies)).index_add(0, hits.body, depth)
    return total.reshape(-1, 2).sum(1) * (MM_PER_M / (2 * vertices.shape[2]))


def surface_gap(vertices: Float[Tensor, "frame 2 vertex 3"]) -> Float[Tensor, " frame"]:
    """Smallest distance in metres between a vertex of one person and one of the other."""
    gaps = [_smallest_distance(*pair) for pair in vertices.detach().cpu().numpy()]
    return torch.tensor(gaps, dtype=vertices.dtype, device=vertices.device)


@dataclass(frozen=True, eq=False)
class PenetrationProxy:
    """A coarse closed copy of a body's skin, for the penetration term of the optimisation.

    Attributes:
        vertex_indices: The body's vertices that it consists of; pose only these.
        faces: Its triangles, indices into these.
        parts: Vertices of the triangles of each limb segment (rows padded by repetition). A point
            inside a body is inside the box of a segment, so that few points need a search.
    """

    vertex_indices: Int[Tensor, " vertex"]
    faces: Int[Tensor, "face 3"]
    parts: Int[Tensor, "part part_vertex"]

    @classmethod
    def create(
        cls,
        vertices: Float[Tensor, "body_vertex 3"],
        faces: Int[Tensor, "body_face 3"],
        num_vertices: int = PROXY_VERTICES,
        vertex_parts: Int[Tensor, " body_vertex"] | None = None,
    ) -> "PenetrationProxy":
        """Coarsen the skin of a body in its rest pose.

        Args:
            vertices: Rest pose, metres.
            faces: Triangles of the body.
            num_vertices: Size of the copy.
            vertex_parts: Limb segment of each vertex: the joint that moves it most.
        """
        kept, proxy_faces = kept_proxy(
            vertices.detach().cpu().numpy(), faces.cpu().numpy(), num_vertices
        )
        part = np.zeros(len(kept), np.int64)
        if vertex_parts is not None:
            part = vertex_parts.cpu().numpy()[kept]
        return cls(
            vertex_indices=torch.tensor(kept, device=faces.device),
            faces=torch.tensor(proxy_faces, device=faces.device),
            parts=torch.as_tensor(_vertices_of_parts(proxy_faces, part), device=faces.device),
        )

    def loss(self, vertices: Float[Tensor, "frame 2 vertex 3"]) -> Float[Tensor, ""]:
        """Squared depths in m^2 of both people's vertices in the other, as the paper's Eq. 7.

        Summed over the vertices of a frame, mean over frames. The gradient moves a vertex and the
        triangle it should leave through: for a fixed nearest triangle it is exact.

        Args:
            vertices: The posed proxy vertices of both people in one frame of reference.
        """
        points, bodies = vertices.flip(1).flatten(0, 1), vertices.flatten(0, 1)
        hits = _find_nearest(
            points.detach(), bodies.detach(), self.faces, self.parts, everywhere=vertices.is_cuda
        )
        out = hits.closest(bodies, self.faces) - points[hits.body, hits.point]
        return (out.square().sum(-1) * hits.weight).sum() / max(vertices.shape[0], 1)


@dataclass(frozen=True, eq=False)
class _Hits:
    """Points, and the nearest place on the surface of the body of the same index.

    `weight` is 1 inside a body and 0 outside, where the place is arbitrary.
    """

    body: Int[Tensor, " hit"]
    point: Int[Tensor, " hit"]
    face: Int[Tensor, " hit"]
    barycentric: Float[Tensor, "hit 3"]
    weight: Float[Tensor, " hit"]

    def closest(
        self, vertices: Float[Tensor, "body vertex 3"], faces: Int[Tensor, "face 3"]
    ) -> Float[Tensor, "hit 3"]:
        """Nearest surface points.

        Their barycentric coordinates are constants: at the nearest point the distance does not
        change to first order when the point slides on its triangle.
        """
        corners = vertices[self.body[:, None], faces[self.face]]
        return (corners * self.barycentric[..., None].to(corners)).sum(1)


@torch.no_grad()
def _find_nearest(
    points: Float[Tensor, "body point 3"],
    vertices: Float[Tensor, "body vertex 3"],
    faces: Int[Tensor, "face 3"],
    parts: Int[Tensor, "part part_vertex"] | None = None,
    *,
    everywhere: bool = False,
) -> _Hits:
    """Find the points inside the body of the same index, and their nearest faces.

    Only points in the box of a part (the whole body without `parts`) are searched. With
    `everywhere` all points are returned, so that a GPU need not report how many are inside.
    """
    low, high = vertices.amin(1, keepdim=True), vertices.amax(1, keepdim=True)
    # Near the origin 32 bits resolve a micrometre, however far the camera is.
    centre = 0.5 * (low + high)
    local_points = (points - centre).float().contiguous()
    local_vertices = (vertices - centre).float().contiguous()
    boxed = local_vertices[:, None] if parts is None else local_vertices[:, parts]
    room = 0.0 if parts is None else PART_ROOM_M
    boxes = torch.cat([boxed.amin(2) - room, boxed.amax(2) + room], dim=-1)
    if everywhere:
        face, barycentric = _search_together(local_points, local_vertices, faces, boxes)
    else:
        apart = ((points.amin(1) > high[:, 0]) | (points.amax(1) < low[:, 0])).any(-1)
        face, barycentric = _search_in_turn(local_points, local_vertices, faces, boxes, ~apart)
    if everywhere:
        number = torch.arange(face.numel(), device=face.device)
        body, point = number // points.shape[1], number % points.shape[1]
    else:
        body, point = torch.nonzero(face >= 0, as_tuple=True)
    found = face[body, point].long()
    weight = (found >= 0).to(barycentric.dtype)
    return _Hits(body, point, found.clamp_min(0), barycentric[body, point], weight)


def _search_in_turn(
    points: Float[Tensor, "body point 3"],
    vertices: Float[Tensor, "body vertex 3"],
    faces: Int[Tensor, "face 3"],
    boxes: Float[Tensor, "body part 6"],
    searched: Bool[Tensor, " body"],
) -> tuple[Int[Tensor, "body point"], Float[Tensor, "body point 3"]]:
    """Refit one hierarchy to each of the `searched` bodies in turn."""
    face = torch.full(points.shape[:2], -1, dtype=torch.int32, device=points.device)
    barycentric = torch.zeros_like(points)
    origin = torch.zeros(1, 3, device=points.device)
    mesh: Any = None
    for index in torch.nonzero(searched)[:, 0].tolist():
        skin: Any = wp.from_torch(vertices[index], dtype=wp.vec3)
        if mesh is None:
            mesh = wp.Mesh(skin, _triangles(faces), support_winding_number=True)
        else:
            mesh.points = skin
        one = slice(index, index + 1)
        _launch(mesh, boxes[one], points[one], origin, face[one], barycentric[one])
    return face, barycentric


def _search_together(
    points: Float[Tensor, "body point 3"],
    vertices: Float[Tensor, "body vertex 3"],
    faces: Int[Tensor, "face 3"],
    boxes: Float[Tensor, "body part 6"],
) -> tuple[Int[Tensor, "body point"], Float[Tensor, "body point 3"]]:
    """Place all bodies in one mesh, far apart on a grid, and search once.

    A closed surface adds nothing to the winding number outside it. A GPU is used better by one
    search than by many. On a grid of 6 x 6 x 6 bodies, 32 bits resolve 2 micrometres.
    """
    number = torch.arange(len(vertices), device=vertices.device)
    side = math.ceil(len(vertices) ** (1 / 3))
    cell = torch.stack([number % side, number // side % side, number // side**2], dim=-1)
    shift = SPACING_M * (cell - 0.5 * (side - 1))
    skin: Any = wp.from_torch((vertices + shift[:, None]).flatten(0, 1), dtype=wp.vec3)
    own_faces = faces + vertices.shape[1] * number[:, None, None]
    mesh = wp.Mesh(skin, _triangles(own_faces.flatten(0, 1)), support_winding_number=True)
    face = torch.full(points.shape[:2], -1, dtype=torch.int32, device=points.device)
    barycentric = torch.zeros_like(points)
    _launch(mesh, boxes, points, shift, face, barycentric)
    return torch.where(face >= 0, face - len(faces) * number[:, None].int(), -1), barycentric


def _triangles(faces: Int[Tensor, "face 3"]) -> Any:
    return wp.from_torch(faces.to(torch.int32).flatten())


def _launch(mesh: Any, boxes: Tensor, points: Tensor, shift: Tensor, *outputs: Tensor) -> None:
    """Search for all points; the outputs are faces and barycentric coordinates."""
    face, barycentric = outputs
    inputs = [
        mesh.id,
        wp.from_torch(boxes),
        wp.from_torch(points, dtype=wp.vec3),
        wp.from_torch(shift, dtype=wp.vec3),
        REACH_M,
    ]
    found = [wp.from_torch(face), wp.from_torch(barycentric, dtype=wp.vec3)]
    wp.launch(_nearest_face, points.shape[:2], inputs, found, device=mesh.points.device)


@wp.func
@no_type_check
def _is_in_box(p: wp.vec3, boxes: wp.array2d(dtype=wp.float32), k: wp.int32):
    """Whether a point is in box `k`, given by its lowest and highest corners."""
    return (
        (boxes[k, 0] < p[0] and p[0] < boxes[k, 3])
        and (boxes[k, 1] < p[1] and p[1] < boxes[k, 4])
        and (boxes[k, 2] < p[2] and p[2] < boxes[k, 5])
    )


@wp.kernel(enable_backward=False)
@no_type_check
def _nearest_face(
    mesh: wp.uint64,
    boxes: wp.array3d(dtype=wp.float32),
    points: wp.array2d(dtype=wp.vec3),
    shift: wp.array(dtype=wp.vec3),
    reach: wp.float32,
    face: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3),
):
    """Write the nearest face and the place on it for a point inside the mesh.

    The body of a point is in the mesh at `shift`.
    """
    body, index = wp.tid()
    p = points[body, index]
    k = wp.int32(0)
    while k < boxes.shape[1] and not _is_in_box(p, boxes[body], k):
        k += 1
    if k < boxes.shape[1]:
        query = wp.mesh_query_point_sign_winding_number(mesh, p + shift[body], reach)
        if query.result and query.sign < 0.0:
            face[body, index] = query.face
            barycentric[body, index] = wp.vec3(query.u, query.v, 1.0 - query.u - query.v)


def _vertices_of_parts(
    faces: Int[np.ndarray, "face 3"], part: Int[np.ndarray, " vertex"]
) -> Int[np.ndarray, "part part_vertex"]:
    """Vertices of all faces that touch each part; short rows repeat their first entry."""
    rows = [np.unique(faces[(part[faces] == number).any(1)]) for number in np.unique(part)]
    rows = [row for row in rows if len(row)]
    filled: Int[np.ndarray, "part part_vertex"] = np.stack(
        [np.pad(row, (0, max(map(len, rows)) - len(row)), mode="edge") for row in rows]
    )
    return filled


def _smallest_distance(
    first: Float[np.ndarray, "vertex 3"], second: Float[np.ndarray, "vertex 3"]
) -> float:
    """Smallest distance between two point sets: bounded coarsely, then searched in the overlap."""
    coarse, _ = cKDTree(first[::COARSE_STEP]).query(second[::COARSE_STEP])
    bound = float(coarse.min())
    first = first[_near_box(first, second, bound)]
    second = second[_near_box(second, first, bound)]
    distance, _ = cKDTree(first).query(second, distance_upper_bound=bound * 1.0001 + 1e-9)
    return float(distance.min())


def _near_box(
    points: Float[np.ndarray, "point 3"], others: Float[np.ndarray, "other 3"], margin: float
) -> Bool[np.ndarray, " point"]:
    """Whether each point is within `margin` of the others' bounding box."""
    low, high = others.min(0) - margin, others.max(0) + margin
    near: Bool[np.ndarray, " point"] = ((points >= low) & (points <= high)).all(-1)
    return near


def _start_warp() -> None:
    """Start warp quietly, with a place for compiled kernels that can be written to."""
    wp.config.log_level = wp.LOG_ERROR
    folder = os.environ.get("WARP_CACHE_PATH") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "closefit", "warp"
    )
    try:
        if os.path.isabs(folder):  # not so for a user without a home
            os.makedirs(folder, exist_ok=True)
    except OSError:
        pass
    writable = os.path.isabs(folder) and os.access(folder, os.W_OK)
    # A read-only home costs some seconds of compiling in every process, but stops nothing.
    if not writable:
        folder = tempfile.mkdtemp(prefix="closefit-warp-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    wp.config.kernel_cache_dir = folder
    with nullcontext() if torch.cuda.is_available() else _native_errors_hidden():
        wp.init()  # type: ignore[no-untyped-call]


@contextmanager
def _native_errors_hidden() -> Iterator[None]:
    """Drop what native code writes to stderr: without a GPU, warp reports that at every start."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


_start_warp()
