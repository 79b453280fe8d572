"""`contacts.json` and `contacts.csv`: which parts of two people touch, when, how near, how deep.

Two parts touch in a frame where a vertex of one is within `CONTACT_M` of a vertex of the other, or
inside the other person nearest to that part. Frames count from 0 and seconds from frame 0.
"""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

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

TABLE_HEADER = (
    "start s", "end s", "first frame", "last frame", "part of person 0", "part of person 1",
    "smallest distance mm", "max penetration mm",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Contacts:
    """Contact of two people over a range of frames; part axes are person 0's, then person 1's.

    Attributes:
        gap_m: Smallest distance between vertices of the two.
        mean_depth_mm: Mean penetration over all vertices of both (A-PD).
        max_depth_mm: Deepest penetration.
        distance_m: Smallest distance of touching parts; infinite where they do not touch.
        depth_mm: Deepest penetration between two parts.
        place_m: Middle of what touches, in the frame of the vertices; NaN where nothing does.
    """

    gap_m: Float[np.ndarray, " frame"]
    mean_depth_mm: Float[np.ndarray, " frame"]
    max_depth_mm: Float[np.ndarray, " frame"]
    distance_m: Float[np.ndarray, "frame part part"]
    depth_mm: Float[np.ndarray, "frame part part"]
    place_m: Float[np.ndarray, "frame part part 3"]

    @property
    def touching(self) -> Bool[np.ndarray, " frame"]:
        """Frames with contact."""
        touching: Bool[np.ndarray, " frame"] = np.isfinite(self.distance_m).any(axis=(1, 2))
        return touching


@dataclass(frozen=True)
class Touch:
    """An unbroken contact of one part of each person; both frames belong to it."""

    first_frame: int
    last_frame: int
    part_0: str
    part_1: str
    distance_mm: float
    penetration_mm: float


class PartContact(TypedDict):
    """Contact of one body part of each person, over the whole clip.

    Attributes:
        person_0: Part of person 0.
        person_1: Part of person 1.
        num_frames: Number of frames with contact.
        frames: First and last frame of each unbroken contact; both belong to it.
        seconds: The same in seconds from frame 0.
        smallest_distance_m: Smallest distance of the parts' vertices; 0 where one is inside.
        max_penetration_mm: Deepest penetration.
        distance_mm: Smallest distance in each frame with contact, in order of frames.
        penetration_mm: Deepest penetration in each frame with contact.
        place_m: Middle of what touches, in the frame of `scene.glb`, in each frame with contact.
    """

    person_0: str
    person_1: str
    num_frames: int
    frames: list[list[int]]
    seconds: list[list[float]]
    smallest_distance_m: float
    max_penetration_mm: float
    distance_mm: list[float]
    penetration_mm: list[float]
    place_m: list[list[float]]


class FrameContact(TypedDict):
    """Lists with an entry per frame of the clip.

    Attributes:
        gap_m: Smallest distance between vertices of the two.
        mean_penetration_mm: Mean penetration over all vertices of both (A-PD).
        max_penetration_mm: Deepest penetration.
    """

    gap_m: list[float]
    mean_penetration_mm: list[float]
    max_penetration_mm: list[float]


class ContactsContent(TypedDict):
    """Content of `contacts.json`.

    Attributes:
        fps: Frames per second.
        num_frames: Number of frames.
        start_s: Time of frame 0 in the source video.
        contact_distance_m: Vertices nearer to each other than this touch.
        frames_in_contact: First and last frame of each stretch in which the two touch.
        contacts: Each pair of parts that touch, the longest contact first.
        per_frame: Both people as wholes, frame by frame.
    """

    fps: float
    num_frames: int
    start_s: float
    contact_distance_m: float
    frames_in_contact: list[list[int]]
    contacts: list[PartContact]
    per_frame: FrameContact


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
    places = _Places(frames)
    gap_m = surface_gap(vertices).cpu().numpy().astype(np.float64)
    depths = [
        _add_depths(vertices, faces, parts, person, depth_mm, distance, places)
        for person in range(2)
    ]
    for frame in np.flatnonzero(gap_m < CONTACT_M):
        first, second = vertices[frame].cpu().numpy()
        for person, (own, other) in enumerate(((first, second), (second, first))):
            near = _near_pairs(own, other, parts)
            pair = (near.own, near.other) if person == 0 else (near.other, near.own)
            np.minimum.at(distance[frame], pair, near.distance_m)
            places.add((np.full(len(near.own), frame), *pair), own[near.vertex])
    both = np.concatenate(depths, axis=1)
    return Contacts(
        gap_m=gap_m,
        mean_depth_mm=both.mean(axis=1),
        max_depth_mm=both.max(axis=1),
        distance_m=distance,
        depth_mm=depth_mm,
        place_m=places.means(),
    )


def join(parts: list[Contacts]) -> Contacts:
    """Put consecutive ranges together."""
    return Contacts(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Contacts.__annotations__
        }
    )


def touches(contacts: Contacts) -> list[Touch]:
    """Every contact of two parts in order of its beginning."""
    found = []
    for first, second in np.argwhere(np.isfinite(contacts.distance_m).any(axis=0)).tolist():
        distance = contacts.distance_m[:, first, second]
        for start, end in _ranges(np.isfinite(distance)):
            frames = slice(start, end + 1)
            found.append(
                Touch(
                    start,
                    end,
                    PART_NAMES[first],
                    PART_NAMES[second],
                    round(MM_PER_M * float(distance[frames].min()), 2),
                    round(float(contacts.depth_mm[frames, first, second].max()), 2),
                )
            )
    return sorted(found, key=lambda touch: (touch.first_frame, touch.last_frame))


def write_contacts(
    path: Path,
    contacts: Contacts,
    times_s: Float[np.ndarray, " frame"],
    fps: float,
    T_scene_camera: Float[np.ndarray, "4 4"],
) -> None:
    """Write the contacts of a clip as JSON; ranges include both ends.

    `times_s` are times in the source video, `T_scene_camera` moves the places of the contacts into
    the frame of `scene.glb`.
    """
    pairs = [
        _describe(contacts, first, second, times_s - times_s[0], T_scene_camera)
        for first, second in np.argwhere(np.isfinite(contacts.distance_m).any(axis=0)).tolist()
    ]
    pairs.sort(key=lambda pair: -pair["num_frames"])
    content: ContactsContent = {
        "fps": fps,
        "num_frames": len(times_s),
        "start_s": round(float(times_s[0]), 4),
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
        rows.writerow([*seconds, *ends, *parts, touch.distance_mm, touch.penetration_mm])
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
    """Each point within `CONTACT_M` of the others, and the nearest of these."""
    low, high = others.min(0) - CONTACT_M, others.max(0) + CONTACT_M
    candidates = np.flatnonzero(((points > low) & (points < high)).all(axis=1))
    distance, nearest = cKDTree(others).query(points[candidates], distance_upper_bound=CONTACT_M)
    near = np.isfinite(distance)
    vertex = candidates[near]
    return _Near(vertex, parts[vertex], parts[nearest[near]], distance[near])


def _describe(
    contacts: Contacts,
    first: int,
    second: int,
    times_s: Float[np.ndarray, " frame"],
    T_scene_camera: Float[np.ndarray, "4 4"],
) -> PartContact:
    """Everything about one pair of parts; the lists have an entry per frame with contact."""
    distance, depth = contacts.distance_m[:, first, second], contacts.depth_mm[:, first, second]
    touching = np.isfinite(distance)
    ranges = _ranges(touching)
    places = contacts.place_m[touching, first, second] @ T_scene_camera[:3, :3].T
    places = np.round(places + T_scene_camera[:3, 3], 4)
    return {
        "person_0": PART_NAMES[first],
        "person_1": PART_NAMES[second],
        "num_frames": int(touching.sum()),
        "frames": ranges,
        "seconds": [[round(float(times_s[frame]), 4) for frame in pair] for pair in ranges],
        "smallest_distance_m": round(float(distance.min()), 5),
        "max_penetration_mm": round(float(depth.max()), 3),
        "distance_mm": _rounded(MM_PER_M * distance[touching], 2),
        "penetration_mm": _rounded(depth[touching], 2),
        "place_m": places.tolist(),
    }


def _readable_json(content: ContactsContent) -> str:
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


def _rounded(values: Float[np.ndarray, " value"], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
