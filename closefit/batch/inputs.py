"""Which files a clip is made from, and whether they are as they were."""

import os
from contextlib import suppress
from pathlib import Path

from closefit import settings
from closefit.batch.task import Task
from closefit.boundary.refusals import RefusedError
from closefit.errors import CorrectionsError
from closefit.storage.hashing import entries_below
from closefit.tracking.corrections import find as find_corrections


def inputs_of(task: Task) -> list[list[int] | None]:
    """Return size and time of change of the clip and of the files that its settings name."""
    named = [task.values.get(key) for key in sorted(settings.file_settings())]
    paths = [task.video]
    for value in named:
        paths += value if isinstance(value, list | tuple) else [value] if value else []
    with suppress(CorrectionsError):
        beside = find_corrections(Path(task.video), None)
        paths += [] if beside is None else [str(beside)]
    return [stamp(path) for path in paths]


def stamp(path: str) -> list[int] | None:
    """Return size and latest change of a file, or of all in a folder; None if there is none."""
    try:
        found = [os.stat(path)]
        if os.path.isdir(path):
            found += [entry.stat() for entry in entries_below(Path(path))]
    except (OSError, RefusedError):
        return None
    return [sum(s.st_size for s in found), max(s.st_mtime_ns for s in found)]
