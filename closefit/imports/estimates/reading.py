"""Reads an estimate of any supported tool; the layout is found from the content."""

import pickle
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from closefit.body.skeleton import NUM_JOINTS
from closefit.errors import InputError
from closefit.imports.estimates import amass, gvhmr, phalp, prompthmr, wham
from closefit.imports.estimates.files import result_files
from closefit.imports.estimates.tracks import HINT, named, refuse
from closefit.imports.safe_joblib import READING_ERRORS, RefusedContentError, load_pickled
from closefit.records import PersonEstimates, VideoInfo

LAYOUTS: tuple[ModuleType, ...] = (gvhmr, prompthmr, phalp, wham, amass)


def read_estimates(path: Path, video: VideoInfo) -> PersonEstimates:
    """Read everybody that another tool found, frame by frame of the source video.

    Nothing of the files is executed.

    Args:
        path: A result file, or a folder with one per person.
        video: The video that the tool was given.

    Returns:
        All people of all files, with frames counted from 0. One file of another layout or camera
        than the rest is refused.

    Raises:
        InputError: A file is missing, damaged, not a result, or not as its tool writes it.
    """
    parts = [_read_file(file, video) for file in result_files(path)]
    tools = {part.tool for part in parts}
    if len(tools) > 1:
        raise InputError(
            f"the folder `{path}` mixes results of {' and '.join(sorted(tools))}",
            hint="put the results of one tool into a folder of their own",
        )
    return parts[0] if len(parts) == 1 else _side_by_side(parts)


def _read_file(path: Path, video: VideoInfo) -> PersonEstimates:
    content = _content(path)
    for layout in LAYOUTS:
        if layout.is_result(content):
            found: PersonEstimates = layout.read(path, content, video)
            return found
    keys = named(content) if isinstance(content, dict) else f"a `{type(content).__name__}`"
    tools = ", ".join(layout.TOOL for layout in LAYOUTS)
    raise InputError(f"`{path}` is not a result of {tools}: it holds {keys}", HINT)


def _content(path: Path) -> Any:
    """Load the file by its first bytes."""
    if not zipfile.is_zipfile(path):
        return _load(path, load_pickled, READING_ERRORS)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        refuse(path, "it is damaged")
    if any(name.endswith("data.pkl") for name in names):
        return _load(path, _load_torch, READING_ERRORS)
    return _load(path, _load_npz, (*READING_ERRORS, zipfile.BadZipFile, zlib.error))


def _load(path: Path, load: Callable[[Path], Any], errors: tuple[type[Exception], ...]) -> Any:
    try:
        return load(path)
    except errors as error:
        told = isinstance(error, RefusedContentError)
        refuse(
            path, str(error) if told else f"it is damaged, or no result ({type(error).__name__})"
        )


def _load_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named_global = re.search(r"GLOBAL (\S+)", str(error))
        asked = f"`{named_global[1]}`" if named_global else "more than tensors"
        raise RefusedContentError(f"it asks for {asked}, which closefit never runs") from error


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _side_by_side(parts: list[PersonEstimates]) -> PersonEstimates:
    """People of several files, in the order of the files."""
    frames = max(len(part.known) for part in parts)
    people = sum(part.known.shape[1] for part in parts)
    rotations = np.tile(np.eye(3, dtype=np.float32), (frames, people, NUM_JOINTS, 1, 1))
    transl_m = np.full((frames, people, 3), np.nan, dtype=np.float32)
    known = np.zeros((frames, people), dtype=bool)
    first = 0
    for part in parts:
        block = (slice(len(part.known)), slice(first, first + part.known.shape[1]))
        rotations[block], transl_m[block], known[block] = (
            part.rotations, part.transl_m, part.known,
        )  # fmt: skip
        first = block[1].stop
    return PersonEstimates(
        rotations=rotations,
        transl_m=transl_m,
        known=known,
        K=parts[0].K,
        tool=parts[0].tool,
        has_camera=parts[0].has_camera,
    )
