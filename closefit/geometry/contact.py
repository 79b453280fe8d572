"""Where two bodies are near each other, in plain numpy: what a picture shows of a contact."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

CONTACT_M = 0.01
"""Reported as contact: vertices of two people nearer than this."""

LIT_M = 0.025
"""While two people touch, their skin is lit so near to each other: what touches is hidden."""


def lit_skin(vertices: Float[np.ndarray, "2 vertex 3"]) -> Bool[np.ndarray, "2 vertex"]:
    """Return which vertices of both people (metres) lie around a contact.

    None do where the two do not touch.
    """
    lit, nearest_m = np.zeros(vertices.shape[:2], bool), np.inf
    for person, (own, other) in enumerate(((0, 1), (1, 0))):
        low, high = vertices[other].min(0) - LIT_M, vertices[other].max(0) + LIT_M
        near = np.flatnonzero(((vertices[own] > low) & (vertices[own] < high)).all(-1))
        if len(near) == 0:
            return lit
        tree = cKDTree(vertices[other], balanced_tree=False, compact_nodes=False)
        distance, _ = tree.query(vertices[own, near], distance_upper_bound=LIT_M)
        lit[person, near[distance < LIT_M]] = True
        nearest_m = min(nearest_m, float(distance.min()))
    return lit if nearest_m < CONTACT_M else np.zeros_like(lit)
