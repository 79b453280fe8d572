"""Finds out what a file or folder holds, and reads it."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from closefit.boundary.arrays import Npz
from closefit.boundary.files import read_json
from closefit.boundary.values import refusals_as, refuse
from closefit.errors import FileMissingError, ObservationsError
from closefit.imports.detections import (
    alphapose,
    arrays,
    coco,
    mask_arrays,
    mask_folders,
    mot,
    openpose,
)  # fmt: skip
from closefit.imports.detections.combining import combine
from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.json_people import entries_of

HINT = "`docs/importing.md` describes the formats that can be imported, with an example of each"


def read_all(paths: Sequence[Path], frames: FrameRange) -> Imported:
    """Read several files or folders that describe the same people, and combine them.

    Raises:
        FileMissingError: One is not there.
        ObservationsError: One does not follow its format or does not belong to this video.
    """
    imports = [read(path, frames) for path in paths]
    return reduce(lambda one, two: combine(one, two, frames.num_frames), imports)


def read(path: Path, frames: FrameRange) -> Imported:
    """Read a file or folder in whatever known format it is.

    Raises:
        FileMissingError: It is not there.
        ObservationsError: It does not follow its format or does not belong to this video.
    """
    with refusals_as(ObservationsError, path, HINT):
        try:
            if path.is_dir():
                return _read_folder(path, frames)
            if path.is_file():
                return _read_file(path, frames)
        except OSError as error:
            refuse(f"it cannot be read: {error.strerror}", "check its rights and the disk")
    raise FileMissingError(
        f"there is no file of detections `{path}`", hint="check the path after --observations"
    )


def _read_file(path: Path, frames: FrameRange) -> Imported:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        content = Npz(path)
        # Without `masks` it is taken for closefit's own format.
        is_masks = mask_arrays.MASKS in content
        return (mask_arrays.read_masks if is_masks else arrays.read_arrays)(content, frames)
    if suffix == ".json":
        return _read_json(path, frames)
    if suffix not in (".txt", ".csv"):
        refuse("it is neither a JSON, npz or txt file nor a folder")
    return mot.read_rows(path, frames)


def _read_folder(folder: Path, frames: FrameRange) -> Imported:
    files = [file for file in folder.glob("*.json") if not file.name.startswith(".")]
    if not files:
        return mask_folders.read_folder(folder, frames)
    if len(files) == 1 and frames.num_frames > 1:
        return read(files[0], frames)
    return openpose.read_folder(files, frames)


def _read_json(path: Path, frames: FrameRange) -> Imported:
    content = read_json(path)
    if isinstance(content, dict) and "annotations" in content:
        return coco.read_annotations(content, frames)
    if isinstance(content, dict) and "people" in content:
        refuse("it is a single frame of OpenPose", "give the folder of all frames")
    people = entries_of(content, "of detections and is no COCO annotation file")
    if not people:
        refuse("it holds no detections")
    if any("image_id" not in entry for entry in people):
        refuse("it has a detection without `image_id`")
    if any(isinstance(entry["image_id"], str) for entry in people):
        return alphapose.read_people(people, frames)
    return coco.read_results(people, frames)
