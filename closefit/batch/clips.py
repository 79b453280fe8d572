"""Which clips a batch consists of: files, folders, patterns and lists."""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from closefit.batch.lists import LIST_SUFFIXES, Row, read_list
from closefit.boundary.refusals import shown
from closefit.errors import InputError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg"}
    | {".m2ts", ".mts", ".3gp", ".ogv", ".mxf"}
)
"""What counts as a video in a folder; a file that is named itself may end in anything."""

RESULTS_MARK = "run.json"
"""A folder with this file is a results folder: its videos are no clips."""

PATTERN = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One video, or a part of it.

    Attributes:
        video: Its absolute path.
        values: Settings by dotted name that hold for it alone.
        name: Name of its results folder, where a list gives one.
        source: Where the footage is from, as a list says.
        licence: The footage's licence, as a list says.
        subjects: Who is in it, as a list says.
        origin: What named it, for messages.
    """

    video: str
    values: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    source: str | None = None
    licence: str | None = None
    subjects: str | None = None
    origin: str = ""

    @property
    def wanted(self) -> tuple[str, str | None, Mapping[str, Any]]:
        """What is to be done, wherever it was asked for."""
        return self.video, self.name, self.values

    @property
    def key(self) -> str:
        """What distinguishes it from other clips: its name, else its video and the part of it."""
        if self.name is not None:
            return self.name
        part = [self.values.get(f"track.{end}_s") for end in ("start", "end")]
        return self.video if part == [None, None] else f"{self.video}?{part[0]}-{part[1]}"


def find_clips(arguments: Sequence[str], out: Path, common: Mapping[str, Any]) -> list[Clip]:
    """Return all clips that the arguments name, in their order, each once.

    Args:
        arguments: Videos, folders (searched to the bottom), patterns, lists (CSV, JSONL).
        out: Folder of the batch, in which no clips are looked for.
        common: Settings that hold for all clips unless a list gives others.

    Raises:
        InputError: An argument names no clip, or a list cannot be used.
    """
    found: dict[str, Clip] = {}
    for argument in arguments:
        for clip in _named_by(argument, out, common):
            known = found.setdefault(clip.key, clip)
            if known is not clip and known.wanted != clip.wanted:
                raise InputError(
                    f"`{shown(clip.key, 200)}` is given twice with different options, by "
                    f"{known.origin} and by {clip.origin}",
                    hint="give one of them another `name` in the list, or leave one out",
                )
    if not found:
        raise InputError("no clips were named", hint="name videos, folders or lists of them")
    return list(found.values())


def _named_by(argument: str, out: Path, common: Mapping[str, Any]) -> Iterator[Clip]:
    """The clips of one argument."""
    path = Path(argument)
    if path.is_dir():
        yield from _of_files(_below(path, out), argument, "holds no video")
    elif path.suffix.lower() in LIST_SUFFIXES:
        for row in read_list(path, common):
            yield _of_row(row)
    elif not os.path.lexists(path) and PATTERN & set(argument):
        names = sorted(glob.glob(argument, recursive=True))
        yield from _of_files(
            (Path(n) for n in names if not os.path.isdir(n)), argument, "matches no file"
        )
    else:  # one that is not there is a failed clip of the batch
        yield Clip(video=os.path.abspath(argument), origin=f"`{shown(argument)}`")


def _of_files(files: Iterable[Path], argument: str, problem: str) -> Iterator[Clip]:
    """A clip for each file.

    Raises:
        InputError: There is none.
    """
    path = None
    for path in files:
        yield Clip(video=os.path.abspath(path), origin=f"`{shown(argument)}`")
    if path is None:
        raise InputError(
            f"`{shown(argument, 200)}` {problem}",
            hint=f"videos in a folder end in {', '.join(sorted(VIDEO_SUFFIXES))}; name others "
            "themselves",
        )


def _of_row(row: Row) -> Clip:
    return Clip(
        video=os.path.abspath(row.clip),
        values=row.values,
        name=row.name,
        source=row.source,
        licence=row.licence,
        subjects=row.subjects,
        origin=row.origin,
    )


def _below(folder: Path, out: Path) -> Iterator[Path]:
    """Videos in a folder and below, without hidden ones and those of results."""
    batch = os.path.realpath(out)
    for here, folders, files in os.walk(folder):
        kept = [] if RESULTS_MARK in files else sorted(folders)
        folders[:] = [
            name
            for name in kept
            if not name.startswith(".") and os.path.realpath(os.path.join(here, name)) != batch
        ]
        if RESULTS_MARK not in files:
            for name in sorted(files):
                if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                    yield Path(here, name)
