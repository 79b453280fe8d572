"""Content hashes of files and folders."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from closefit.boundary.files import max_bytes, refuse_size
from closefit.boundary.refusals import refuse

MOST_FILES = 200_000
"""A folder with more is not input: its files would be read for hours."""

BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; remembered for as long as the file does not change."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


def sha256_of_folder(folder: Path) -> str:
    """SHA-256 over the relative names and contents of a folder's files, hidden ones left out.

    Raises:
        RefusedError: There are too many, or one is larger than what is read.
    """
    digest = hashlib.sha256()
    for path in sorted(entries_below(folder)):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            digest.update(
                f"{name.as_posix()}\0{sha256_of_input(path)}\0".encode("utf-8", "replace")
            )
    return digest.hexdigest()


def sha256_of_input(path: Path) -> str:
    """SHA-256 of a file that is read into memory.

    Raises:
        RefusedError: It is larger than what is read.
    """
    if (size := path.stat().st_size) > max_bytes():
        refuse_size("it", size)
    return sha256_of(path)


def entries_below(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Yield what lies in a folder and below.

    Raises:
        RefusedError: There is too much.
    """
    for number, path in enumerate(folder.rglob("*")):
        if number >= MOST_FILES:
            refuse(f"it holds more than {MOST_FILES} files", "name the folder that holds the input")
        if pattern in ("*", path.name):
            yield path


@cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    del size, mtime_ns  # they distinguish the states of a file in the cache
    return sha256_now(path)


def sha256_now(path: Path) -> str:
    """SHA-256 of a file, of which nothing is remembered."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:  # errors of reading, unlike those of opening, lack the name
        raise OSError(error.errno, error.strerror, str(path)) from error
    return digest.hexdigest()
