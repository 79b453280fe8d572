"""`contacts.json`: what it holds, writing it, and reading it back, checked.

The text of docs/formats.md comes from here. The folder may be somebody else's.
"""

import json
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from jaxtyping import Float
from msgspec import Meta

from closefit.body.skeleton import PART_NAMES
from closefit.boundary.files import read_json, typed
from closefit.boundary.ranges import Seconds, Share
from closefit.boundary.refusals import refusals_as, refuse
from closefit.errors import ArtifactDamagedError
from closefit.exporters.contacts import PLAUSIBLE_DEPTH_MM, Contacts, ranges_of
from closefit.geometry.contact import CONTACT_M
from closefit.geometry.units import MM_PER_M
from closefit.storage.artifacts import atomic_write
from closefit.storage.run_record import Amount, FrameRange, ImplausibleContact, Name

Measured = Annotated[float, Meta(ge=-1e7, le=1e7)]


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
        probability: That the parts truly touch, at most 2 frames away, in each frame with contact.
    """

    person_0: Name
    person_1: Name
    num_frames: Amount
    frames: list[FrameRange]
    seconds: list[tuple[Seconds, Seconds]]
    smallest_distance_m: Measured
    max_penetration_mm: Measured
    distance_mm: list[Measured]
    penetration_mm: list[Measured]
    place_m: list[tuple[Measured, Measured, Measured]]
    probability: list[Share]


class FrameContact(TypedDict):
    """Lists with an entry per frame of the clip.

    Attributes:
        gap_m: Smallest distance between vertices of the two.
        mean_penetration_mm: Mean penetration over all vertices of both (A-PD).
        max_penetration_mm: Deepest penetration.
    """

    gap_m: list[Measured]
    mean_penetration_mm: list[Measured]
    max_penetration_mm: list[Measured]


class ContactsContent(TypedDict):
    """Content of `contacts.json`.

    Attributes:
        fps: Frames per second.
        num_frames: Number of frames.
        start_s: Time of frame 0 in the source video.
        contact_distance_m: Vertices nearer to each other than this touch.
        frames_in_contact: First and last frame of each stretch in which the two touch, whichever
            parts are reported.
        contacts: Each pair of parts that touch, the longest contact first.
        plausible_depth_mm: Parts deeper inside each other than this do not count as contacts.
        implausible: Each pair of parts that are so deep, the deepest first.
        per_frame: Both people as wholes, frame by frame.
    """

    fps: Measured
    num_frames: Amount
    start_s: Measured
    contact_distance_m: Measured
    frames_in_contact: list[FrameRange]
    contacts: list[PartContact]
    plausible_depth_mm: Measured
    implausible: list[ImplausibleContact]
    per_frame: FrameContact


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
        "frames_in_contact": ranges_of(contacts.touching),
        "contacts": pairs,
        "plausible_depth_mm": PLAUSIBLE_DEPTH_MM,
        "implausible": implausible_contacts(contacts),
        "per_frame": {
            "gap_m": _rounded(contacts.gap_m, 5),
            "mean_penetration_mm": _rounded(contacts.mean_depth_mm, 5),
            "max_penetration_mm": _rounded(contacts.max_depth_mm, 3),
        },
    }
    with atomic_write(path) as file:
        file.write(_readable_json(content).encode())


def read_contacts(path: Path, num_frames: int, hint: str) -> ContactsContent:
    """Read the contacts of a clip of `num_frames` frames.

    Raises:
        ArtifactDamagedError: It is damaged, or of another clip; `hint` says how to write it again.
    """
    with refusals_as(ArtifactDamagedError, path, hint):
        found: ContactsContent = typed(read_json(path), ContactsContent)
        _check_ranges(found["frames_in_contact"], num_frames)
        for pair in found["contacts"]:
            count = _check_ranges(pair["frames"], num_frames)
            lists = (
                pair["distance_mm"], pair["penetration_mm"], pair["place_m"], pair["probability"],
            )  # fmt: skip
            if {len(values) for values in lists} != {count} or count != pair["num_frames"]:
                refuse("a contact has not one entry for each of its frames")
        for deep in found["implausible"]:
            _check_ranges(deep["frames"], num_frames)
        if any(len(values) != num_frames for values in found["per_frame"].values()):  # type: ignore[arg-type]
            refuse(f"it is not about {num_frames} frames, as `motion.npz` is")
    return found


def _check_ranges(ranges: list[FrameRange], num_frames: int) -> int:
    """Return how many frames the ranges cover, which have to be in order."""
    after = 0
    for first, last in ranges:
        if not after <= first <= last < num_frames:
            refuse(f"`{first}` to `{last}` are no frames of a clip of {num_frames}")
        after = last + 1
    return sum(last + 1 - first for first, last in ranges)


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
    ranges = ranges_of(touching)
    places = contacts.place_m[touching, first, second] @ T_scene_camera[:3, :3].T
    places = np.round(places + T_scene_camera[:3, 3], 4)
    since = [round(float(time), 4) for time in times_s]
    return {
        "person_0": PART_NAMES[first],
        "person_1": PART_NAMES[second],
        "num_frames": int(touching.sum()),
        "frames": ranges,
        "seconds": [(since[start], since[end]) for start, end in ranges],
        "smallest_distance_m": round(float(distance.min()), 5),
        "max_penetration_mm": round(float(depth.max()), 3),
        "distance_mm": _rounded(MM_PER_M * distance[touching], 2),
        "penetration_mm": _rounded(depth[touching], 2),
        "place_m": [(x, y, z) for x, y, z in places.tolist()],
        "probability": _rounded(contacts.probability[touching, first, second], 3),
    }


def implausible_contacts(contacts: Contacts) -> list[ImplausibleContact]:
    """Return the pairs of parts that are implausibly deep inside each other, the deepest first."""
    deep = contacts.implausible
    found: list[ImplausibleContact] = [
        {
            "person_0": PART_NAMES[first],
            "person_1": PART_NAMES[second],
            "frames": ranges_of(deep[:, first, second]),
            "max_penetration_mm": round(float(contacts.depth_mm[:, first, second].max()), 3),
        }
        for first, second in np.argwhere(deep.any(axis=0)).tolist()
    ]
    return sorted(found, key=lambda pair: -pair["max_penetration_mm"])


def _readable_json(content: ContactsContent) -> str:
    """JSON with a line per entry, and a line per item of lists of objects."""

    def text(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n    " + ",\n    ".join(json.dumps(item) for item in value) + "\n  ]"
        return json.dumps(value)

    entries = (f"  {json.dumps(key)}: {text(value)}" for key, value in content.items())
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _rounded(values: Float[np.ndarray, " value"], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
