"""Lists of clips with options of their own: CSV with a header, or JSONL with an object per line."""

import csv
import difflib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closefit import settings
from closefit.boundary.files import parse_json, read_text
from closefit.boundary.refusals import RefusedError, refusals_as, refuse, shown
from closefit.errors import ClosefitError, FileMissingError, InputError

LIST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")

OPTIONS = {
    "preset": "preset",
    "perception": "track.perception",
    "observations": "track.observations",
    "people": "track.people",
    "corrections": "track.corrections",
    "start": "track.start_s",
    "end": "track.end_s",
    "fov": "camera.fov_deg",
    "focal": "camera.focal_px",
    "camera": "camera.file",
    "init_from": "init.init_from",
    "physics": "optimize.physics",
    "seed": "seed",
}
"""Columns that are options of `closefit run`, and their settings; any setting may be a column."""

WORDS = ("clip", "name", "source", "licence", "subjects")
"""Columns that are no settings."""

SHOWN_PROBLEMS = 5
LONGEST_NAME = 150
HINT = "correct these lines; docs/batch.md describes lists. No clip was started"


Content = Mapping[str, Any] | RefusedError
"""Of a line: options by name, or why it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a list: a clip and what holds for it alone.

    Attributes:
        clip: Path of the video; relative ones are relative to the list.
        values: Settings by dotted name.
        name: Name of the results folder.
        source: Where the footage is from.
        licence: Its licence.
        subjects: Who is in it, separated by commas.
        origin: File and line.
    """

    clip: str
    values: dict[str, Any]
    name: str | None
    source: str | None
    licence: str | None
    subjects: str | None
    origin: str


def read_list(path: Path, common: Mapping[str, Any]) -> list[Row]:
    """Read a list of clips; `common` are settings that a line may replace.

    Raises:
        InputError: It cannot be read, or lines of it cannot: all of them are counted, and the
            first few named with their numbers.
    """
    if not os.path.lexists(path):
        raise FileMissingError(f"there is no list `{path}`", hint="check its path")
    with refusals_as(InputError, path, "docs/batch.md describes lists of clips"):
        text = read_text(path)
        is_table = path.suffix.lower() in (".csv", ".tsv")
        lines = list(_table(text) if is_table else _objects(text))
        if not lines:
            refuse("it names no clip")
    found = [_row_or_problem(path, number, content, common) for number, content in lines]
    problems = [problem for problem in found if isinstance(problem, str)]
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        text = "; ".join(problems[:SHOWN_PROBLEMS]) + (f"; {more} more lines" if more > 0 else "")
        raise InputError(f"`{path}` cannot be used: {text}", hint=HINT)
    return [row for row in found if isinstance(row, Row)]


def _row_or_problem(
    path: Path, number: int, content: Content, common: Mapping[str, Any]
) -> Row | str:
    try:
        return _row(path, number, content, common)
    except RefusedError as refused:
        return f"line {number}: {refused.problem}"
    except ClosefitError as error:
        return f"line {number}: {error.message}"


def _table(text: str) -> Iterator[tuple[int, Content]]:
    """Lines of a table with their numbers; cells are read like `--set KEY=VALUE`."""
    first = text.splitlines()[0]
    separator = max(",;\t", key=first.count)
    lines = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    try:
        header = [name.strip() for name in next(lines)]
        for name in header:
            _check_column(name, "line 1: ")
        if len(set(header)) < len(header):
            refuse("line 1: two columns have the same name")
        before = lines.line_num
        for cells in lines:
            number, before = before + 1, lines.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problem = f"it has {len(cells)} cells, the first line {len(header)}"
                yield number, RefusedError(problem)
                continue
            texts = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            given = {name: text for name, text in texts.items() if text}
            words = {name: given.pop(name) for name in WORDS if name in given}
            yield number, words | {n: settings.parse_value(text) for n, text in given.items()}
    except csv.Error as error:
        refuse(f"line {lines.line_num}: it is no CSV: {error}")


def _objects(text: str) -> Iterator[tuple[int, Content]]:
    """Lines of JSON with their numbers."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            content = parse_json(line)
            if not isinstance(content, dict):
                refuse(f"it is `{shown(content)}`, not an object")
            for name in content:
                _check_column(name)
            yield number, {name: value for name, value in content.items() if value is not None}
        except RefusedError as refused:
            yield number, RefusedError(refused.problem.removesuffix(" in line 1"))


def _check_column(name: str, where: str = "") -> None:
    """Refuse a name that is neither a word of lists nor an option nor a setting."""
    known = (*WORDS, *OPTIONS, *settings.names())
    if name.replace("-", "_") not in known:
        near = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.0)
        refuse(f"{where}there is no option `{shown(name)}`; the nearest is `{near[0]}`")


def _row(path: Path, number: int, content: Content, common: Mapping[str, Any]) -> Row:
    """Check a line; its settings are checked together with those that hold for all clips."""
    if isinstance(content, RefusedError):
        raise content
    content = {name.replace("-", "_"): value for name, value in content.items()}
    words = {}
    for word in WORDS:
        words[word] = content.pop(word, None)
        if not isinstance(words[word], str | None):
            refuse(f"`{word}` is `{shown(words[word])}`, which is no text")
    if not words["clip"]:
        refuse("it names no `clip`")
    if "\0" in words["clip"]:
        refuse(f"`clip` is `{shown(words['clip'])}`, which cannot be a path")
    if words["name"] is not None:
        _check_name(words["name"])
    named = {OPTIONS.get(name, name): value for name, value in content.items()}
    values = settings.given_values({"values": _placed(named, path.parent)})
    settings.build_config(values={**common, **values})
    clip = os.path.join(path.parent, os.path.expanduser(words.pop("clip")))
    return Row(clip=clip, values=values, origin=f"`{path}` line {number}", **words)


def _check_name(name: str) -> None:
    if name.startswith(".") or not name.isprintable() or "/" in name or os.sep in name:
        refuse(f"`name` is `{shown(name)}`, which cannot be the name of a folder")
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        refuse(f"`name` is longer than {LONGEST_NAME} bytes")


def _placed(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings whose paths are relative to the list, as absolute ones."""

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(entry) for entry in value]
        known = isinstance(value, str)
        return os.path.join(folder.absolute(), os.path.expanduser(value)) if known else value

    files = settings.file_settings()
    return {key: place(value) if key in files else value for key, value in values.items()}
