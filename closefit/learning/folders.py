"""Folders that commands write: complete or not at all, with errors that name the folder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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

    What a killed process has left of it is removed, or put back, by the next one.

    Raises:
        OutputFolderError: The folder cannot be made, or another process is making it.
        DiskFullError: The disk is full.
    """
    folder = Path(os.path.realpath(folder))  # a link stays
    temporary, old, lock = (
        folder.with_name(f"{TEMPORARY_PREFIX}{part}-{folder.name}")
        for part in ("new", "old", "lock")
    )
    with writing_to(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(lock, folder):
        try:
            with writing_to(folder.parent):
                if old.is_dir() and not os.path.lexists(folder):  # killed between the two renames
                    os.replace(old, folder)
                _remove(temporary, old)
                temporary.mkdir()
            with disk_full_guard(folder.parent):
                yield temporary
            with writing_to(folder.parent):
                if folder.exists():
                    os.replace(folder, old)
                os.replace(temporary, folder)
        finally:
            if old.is_dir() and not os.path.lexists(folder):  # stopped between the two renames
                os.replace(old, folder)
            _remove(temporary, old)


@contextmanager
def alone(lock: Path, folder: Path) -> Iterator[None]:
    """Keep other processes out of the block; the system drops the lock when this one ends.

    Raises:
        OutputFolderError: Another process is in it, or there can be no such file.
        DiskFullError: The disk is full.
    """
    held = FileLock(lock, fallback_to_soft=False)
    with writing_to(folder.parent):
        try:
            held.acquire(blocking=False)
        except Timeout as error:
            raise OutputFolderError(
                f"another closefit is writing `{folder}`",
                hint="wait until it is done, or choose another --out",
            ) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        held.release()


def _remove(*folders: Path) -> None:
    for path in folders:
        if path.is_symlink():  # somebody has put it there
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)
