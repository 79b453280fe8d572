"""`contacts.json`: which parts of the two people touch, in which frames, how near and how deep.

Two parts touch in a frame where a vertex of one is within `CONTACT_M` of a vertex of the other, or
inside the other person nearest to that part.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from closefit.body.skeleton import PART_NAMES
from closefit.geometry.penetration import MM_PER_M, penetration_depth, surface_gap
from closefit.geometry.touching import CONTACT_M
from closefit.storage.artifacts import atomic_write

NUM_PARTS = len(PART_NAMES)


@dataclass(frozen=True, eq=False)
class Contacts:
    """Contact of two people over a range of frames; part axes are person 0's, then person 1's.

    Attributes:
        gap_m: Smallest distance between vertices of the two.
        mean_depth_mm: Mean penetration over all vertices of both (A-PD).
        max_depth_mm: Deepest penetration.
        distance_m: Smallest distance of touching parts; infinite where they do not touch.
        depth_mm: Deepest penetration between two parts.
    """

    gap_m: Float[np.ndarray, " frame"]
    mean_depth_mm: Float[np.ndarray, " frame"]
    max_depth_mm: Float[np.ndarray, " frame"]
    distance_m: Float[np.ndarray, "frame part part"]
    depth_mm: Float[np.ndarray, "frame part part"]

    @property
    def touching(self) -> Bool[np.ndarray, " frame"]:
        """Frames with contact."""
        touching: Bool[np.ndarray, " frame"] = np.isfinite(self.distance_m).any(axis=(1, 2))
        return touching


def find_contacts(
    vertices: Float[Tensor, "frame 2 vertex 3"],
    faces: Int[Tensor, "face 3"],
    vertex_parts: Int[Tensor, " vertex"],
) -> Contacts:
    """Measure the contact of two posed bodies (metres) in each frame.

    `vertex_parts` holds the index of each vertex' body part in `PART_NAMES`.
    """
    frames = len(vertices)
    parts = vertex_parts.cpu().numpy()
    distance = np.full((frames, NUM_PARTS, NUM_PARTS), np.inf)
    depth_mm = np.zeros((frames, NUM_PARTS, NUM_PARTS))
    gap_m = surface_gap(vertices).cpu().numpy().astype(np.float64)
    depths = [
        _add_depths(vertices, faces, parts, person, depth_mm, distance) for person in range(2)
    ]
    for frame in np.flatnonzero(gap_m < CONTACT_M):
        first, second = vertices[frame].cpu().numpy()
        _add_near_pairs(first, second, parts, distance[frame])
        _add_near_pairs(second, first, parts, distance[frame].T)
    both = np.concatenate(depths, axis=1)
    return Contacts(
        gap_m=gap_m,
        mean_depth_mm=both.mean(axis=1),
        max_depth_mm=both.max(axis=1),
        distance_m=distance,
        depth_mm=depth_mm,
    )


def join(parts: list[Contacts]) -> Contacts:
    """Put consecutive ranges together."""
    return Contacts(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Contacts.__annotations__
        }
    )


def write_contacts(
    path: Path, contacts: Contacts, times_s: Float[np.ndarray, " frame"], fps: float
) -> None:
    """Write the contacts of a clip as JSON; frames count from 0, ranges include both ends."""
    pairs = [
        _describe(contacts, first, second, times_s)
        for first, second in np.argwhere(np.isfinite(contacts.distance_m).any(axis=0)).tolist()
    ]
    pairs.sort(key=lambda pair: -pair["num_frames"])
    content = {
        "fps": fps,
        "num_frames": len(times_s),
        "contact_distance_m": CONTACT_M,
        "frames_in_contact": _ranges(contacts.touching),
        "contacts": pairs,
        "per_frame": {
            "gap_m": _rounded(contacts.gap_m, 5),
            "mean_penetration_mm": _rounded(contacts.mean_depth_mm, 5),
            "max_penetration_mm": _rounded(contacts.max_depth_mm, 3),
        },
    }
    with atomic_write(path) as file:
        file.write(_readable_json(content).encode())


def _add_depths(
    vertices: Float[Tensor, "frame 2 vertex 3"],
    faces: Int[Tensor, "face 3"],
    parts: Int[np.ndarray, " vertex"],
    person: int,
    depth_mm: Float[np.ndarray, "frame part part"],
    distance_m: Float[np.ndarray, "frame part part"],
) -> Float[np.ndarray, "frame vertex"]:
    """Note which parts of `person` are how deep in which of the other; returns all depths in mm."""
    inside = penetration_depth(vertices[:, person], vertices[:, 1 - person], faces)
    depths = MM_PER_M * inside.depth.cpu().numpy().astype(np.float64)
    frame, vertex = np.nonzero(depths)
    own = parts[vertex]
    other = parts[faces[:, 0].cpu().numpy()[inside.face.cpu().numpy()[frame, vertex]]]
    place = (frame, own, other) if person == 0 else (frame, other, own)
    np.maximum.at(depth_mm, place, depths[frame, vertex])
    distance_m[place] = 0.0
    return depths


def _add_near_pairs(
    points: Float[np.ndarray, "vertex 3"],
    others: Float[np.ndarray, "vertex 3"],
    parts: Int[np.ndarray, " vertex"],
    distance_m: Float[np.ndarray, "part part"],
) -> None:
    """Lower the distances (own part, other part) by each point's nearest point of the others."""
    low, high = others.min(0) - CONTACT_M, others.max(0) + CONTACT_M
    candidates = np.flatnonzero(((points > low) & (points < high)).all(axis=1))
    distance, nearest = cKDTree(others).query(points[candidates], distance_upper_bound=CONTACT_M)
    near = np.isfinite(distance)
    place = (parts[candidates[near]], parts[nearest[near]])
    np.minimum.at(distance_m, place, distance[near])


def _describe(
    contacts: Contacts, first: int, second: int, times_s: Float[np.ndarray, " frame"]
) -> dict[str, Any]:
    """Everything about one pair of parts."""
    distance = contacts.distance_m[:, first, second]
    touching = np.isfinite(distance)
    ranges = _ranges(touching)
    return {
        "person_0": PART_NAMES[first],
        "person_1": PART_NAMES[second],
        "num_frames": int(touching.sum()),
        "frames": ranges,
        "seconds": [[round(float(times_s[frame]), 4) for frame in pair] for pair in ranges],
        "smallest_distance_m": round(float(distance.min()), 5),
        "max_penetration_mm": round(float(contacts.depth_mm[:, first, second].max()), 3),
    }


def _readable_json(content: dict[str, Any]) -> str:
    """JSON with a line per entry, and a line per item of lists of objects."""

    def text(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n    " + ",\n    ".join(json.dumps(item) for item in value) + "\n  ]"
        return json.dumps(value)

    entries = (f"  {json.dumps(key)}: {text(value)}" for key, value in content.items())
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _ranges(frames: Bool[np.ndarray, " frame"]) -> list[list[int]]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]).astype(int)))
    return [[int(start), int(end) - 1] for start, end in edges.reshape(-1, 2)]


def _rounded(values: Float[np.ndarray, " frame"], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
