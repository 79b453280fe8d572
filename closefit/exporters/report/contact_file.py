"""Reading `contacts.json` back for the page, checked: the folder may be somebody else's."""

from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from closefit.boundary.files import read_json, typed
from closefit.boundary.refusals import refusals_as, refuse
from closefit.errors import ArtifactDamagedError

Frame = Annotated[int, Meta(ge=0, le=10**9)]
Range = tuple[Frame, Frame]
"""First and last frame, both included."""

Measured = Annotated[float, Meta(ge=-1e7, le=1e7)]
Name = Annotated[str, Meta(max_length=100)]


class Pair(TypedDict):
    """Contacts of one part of each person; the last three have an entry per frame of contact."""

    person_0: Name
    person_1: Name
    num_frames: Frame
    frames: list[Range]
    smallest_distance_m: Measured
    max_penetration_mm: Measured
    distance_mm: list[Measured]
    penetration_mm: list[Measured]
    place_m: list[tuple[Measured, Measured, Measured]]


class PerFrame(TypedDict, total=False):
    """Figures of every frame."""

    gap_m: list[Measured]
    mean_penetration_mm: list[Measured]
    max_penetration_mm: list[Measured]


class ContactFile(TypedDict):
    """What the page reads of the file."""

    frames_in_contact: list[Range]
    contacts: list[Pair]
    per_frame: PerFrame


def read_contacts(path: Path, num_frames: int, hint: str) -> ContactFile:
    """Read the contacts of a clip of `num_frames` frames.

    Raises:
        ArtifactDamagedError: It is damaged, or of another clip; `hint` says how to write it again.
    """
    with refusals_as(ArtifactDamagedError, path, hint):
        found: ContactFile = typed(read_json(path), ContactFile)
        _check_ranges(found["frames_in_contact"], num_frames)
        for pair in found["contacts"]:
            count = _check_ranges(pair["frames"], num_frames)
            lists = (pair["distance_mm"], pair["penetration_mm"], pair["place_m"])
            if {len(values) for values in lists} != {count} or count != pair["num_frames"]:
                refuse("a contact has not one entry for each of its frames")
        if any(len(values) != num_frames for values in found["per_frame"].values()):  # type: ignore[arg-type]
            refuse(f"it is not about {num_frames} frames, as `motion.npz` is")
    return found


def _check_ranges(ranges: list[Range], num_frames: int) -> int:
    """Return how many frames the ranges cover, which have to be in order."""
    after = 0
    for first, last in ranges:
        if not after <= first <= last < num_frames:
            refuse(f"`{first}` to `{last}` are no frames of a clip of {num_frames}")
        after = last + 1
    return sum(last + 1 - first for first, last in ranges)
