"""Which parts of two people touch, when, how near, how deep; and `contacts.csv`.

Two parts touch in a frame where a vertex of one is within `CONTACT_M` of a vertex of the other, or
inside the other person nearest to that part. Which of these are reported, and how probable they
are, is up to `quality.contact_probability`. Frames count from 0 and seconds from frame 0.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from closefit.body.skeleton import PART_NAMES
from closefit.geometry.contact import CONTACT_M
from closefit.geometry.penetration import penetration_depth, surface_gap
from closefit.geometry.units import MM_PER_M
from closefit.storage.artifacts import atomic_write

NUM_PARTS = len(PART_NAMES)

NEAR_M = 0.08
"""Parts farther apart than this are not looked at."""

PLAUSIBLE_DEPTH_MM = 40.0
"""Deeper inside each other than this, parts do not count as touching: the poses are wrong.

Of pairs that deep, few touch in the truth (docs/experiments.md).
"""

TABLE_HEADER = (
    "start s", "end s", "first frame", "last frame", "part of person 0", "part of person 1",
    "smallest distance mm", "max penetration mm", "mean probability", "max probability",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Contacts:
    """Contact of two people over a range of frames; part axes are person 0's, then person 1's.

    Attributes:
        gap_m: Smallest distance between vertices of the two.
        mean_depth_mm: Mean penetration over all vertices of both (A-PD).
        max_depth_mm: Deepest penetration.
        distance_m: Smallest distance of touching parts; infinite where they do not touch.
        near_m: Smallest distance of parts within `NEAR_M`, 0 where one is inside; infinite beyond.
        probability: That the parts truly touch (`contact_probability`). Geometry alone, as of the
            truth, says 1 where they touch and 0 elsewhere.
        depth_mm: Deepest penetration between two parts.
        place_m: Middle of what touches, in the frame of the vertices; NaN where nothing does.
    """

    gap_m: Float[np.ndarray, " frame"]
    mean_depth_mm: Float[np.ndarray, " frame"]
    max_depth_mm: Float[np.ndarray, " frame"]
    distance_m: Float[np.ndarray, "frame part part"]
    near_m: Float[np.ndarray, "frame part part"]
    depth_mm: Float[np.ndarray, "frame part part"]
    place_m: Float[np.ndarray, "frame part part 3"]
    probability: Float[np.ndarray, "frame part part"]

    @property
    def touching(self) -> Bool[np.ndarray, " frame"]:
        """Frames in which the surfaces touch, whichever pairs of parts are reported."""
        return np.asarray((self.gap_m < CONTACT_M) | (self.max_depth_mm > 0.0))

    @property
    def implausible(self) -> Bool[np.ndarray, "frame part part"]:
        """Where parts are deeper inside each other than bodies can be."""
        return np.asarray(self.depth_mm > PLAUSIBLE_DEPTH_MM)


@dataclass(frozen=True)
class Touch:
    """An unbroken contact of one part of each person; both frames belong to it."""

    first_frame: int
    last_frame: int
    part_0: str
    part_1: str
    distance_mm: float
    penetration_mm: float
    mean_probability: float
    max_probability: float


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
    near_m = np.full((frames, NUM_PARTS, NUM_PARTS), np.inf)
    depth_mm = np.zeros((frames, NUM_PARTS, NUM_PARTS))
    places = _Places(frames)
    gap_m = surface_gap(vertices).cpu().numpy().astype(np.float64)
    depths = [
        _add_depths(vertices, faces, parts, person, depth_mm, near_m, places) for person in range(2)
    ]
    for frame in np.flatnonzero(gap_m < NEAR_M):
        first, second = vertices[frame].cpu().numpy()
        for person, (own, other) in enumerate(((first, second), (second, first))):
            near = _near_pairs(own, other, parts)
            pair = (near.own, near.other) if person == 0 else (near.other, near.own)
            np.minimum.at(near_m[frame], pair, near.distance_m)
            touch = near.distance_m < CONTACT_M
            pair = pair[0][touch], pair[1][touch]
            places.add((np.full(len(pair[0]), frame), *pair), own[near.vertex[touch]])
    both = np.concatenate(depths, axis=1)
    touching = near_m < CONTACT_M
    return Contacts(
        gap_m=gap_m,
        mean_depth_mm=both.mean(axis=1),
        max_depth_mm=both.max(axis=1),
        distance_m=np.where(touching, near_m, np.inf),
        near_m=near_m,
        depth_mm=depth_mm,
        place_m=places.means(),
        probability=touching.astype(np.float64),
    )


def join(parts: list[Contacts]) -> Contacts:
    """Put consecutive ranges together."""
    return Contacts(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Contacts.__annotations__
        }
    )


def ranges_of(frames: Bool[np.ndarray, " frame"]) -> list[tuple[int, int]]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]).astype(int)))
    return [(int(start), int(end) - 1) for start, end in edges.reshape(-1, 2)]


def touches(contacts: Contacts) -> list[Touch]:
    """Every contact of two parts in order of its beginning."""
    found = []
    for first, second in np.argwhere(np.isfinite(contacts.distance_m).any(axis=0)).tolist():
        distance = contacts.distance_m[:, first, second]
        for start, end in ranges_of(np.isfinite(distance)):
            frames = slice(start, end + 1)
            probability = contacts.probability[frames, first, second]
            found.append(
                Touch(
                    start,
                    end,
                    PART_NAMES[first],
                    PART_NAMES[second],
                    round(MM_PER_M * float(distance[frames].min()), 2),
                    round(float(contacts.depth_mm[frames, first, second].max()), 2),
                    round(float(probability.mean()), 3),
                    round(float(probability.max()), 3),
                )
            )
    return sorted(found, key=lambda touch: (touch.first_frame, touch.last_frame))


def write_contact_table(
    path: Path, found: list[Touch], times_s: Float[np.ndarray, " frame"]
) -> None:
    """Write one row per contact as CSV, for spreadsheets."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(TABLE_HEADER)
    since = times_s - times_s[0]
    for touch in found:
        ends = (touch.first_frame, touch.last_frame)
        seconds = (f"{since[frame]:.3f}" for frame in ends)
        parts = (touch.part_0, touch.part_1)
        probabilities = (touch.mean_probability, touch.max_probability)
        figures = (touch.distance_mm, touch.penetration_mm, *probabilities)
        rows.writerow([*seconds, *ends, *parts, *figures])
    with atomic_write(path) as file:
        file.write(table.getvalue().encode())


@dataclass(frozen=True, eq=False)
class _Near:
    """Vertices of one person near the other: number, both parts, distance."""

    vertex: Int[np.ndarray, " near"]
    own: Int[np.ndarray, " near"]
    other: Int[np.ndarray, " near"]
    distance_m: Float[np.ndarray, " near"]


class _Places:
    """Means of positions over (frame, part of person 0, part of person 1)."""

    def __init__(self, frames: int) -> None:
        self._sum = np.zeros((frames, NUM_PARTS, NUM_PARTS, 3), np.float32)
        self._count = np.zeros((frames, NUM_PARTS, NUM_PARTS), np.float32)

    def add(
        self, place: tuple[Int[np.ndarray, " near"], ...], points: Float[np.ndarray, "near 3"]
    ) -> None:
        np.add.at(self._sum, place, points)
        np.add.at(self._count, place, 1.0)

    def means(self) -> Float[np.ndarray, "frame part part 3"]:
        count = self._count[..., None]
        return np.where(count > 0, self._sum / np.maximum(count, 1.0), np.float32(np.nan))


def _add_depths(
    vertices: Float[Tensor, "frame 2 vertex 3"],
    faces: Int[Tensor, "face 3"],
    parts: Int[np.ndarray, " vertex"],
    person: int,
    depth_mm: Float[np.ndarray, "frame part part"],
    distance_m: Float[np.ndarray, "frame part part"],
    places: _Places,
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
    places.add(place, vertices[:, person].cpu().numpy()[frame, vertex])
    return depths


def _near_pairs(
    points: Float[np.ndarray, "vertex 3"],
    others: Float[np.ndarray, "vertex 3"],
    parts: Int[np.ndarray, " vertex"],
) -> _Near:
    """Each point within `NEAR_M` of the others, and the nearest of these."""
    low, high = others.min(0) - NEAR_M, others.max(0) + NEAR_M
    candidates = np.flatnonzero(((points > low) & (points < high)).all(axis=1))
    distance, nearest = cKDTree(others).query(points[candidates], distance_upper_bound=NEAR_M)
    near = np.isfinite(distance)
    vertex = candidates[near]
    return _Near(vertex, parts[vertex], parts[nearest[near]], distance[near])
