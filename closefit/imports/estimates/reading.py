"""Reads an estimate of any supported tool; the layout is found from the content."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from closefit.boundary.arrays import Npz
from closefit.boundary.values import RefusedError, named, refusals_as
from closefit.errors import InputError
from closefit.imports.estimates import amass, gvhmr, phalp, prompthmr, wham
from closefit.imports.estimates.files import result_files
from closefit.imports.estimates.tracks import side_by_side
from closefit.imports.pickles import load_pickle, load_torch
from closefit.records import PersonEstimates, VideoInfo

HINT = "docs/estimates.md lists the file to pass for each tool, and how to make it"

LAYOUTS: tuple[ModuleType, ...] = (gvhmr, prompthmr, phalp, wham, amass)


def read_estimates(path: Path, video: VideoInfo) -> PersonEstimates:
    """Read everybody that another tool found, frame by frame of the source video.

    Nothing of the files is executed.

    Args:
        path: A result file, or a folder with one per person.
        video: The video that the tool was given.

    Returns:
        All people of all files, with frames counted from 0.

    Raises:
        InputError: A file is missing, damaged, not a result, or not as its tool writes it, or a
            folder mixes tools.
    """
    parts = []
    for file in result_files(path):
        with refusals_as(InputError, file, HINT):
            parts.append(_read_file(file, video))
    tools = {part.tool for part in parts}
    if len(tools) > 1:
        raise InputError(
            f"the folder `{path}` mixes results of {' and '.join(sorted(tools))}",
            hint="put the results of one tool into a folder of their own",
        )
    with refusals_as(InputError, path, HINT):
        return parts[0] if len(parts) == 1 else side_by_side(parts)


def _read_file(path: Path, video: VideoInfo) -> PersonEstimates:
    content = _content(path)
    for layout in LAYOUTS:
        if layout.is_result(content):
            found: PersonEstimates = layout.read(content, video)
            return found
    keys = named(content) if isinstance(content, Mapping) else f"a `{type(content).__name__}`"
    tools = ", ".join(layout.TOOL for layout in LAYOUTS)
    raise RefusedError(f"it is not a result of {tools}: it holds {keys}")


def _content(path: Path) -> Any:
    """Load the file by its first bytes."""
    if not zipfile.is_zipfile(path):
        return load_pickle(path)
    arrays = Npz(path)
    return arrays if len(arrays) else load_torch(path)
