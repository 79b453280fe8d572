"""Finds out what a file or folder holds, and has it read."""

from collections.abc import Sequence
from pathlib import Path

from closefit.errors import FileMissingError
from closefit.imports.detections import (
    alphapose,
    arrays,
    coco,
    mask_arrays,
    mask_folders,
    mot,
    npz,
    openpose,
)
from closefit.imports.detections.combining import combine
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.part import Part
from closefit.imports.detections.refusals import read_json, refuse


def read_all(paths: Sequence[Path], part: Part) -> Imported:
    """Read several files or folders that describe the same people, and combine them.

    Raises:
        FileMissingError: One is not there.
        ObservationsError: One does not follow its format or does not belong to this video.
    """
    first, *others = [read(path, part) for path in paths]
    for other in others:
        first = combine(first, other, part)
    return first


def read(path: Path, part: Part) -> Imported:
    """Read a file or folder in whatever known format it is.

    Raises:
        FileMissingError: It is not there.
        ObservationsError: It does not follow its format or does not belong to this video.
    """
    if path.is_dir():
        return _read_folder(path, part)
    if not path.is_file():
        raise FileMissingError(
            f"there is no file of detections `{path}`", hint="check the path after --observations"
        )
    suffix = path.suffix.lower()
    if suffix == ".npz":
        # Without `masks` it is taken for closefit's own format, which says what is missing.
        is_masks = mask_arrays.MASKS in npz.names(path)
        return mask_arrays.read_masks(path, part) if is_masks else arrays.read_arrays(path, part)
    if suffix == ".json":
        return _read_json(path, part)
    if suffix not in (".txt", ".csv"):
        refuse(path, "is neither a JSON, npz or txt file nor a folder")
    return mot.read_rows(path, part)


def _read_folder(folder: Path, part: Part) -> Imported:
    files = [file for file in folder.glob("*.json") if not file.name.startswith(".")]
    if not files:
        return mask_folders.read_folder(folder, part)
    if len(files) == 1 and part.num_frames > 1:
        return _read_json(files[0], part)
    return openpose.read_folder(folder, files, part)


def _read_json(path: Path, part: Part) -> Imported:
    content = read_json(path)
    if isinstance(content, dict):
        if "annotations" in content:
            return coco.read_annotations(path, content, part)
        if "people" in content:
            refuse(path, "is a single frame of OpenPose", "give the folder of all frames")
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        refuse(path, "is neither a list of detections nor a COCO annotation file")
    if not content:
        refuse(path, "holds no detections")
    if any("image_id" not in entry for entry in content):
        refuse(path, "has a detection without `image_id`")
    if any(isinstance(entry["image_id"], str) for entry in content):
        return alphapose.read_people(path, content, part)
    return coco.read_results(path, content, part)
