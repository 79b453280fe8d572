"""Reads a file of corrections, and checks it completely.

The file is JSON. Every part is optional, and the order of entries does not matter:

    {
      "swap":   [120, 133],
      "box":    [{"person": 1, "frame": 97, "xyxy": [310, 80, 420, 410]}],
      "point":  [{"person": 0, "frame": 40, "xy": [212, 260]}],
      "ignore": [[150, 158]],
      "drop":   [{"person": 1, "frame": 88}, {"person": 1, "frames": [90, 95]}]
    }

Frames count from 0 at the first chosen frame, as in `preview.mp4`; ranges include both ends.
Pixels are those of the upright source video. Person 0 and 1 are those of the results.
"""

import difflib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypedDict

import numpy as np
from jaxtyping import Bool

from closefit.boundary.files import read_json
from closefit.boundary.values import refusals_as, shown
from closefit.errors import CorrectionsError, FileMissingError

NAME = "corrections.json"
PEOPLE = (0, 1)
MAX_BYTES = 1 << 24
HINT = "docs/tracking.md describes the file, with an example"

Range = tuple[int, int]


class BoxEntry(TypedDict):
    """A person is in this box.

    Attributes:
        person: 0 or 1.
        frame: Number of the frame.
        xyxy: Left, top, right, bottom.
    """

    person: int
    frame: int
    xyxy: list[float]


class PointEntry(TypedDict):
    """A person is at this point.

    Attributes:
        person: 0 or 1.
        frame: Number of the frame.
        xy: The point.
    """

    person: int
    frame: int
    xy: list[float]


class DropEntry(TypedDict, total=False):
    """A person's detection is of nobody, or of somebody else: in a `frame`, or in `frames`.

    Attributes:
        person: 0 or 1.
        frame: Number of the frame.
        frames: First and last frame.
    """

    person: int
    frame: int
    frames: list[int]


class CorrectionsContent(TypedDict, total=False):
    """Content of a file of corrections.

    Attributes:
        swap: From each of these frames on, until the next one, the two people are exchanged.
        box: Where people are, as boxes.
        point: Where people are, as points.
        ignore: First and last frame of each stretch in which no detection counts.
        drop: False detections.
    """

    swap: list[int]
    box: list[BoxEntry]
    point: list[PointEntry]
    ignore: list[list[int]]
    drop: list[DropEntry]


@dataclass(frozen=True, kw_only=True)
class PlacedPerson:
    """Where a person is in a frame: a box (x0, y0, x1, y1) or a point (x, y), in pixels."""

    person: int
    frame: int
    pixels: tuple[float, ...]

    @property
    def is_box(self) -> bool:
        """Whether it is a box."""
        return len(self.pixels) == 4


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Frames in which a person's detection is of nobody, or of somebody else."""

    person: int
    frames: Range


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """Corrections by a user who has looked at the preview.

    Attributes:
        swaps: From each of these frames on, until the next one, the two people are swapped.
        places: Where people are.
        ignored: Frames in which no detection counts, first and last.
        drops: False detections.
    """

    swaps: tuple[int, ...] = ()
    places: tuple[PlacedPerson, ...] = ()
    ignored: tuple[Range, ...] = ()
    drops: tuple[Drop, ...] = ()

    @property
    def count(self) -> int:
        """Number of entries."""
        return sum(map(len, (self.swaps, self.places, self.ignored, self.drops)))

    def scaled(self, across: float, down: float) -> "Corrections":
        """Return the same with places in pixels of pictures of another size."""
        factors = (across, down, across, down)
        places = tuple(
            replace(p, pixels=tuple(v * f for v, f in zip(p.pixels, factors, strict=False)))
            for p in self.places
        )
        return replace(self, places=places)

    def ignored_frames(self, frames: int) -> Bool[np.ndarray, " frame"]:
        """Return the frames in which no detection counts, in a clip of so many `frames`."""
        ignored = np.zeros(frames, dtype=bool)
        for first, last in self.ignored:
            ignored[first : last + 1] = True
        return ignored

    def dropped(self, frames: int) -> Bool[np.ndarray, "frame 2"]:
        """Return the false detections, by frame and person."""
        dropped = np.zeros((frames, 2), dtype=bool)
        for drop in self.drops:
            dropped[drop.frames[0] : drop.frames[1] + 1, drop.person] = True
        return dropped

    def placed(self, frames: int) -> Bool[np.ndarray, "frame 2"]:
        """Return where a box or a point is given, by frame and person."""
        placed = np.zeros((frames, 2), dtype=bool)
        for place in self.places:
            placed[place.frame, place.person] = True
        return placed


NO_CORRECTIONS = Corrections()


def find(video: Path, named: Path | None, of_folder: Path | None = None) -> Path | None:
    """Return the corrections that belong to a video: the named file, or the one beside it.

    Beside `dance.mp4` that is `dance.corrections.json` or `corrections.json`. Where the file
    `of_folder` in the results folder is named, which the viewer began with those beside the video,
    it takes their place.

    Raises:
        CorrectionsError: There is more than one, so it is not clear which is meant.
    """
    beside = [
        path
        for path in (video.with_name(f"{video.stem}.{NAME}"), video.with_name(NAME))
        if path.is_file()
    ]
    if named is None:
        if len(beside) > 1:
            raise CorrectionsError(
                f"beside `{video}` there are both `{beside[0].name}` and `{beside[1].name}`",
                hint="keep one of the two files",
            )
        return beside[0] if beside else None
    if of_folder is not None and named.absolute() == of_folder.absolute():
        return named
    others = [path for path in beside if path.absolute() != named.absolute()]
    if others:
        raise CorrectionsError(
            f"corrections are given twice: `{named}` by --corrections, and `{others[0]}` beside "
            "the video",
            hint="move one of the two files away, or remove the setting with "
            "--set track.corrections=none",
        )
    return named


def read(path: Path, num_frames: int, size_wh: tuple[int, int]) -> Corrections:
    """Read and check corrections for a clip of `num_frames` frames of a video of this size.

    Raises:
        FileMissingError: There is no such file.
        CorrectionsError: It does not follow the format or does not fit the clip.
    """
    return check(_json(path), path, num_frames, size_wh)


def check(content: Any, path: Path, num_frames: int, size_wh: tuple[int, int]) -> Corrections:
    """Check the content of a file of corrections, as `read` does.

    Raises:
        CorrectionsError: It does not follow the format or does not fit the clip.
    """
    return _Reader(path, num_frames, size_wh).read(content)


def _json(path: Path) -> Any:
    if not os.path.lexists(path):
        raise FileMissingError(
            f"there is no file of corrections `{path}`",
            hint="check the path after --corrections",
        )
    with refusals_as(CorrectionsError, path, HINT):
        return read_json(path, MAX_BYTES)


class _Reader:
    """Checks one file; every message names the file and the entry."""

    def __init__(self, path: Path, num_frames: int, size_wh: tuple[int, int]) -> None:
        self._path, self._num_frames, self._size_wh = path, num_frames, size_wh

    def read(self, content: Any) -> Corrections:
        parts = tuple(CorrectionsContent.__annotations__)
        self._check_object("the file", content, parts, required=())
        entries = {part: self._entries(part, content.get(part, [])) for part in parts}
        corrections = Corrections(
            swaps=tuple(sorted(self._frame(*entry) for entry in entries["swap"])),
            places=tuple(
                self._place(key, *entry)
                for part, key in (("box", "xyxy"), ("point", "xy"))
                for entry in entries[part]
            ),
            ignored=tuple(self._range(*entry) for entry in entries["ignore"]),
            drops=tuple(self._drop(*entry) for entry in entries["drop"]),
        )
        self._check_contradictions(corrections)
        return corrections

    def _entries(self, part: str, entries: Any) -> list[tuple[str, Any]]:
        """The entries of a part, each with its name for messages."""
        if not isinstance(entries, list):
            self._refuse(f"`{part}`", f"is {_kind(entries)} instead of a list [...]")
        return [(f"`{part}` {number}", entry) for number, entry in enumerate(entries)]

    def _place(self, key: str, where: str, entry: Any) -> PlacedPerson:
        self._check_object(where, entry, ("person", "frame", key))
        pixels, sides = entry[key], 4 if key == "xyxy" else 2
        if (
            not isinstance(pixels, list)
            or len(pixels) != sides
            or not all(_is_number(value) for value in pixels)
        ):
            names = "left, top, right, bottom" if sides == 4 else "x, y"
            self._refuse(where, f"has `{key}` {shown(pixels)} instead of [{names}]")
        width, height = self._size_wh
        limits, found = (width, height) * (sides // 2), shown(pixels)
        if not all(0 <= value <= limit for value, limit in zip(pixels, limits, strict=True)):
            self._refuse(where, f"lies outside the image of {width}x{height} pixels: {found}")
        if sides == 4 and not (pixels[0] < pixels[2] and pixels[1] < pixels[3]):
            self._refuse(where, f"has `xyxy` {found}, which is not (left, top, right, bottom)")
        return PlacedPerson(
            person=self._person(where, entry["person"]),
            frame=self._frame(where, entry["frame"]),
            pixels=tuple(float(value) for value in pixels),
        )

    def _drop(self, where: str, entry: Any) -> Drop:
        several = isinstance(entry, dict) and "frames" in entry
        self._check_object(where, entry, ("person", "frames" if several else "frame"))
        frames = entry["frames"] if several else [entry["frame"]] * 2
        return Drop(person=self._person(where, entry["person"]), frames=self._range(where, frames))

    def _range(self, where: str, value: Any) -> Range:
        if not isinstance(value, list) or len(value) != 2:
            self._refuse(where, f"is {shown(value)} instead of [first frame, last frame]")
        first, last = (self._frame(where, frame) for frame in value)
        if first > last:
            self._refuse(where, f"ends at frame {last}, before it begins at {first}")
        return first, last

    def _frame(self, where: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self._refuse(where, f"names frame {shown(value)} instead of a whole number")
        if not 0 <= value < self._num_frames:
            self._refuse(
                where,
                f"names frame {shown(value)}, but the clip has {self._num_frames} frames "
                f"(0-{self._num_frames - 1})",
            )
        return int(value)

    def _person(self, where: str, value: Any) -> int:
        if isinstance(value, bool) or value not in PEOPLE:
            self._refuse(where, f"names person {shown(value)}; there are 0 and 1")
        return int(value)

    def _check_object(
        self, where: str, entry: Any, known: Sequence[str], required: Sequence[str] | None = None
    ) -> None:
        """Check for an object with no other keys than `known`; by default all are `required`."""
        if not isinstance(entry, dict):
            keys = ", ".join(f"`{key}`" for key in known)
            self._refuse(where, f"is {_kind(entry)} instead of an object with {keys}")
        for key in entry:
            if key not in known:
                nearest = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.0)[0]
                unknown = shown(key)
                self._refuse(where, f"has an unknown key `{unknown}`; the nearest is `{nearest}`")
        for key in known if required is None else required:
            if key not in entry:
                self._refuse(where, f"lacks `{key}`")

    def _check_contradictions(self, corrections: Corrections) -> None:
        for frame, count in Counter(corrections.swaps).items():
            if count > 1:
                self._refuse("`swap`", f"names frame {frame} twice")
        placed = Counter((place.person, place.frame) for place in corrections.places)
        for (person, frame), count in placed.items():
            where = f"person {person} in frame {frame}"
            if count > 1:
                self._refuse(where, "is placed twice, by `box` or `point`")
            if corrections.ignored_frames(self._num_frames)[frame]:
                self._refuse(where, "is both placed and in a range to `ignore`")
            if corrections.dropped(self._num_frames)[frame, person]:
                self._refuse(where, "is both placed and dropped")

    def _refuse(self, where: str, problem: str) -> NoReturn:
        raise CorrectionsError(f"{where} in `{self._path}` {problem}", HINT)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")
