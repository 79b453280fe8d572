"""Folders that commands write: complete or not at all, with errors that name the folder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closefit.errors import OutputFolderError, disk_full_guard
from closefit.storage.artifacts import TEMPORARY_PREFIX


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into errors about `folder`.

    Raises:
        OutputFolderError: The folder cannot be made.
        DiskFullError: The disk is full.
    """
    try:
        with disk_full_guard(folder):
            yield
    except OSError as error:
        raise OutputFolderError(
            f"cannot write to `{folder}`: {error.strerror}",
            hint="choose a folder that you may write to with --out",
        ) from error


@contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `folder` once the block ends without an error.

    Raises:
        OutputFolderError: The folder cannot be made.
        DiskFullError: The disk is full.
    """
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{folder.name}")
    old = folder.with_name(f"{TEMPORARY_PREFIX}old-{os.getpid()}-{folder.name}")
    with writing_to(folder.parent):
        temporary.mkdir(parents=True)
    try:
        with disk_full_guard(folder.parent):
            yield temporary
            if folder.exists():
                os.replace(folder, old)
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
