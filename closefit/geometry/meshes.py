"""Triangle meshes as index arrays: connected parts, and coarse closed copies of a mesh."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

MIN_NORMAL_AGREEMENT = 0.2
"""Least cosine between a triangle's normals before and after a collapse."""

SMALLEST_CLOSED = 4
"""Vertices of a tetrahedron."""

EDGES_PER_ROUND = 0.15
MIN_PER_ROUND = 256
"""One round considers this share of the collapses, cheapest first, and at least so many."""


def largest_component(
    faces: Int[np.ndarray, "face 3"], num_vertices: int
) -> Bool[np.ndarray, " face"]:
    """Which faces belong to the connected part with the most faces.

    A body's eyes, teeth and tongue are closed parts inside its skin; the skin is the largest.
    """
    graph = _adjacency(faces, num_vertices)
    _, label = connected_components(graph, directed=False)
    face_label = label[faces[:, 0]]
    outer: Bool[np.ndarray, " face"] = face_label == np.bincount(face_label).argmax()
    return outer


def closed_proxy(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], target: int
) -> tuple[Int[np.ndarray, " proxy_vertex"], Int[np.ndarray, "proxy_face 3"]]:
    """Coarsen the largest closed part of a mesh to about `target` of its own vertices.

    Vertices collapse onto neighbours in order of quadric error (Garland and Heckbert 1997), so the
    proxy's vertices are vertices of the mesh and move with it. A collapse that would pinch the
    surface or turn a triangle over is left out, so the proxy of a closed surface is closed.
    Deterministic. Collapses whose surroundings are disjoint are done together, in rounds.

    Args:
        vertices: Positions in metres, in the rest pose.
        faces: Triangles, counter-clockwise from outside.
        target: Number of vertices to stop at; slightly more may stay.

    Returns:
        Indices of the kept vertices in the mesh, and faces that index into these.
    """
    position = vertices.astype(np.float64)
    coarse = faces[largest_component(faces, len(vertices))].astype(np.int64)
    quadrics = _vertex_quadrics(position, coarse)
    least = max(target, SMALLEST_CLOSED)
    while (excess := len(np.unique(coarse)) - least) > 0:
        source, sink = _independent_collapses(position, coarse, quadrics, excess)
        if len(source) == 0:
            break
        np.add.at(quadrics, sink, quadrics[source])
        moved_to = np.arange(len(vertices))
        moved_to[source] = sink
        coarse = moved_to[coarse]
        distinct = (coarse != np.roll(coarse, 1, axis=1)).all(axis=1)
        coarse = coarse[distinct]
    kept, proxy_faces = np.unique(coarse, return_inverse=True)
    return kept, proxy_faces.reshape(-1, 3)


def kept_proxy(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], target: int
) -> tuple[Int[np.ndarray, " proxy_vertex"], Int[np.ndarray, "proxy_face 3"]]:
    """`closed_proxy`, which takes seconds, once per body: all clips of a batch have the same.

    The arrays are shared; copy what is to be changed.
    """
    key = vertices.tobytes(), str(vertices.dtype), faces.tobytes(), str(faces.dtype)
    return _proxy_of(*key, target)


@lru_cache(maxsize=4)
def _proxy_of(
    vertices: bytes, vertex_type: str, faces: bytes, face_type: str, target: int
) -> tuple[Int[np.ndarray, " proxy_vertex"], Int[np.ndarray, "proxy_face 3"]]:
    positions = np.frombuffer(vertices, vertex_type).reshape(-1, 3)
    return closed_proxy(positions, np.frombuffer(faces, face_type).reshape(-1, 3), target)


def _adjacency(faces: Int[np.ndarray, "face 3"], num_vertices: int) -> csr_matrix:
    """Symmetric 0/1 matrix of vertices that share an edge."""
    start = faces[:, [0, 1, 2, 1, 2, 0]].ravel()
    end = faces[:, [1, 2, 0, 0, 1, 2]].ravel()
    graph = coo_matrix((np.ones(len(start)), (start, end)), shape=(num_vertices, num_vertices))
    graph = graph.tocsr()
    graph.data[:] = 1.0
    return graph


def _vertex_quadrics(
    position: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> Float[np.ndarray, "vertex 4 4"]:
    """Sum over each vertex's faces of area times squared distance to the plane, as a form."""
    normal = _normals(position[faces])
    area = np.linalg.norm(normal, axis=-1, keepdims=True)
    unit = normal / np.maximum(area, 1e-20)
    plane = np.concatenate([unit, -(unit * position[faces[:, 0]]).sum(-1, keepdims=True)], axis=-1)
    form = area[..., None] * plane[:, :, None] * plane[:, None, :]
    quadrics = np.zeros((len(position), 4, 4))
    for corner in range(3):
        np.add.at(quadrics, faces[:, corner], form)
    return quadrics


def _independent_collapses(
    position: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    quadrics: Float[np.ndarray, "vertex 4 4"],
    most: int,
) -> tuple[Int[np.ndarray, " collapse"], Int[np.ndarray, " collapse"]]:
    """Choose cheap collapses source -> sink that do not touch each other's triangles."""
    num_vertices = len(position)
    graph = _adjacency(faces, num_vertices)
    source, sink = graph.nonzero()
    # A closed surface stays one only if the edge's ends share just the two opposite corners.
    shared = np.asarray((graph @ graph)[source, sink]).ravel()
    source, sink = source[shared == 2], sink[shared == 2]
    homogeneous = np.concatenate([position[sink], np.ones((len(sink), 1))], axis=-1)
    form = quadrics[source] + quadrics[sink]
    cost = np.einsum("ei,eij,ej->e", homogeneous, form, homogeneous)
    # The edge length breaks ties on flat ground, where every quadric error is zero.
    cost += 1e-9 * ((position[source] - position[sink]) ** 2).sum(-1)
    order = np.argsort(cost, kind="stable")[: max(MIN_PER_ROUND, int(EDGES_PER_ROUND * len(cost)))]
    source, sink = source[order], sink[order]
    keep = _keeps_orientation(position, faces, source, sink)
    source, sink = source[keep], sink[keep]
    _, cheapest = np.unique(source, return_index=True)
    source, sink = source[np.sort(cheapest)], sink[np.sort(cheapest)]
    chosen = _disjoint_neighbourhoods(graph, source)[:most]
    return source[chosen], sink[chosen]


def _keeps_orientation(
    position: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    source: Int[np.ndarray, " edge"],
    sink: Int[np.ndarray, " edge"],
) -> Bool[np.ndarray, " edge"]:
    """Whether moving `source` to `sink` leaves all its other triangles facing their way."""
    corner_vertex = faces.T.ravel()
    corner_face = np.tile(np.arange(len(faces)), 3)
    incidence = csr_matrix(
        (np.ones(len(corner_face)), (corner_vertex, corner_face)),
        shape=(len(position), len(faces)),
    )
    start, count = incidence.indptr[source], np.diff(incidence.indptr)[source]
    edge = np.repeat(np.arange(len(source)), count)
    place = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    around = faces[incidence.indices[start[edge] + place]]
    stays = (around != sink[edge, None]).all(axis=1)
    edge, around = edge[stays], around[stays]
    before = _normals(position[around])
    after = _normals(position[np.where(around == source[edge, None], sink[edge, None], around)])
    agreement = (before * after).sum(-1)
    lengths = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    turned = agreement <= MIN_NORMAL_AGREEMENT * lengths
    keeps: Bool[np.ndarray, " edge"] = np.bincount(edge[turned], minlength=len(source)) == 0
    return keeps


def _disjoint_neighbourhoods(
    graph: csr_matrix, source: Int[np.ndarray, " collapse"]
) -> Int[np.ndarray, " chosen"]:
    """Positions in `source` of vertices that come first within two edges of themselves."""
    unranked = len(source)
    rank = np.full(graph.shape[0], unranked)
    rank[source] = np.arange(unranked)
    start, end = graph.nonzero()
    least = rank.copy()
    for _ in range(2):
        spread = least.copy()
        np.minimum.at(spread, start, least[end])
        least = spread
    chosen: Int[np.ndarray, " chosen"] = np.flatnonzero(least[source] == np.arange(unranked))
    return chosen


def _normals(corners: Float[np.ndarray, "face 3 3"]) -> Float[np.ndarray, "face 3"]:
    """Normals of triangles, twice their area long, outwards."""
    normals: Float[np.ndarray, "face 3"] = np.cross(
        corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    )
    return normals
