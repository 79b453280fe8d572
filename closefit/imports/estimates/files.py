"""Which files an estimate consists of: one result file, or a folder with one per person."""

import hashlib
from pathlib import Path

from closefit.errors import FileMissingError, InputError
from closefit.storage.hashing import entries_below, sha256_of_input

SUFFIXES = (".pt", ".pth", ".pkl", ".npz")

GVHMR_NAME = "hmr4d_results.pt"
"""GVHMR writes this among files of other kinds, one folder per video or person."""


def result_files(path: Path) -> list[Path]:
    """Return the result files of `path`, sorted.

    Raises:
        FileMissingError: There is no such file or folder.
        InputError: The folder holds no result.
        RefusedError: The folder holds too much.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileMissingError(
            f"there is no estimate `{path}`", hint="check the path after --init-from"
        )
    found = sorted(entries_below(path, GVHMR_NAME)) or sorted(
        file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()
    )
    if not found:
        raise InputError(
            f"the folder `{path}` has no file of type {', '.join(SUFFIXES)}",
            hint="pass a result file, or a folder with one result file per person",
        )
    return found


def content_hash(path: Path) -> str:
    """SHA-256 of the result files of `path`, without their names' folders.

    Raises:
        InputError: There is no such file or folder, or no result in it.
        RefusedError: A file is larger than what is read.
    """
    files = result_files(path)
    if len(files) == 1:
        return sha256_of_input(files[0])
    return hashlib.sha256("".join(sha256_of_input(file) for file in files).encode()).hexdigest()
