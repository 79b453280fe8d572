"""Masks as one array in an npz file, as a script around SAM 2 saves them.

- `masks` (frame, person, height, width), also with an axis of size 1 after the person, as SAM 2
  gives them; true or false, 0 or 1, or logits, whose positive values belong to the person;
- or `masks` (frame, height, width): whole numbers, 0 where there is nobody, else the person;
- optional: `object_ids` (person), whole numbers; `fps`.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.imports.imported import (
    Imported,
    Listed,
    finish,
    only_silhouettes,
)
from closefit.tracking.imports.part import Part
from closefit.tracking.imports.pictures import resized
from closefit.tracking.imports.refusals import refuse
from closefit.tracking.mask_crops import MaskCrop

MASKS, OBJECT_IDS, FPS = "masks", "object_ids", "fps"


def keys_of(path: Path) -> frozenset[str]:
    """Names of the arrays in an npz file.

    Raises:
        ObservationsError: It is none.
    """
    return frozenset(_open(path, ()))


def read_masks(path: Path, part: Part) -> Imported:
    """Read `masks` of every frame.

    Raises:
        ObservationsError: They do not follow the format or do not belong to the video.
    """
    arrays = {key: array for key, array in _open(path, (MASKS, OBJECT_IDS, FPS)).items()}
    masks = arrays[MASKS]
    if masks.dtype.kind not in "buif":
        refuse(path, f"has `masks` of type `{masks.dtype}` instead of numbers")
    if masks.ndim == 5 and masks.shape[2] == 1:
        masks = masks[:, :, 0]
    if masks.ndim not in (3, 4) or 0 in masks.shape:
        refuse(
            path,
            f"has `masks` of shape {masks.shape} instead of (frame, person, height, width) or "
            "(frame, height, width)",
        )
    if FPS in arrays:
        part.check_fps(path, float(np.ravel(arrays[FPS])[0]))
    height, width = masks.shape[-2:]
    part.check_shape(path, width, height)
    masks = masks[part.of_every_frame(path, len(masks))]
    if masks.ndim == 4:
        return _per_person(path, masks, _object_ids(path, arrays, masks.shape[1]), part)
    if masks.dtype.kind == "f":
        refuse(path, "has logits without a person axis in `masks`", "save them with the axis")
    labels = np.unique(masks)
    labels = labels[labels != 0].astype(np.int64)
    if len(labels) > 1:
        people = (mask == labels[:, None, None] for mask in masks)
        return _per_person(path, people, labels, part)
    size_wh = (width, height) if width <= part.size_wh[0] else part.size_wh
    small = (deflate(resized(mask != 0, size_wh)) for mask in masks)
    return only_silhouettes(MaskStack.of(small, size_wh))


def _per_person(
    path: Path,
    masks: Iterable[Shaped[np.ndarray, "person height width"]],
    object_ids: Int[np.ndarray, " person"],
    part: Part,
) -> Imported:
    crops, places = [], []
    for frame, people in enumerate(masks):
        for person, mask in enumerate(people):
            crop = MaskCrop.of(resized(mask > 0, part.size_wh))
            if not crop.is_empty:
                crops.append(crop)
                places.append((frame, int(object_ids[person])))
    if not crops:
        refuse(path, "shows nobody: all its `masks` are empty")
    frame, identity = np.array(places).T
    listed = Listed(
        frame=frame,
        boxes_xyxy=np.full((len(crops), 4), np.nan),
        scores=np.ones(len(crops)),
        keypoints=np.zeros((len(crops), 0, 3)),
        masks=crops,
        identity=identity,
    )
    return finish(path, part, listed)


def _object_ids(
    path: Path, arrays: dict[str, np.ndarray], people: int
) -> Int[np.ndarray, " person"]:
    given = arrays.get(OBJECT_IDS)
    if given is None:
        return np.arange(people)
    if given.shape != (people,) or given.dtype.kind not in "ui" or (given < 0).any():
        refuse(path, f"has `object_ids` that are not {people} whole numbers, one per person")
    return given.astype(np.int64)


def _open(path: Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Names of all arrays, and the content of those that are wanted; else empty arrays."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            return {
                key: content[key] if key in wanted else np.zeros(0)
                for key in content.files
                if not wanted or key in wanted
            }
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError):
        refuse(path, "is not a readable npz file")
