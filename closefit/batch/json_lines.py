"""A file with one JSON object per line, to which lines are added whole or not at all."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from closefit.boundary.files import parse_json, read_bytes, to_json, typed
from closefit.boundary.refusals import RefusedError, refusals_as
from closefit.errors import ArtifactDamagedError, OutputFolderError, disk_full_guard
from closefit.storage.artifacts import atomic_write

R = TypeVar("R")

MAX_BYTES = 1 << 31


class JsonLines:
    """One file; it is made when the first line is added."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or written yet."""
        self.path = path

    def read(self, kind: type[R]) -> tuple[list[R], list[int]]:
        """Return what the lines hold, and the numbers of damaged lines, which are left out.

        Raises:
            ArtifactDamagedError: The file cannot be read.
        """
        if not os.path.lexists(self.path):
            return [], []
        hint = f"`mv {self.path} {self.path}.damaged`, then run the same command again"
        with refusals_as(ArtifactDamagedError, self.path, hint):
            content = read_bytes(self.path, MAX_BYTES)
        found: list[R] = []
        damaged = []
        *lines, rest = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            content_of_line = _parsed(line, kind)
            if content_of_line is None:
                damaged.append(number)
            else:
                found.append(content_of_line)
        if rest:  # the process or the machine ended while it was written
            damaged.append(len(lines) + 1)
        return found, damaged

    def replace(self, contents: Iterable[Mapping[str, Any]]) -> None:
        """Write all lines anew, all or nothing.

        Raises:
            DiskFullError: The disk is full; the file is untouched.
        """
        with atomic_write(self.path) as file:
            for content in contents:
                file.write(_line(content))

    def append(self, content: Mapping[str, Any]) -> None:
        """Add a line; it is on the disk when this returns.

        Raises:
            DiskFullError: The disk is full; the file is as it was.
            OutputFolderError: It cannot be written.
        """
        try:
            with disk_full_guard(self.path):
                number = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                try:
                    _append(number, _line(content))
                finally:
                    os.close(number)
        except OSError as error:
            raise OutputFolderError(
                f"cannot write `{self.path}`: {error.strerror}",
                hint="check its rights, then run the same command again",
            ) from error


def _parsed(line: bytes, kind: type[R]) -> R | None:
    try:
        content: R = typed(parse_json(line.decode(), names_files=True), kind)
    except (RefusedError, UnicodeDecodeError):
        return None
    return content


def _append(number: int, line: bytes) -> None:
    """Write a line at the end; what was written of it is taken back if the rest does not fit."""
    before = os.fstat(number).st_size
    try:
        written = 0
        while written < len(line):
            written += os.write(number, line[written:])
        os.fsync(number)
    except BaseException:
        os.ftruncate(number, before)
        raise


def _line(content: Mapping[str, Any]) -> bytes:
    return to_json(content).encode() + b"\n"
