"""Masks as one array in an npz file, as a script around SAM 2 saves them.

- `masks` (frame, person, height, width), also with an axis of size 1 after the person, as SAM 2
  gives them; true or false, 0 or 1, or logits, whose positive values belong to the person;
- or `masks` (frame, height, width): whole numbers, 0 where there is nobody, else the person;
- optional: `object_ids` (person), whole numbers; `fps`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from closefit.imports.detections import npz
from closefit.imports.detections.imported import (
    Imported,
    Listed,
    finish,
    only_silhouettes,
)
from closefit.imports.detections.part import Part
from closefit.imports.detections.pictures import resized
from closefit.imports.detections.refusals import refuse
from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.mask_crops import MaskCrop

MASKS, OBJECT_IDS, FPS = "masks", "object_ids", "fps"


def read_masks(path: Path, part: Part) -> Imported:
    """Read `masks` of every frame, one frame at a time.

    Raises:
        ObservationsError: They do not follow the format or do not belong to the video.
    """
    others = npz.read_arrays(path, (OBJECT_IDS, FPS))
    with npz.stored_array(path, MASKS) as masks:
        shape = _shape(path, masks)
        if FPS in others:
            part.check_fps(path, float(np.ravel(others[FPS])[0]))
        height, width = shape[-2:]
        part.check_shape(path, width, height)
        chosen = part.of_every_frame(path, shape[0])
        if len(shape) == 4:
            people = (frame.reshape(shape[1:]) for frame in masks.rows(chosen))
            return _per_person(path, people, _object_ids(path, others, shape[1]), part)
        if masks.dtype.kind == "f":
            refuse(path, "has logits without a person axis in `masks`", "save them with the axis")
        found = set[int]().union(*(np.unique(frame).tolist() for frame in masks.rows(chosen)))
    labels = np.array(sorted(found - {0}), dtype=np.int64)
    with npz.stored_array(path, MASKS) as masks:
        if len(labels) > 1:
            people = (frame == labels[:, None, None] for frame in masks.rows(chosen))
            return _per_person(path, people, labels, part)
        size_wh = (width, height) if width <= part.size_wh[0] else part.size_wh
        small = (deflate(resized(frame != 0, size_wh)) for frame in masks.rows(chosen))
        return only_silhouettes(MaskStack.of(small, size_wh))


def _shape(path: Path, masks: npz.StoredArray) -> tuple[int, ...]:
    """Shape of the masks without the axis of size 1."""
    if masks.dtype.kind not in "buif":
        refuse(path, f"has `masks` of type `{masks.dtype}` instead of numbers")
    shape = masks.shape
    if len(shape) == 5 and shape[2] == 1:
        shape = (*shape[:2], *shape[3:])
    if len(shape) not in (3, 4) or 0 in shape:
        refuse(
            path,
            f"has `masks` of shape {shape} instead of (frame, person, height, width) or "
            "(frame, height, width)",
        )
    return shape


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
    path: Path, arrays: Mapping[str, np.ndarray], people: int
) -> Int[np.ndarray, " person"]:
    given = arrays.get(OBJECT_IDS)
    if given is None:
        return np.arange(people)
    if given.shape != (people,) or given.dtype.kind not in "ui" or (given < 0).any():
        refuse(path, f"has `object_ids` that are not {people} whole numbers, one per person")
    return given.astype(np.int64)
