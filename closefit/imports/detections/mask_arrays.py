"""Masks as one array in an npz file, as a script around SAM 2 saves them.

- `masks` (frame, person, height, width), also with an axis of size 1 after the person, as SAM 2
  gives them; true or false, 0 or 1, or logits, whose positive values belong to the person;
- or `masks` (frame, height, width): whole numbers, 0 where there is nobody, else the person;
- optional: `object_ids` (person), whole numbers; `fps`.
"""

import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int, Shaped

from closefit.boundary.arrays import Npz, StoredArray
from closefit.boundary.values import number, refuse, whole_numbers
from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported, only_silhouettes
from closefit.imports.detections.listed import MAX_PEOPLE, from_masks
from closefit.imports.detections.pictures import resized
from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.mask_crops import MaskCrop

MASKS, OBJECT_IDS, FPS = "masks", "object_ids", "fps"


def read_masks(arrays: Npz, frames: FrameRange) -> Imported:
    """Read `masks` of every frame, one frame at a time.

    Raises:
        RefusedError: They do not follow the format or do not belong to the video.
    """
    if FPS in arrays:
        frames.check_fps(number(arrays[FPS], FPS, -math.inf, math.inf))
    with arrays.stored(MASKS) as masks:
        shape = _shape(masks)
        height, width = shape[-2:]
        frames.check_shape(width, height)
        chosen = frames.of_every_frame(shape[0])
        if len(shape) == 4:
            people = (frame.reshape(shape[1:]) for frame in masks.rows(chosen))
            return _per_person(people, _object_ids(arrays, shape[1]), frames)
        if masks.dtype.kind == "f":
            refuse("it has logits without a person axis in `masks`", "save them with the axis")
        labels = _labels(masks, chosen)
    with arrays.stored(MASKS) as masks:
        if len(labels) > 1:
            people = (frame == labels[:, None, None] for frame in masks.rows(chosen))
            return _per_person(people, labels, frames)
        size_wh = (width, height) if width <= frames.size_wh[0] else frames.size_wh
        small = (deflate(resized(frame != 0, size_wh)) for frame in masks.rows(chosen))
        return only_silhouettes(MaskStack.of(small, size_wh), frames.size_wh)


def _labels(masks: StoredArray, chosen: slice) -> Int[np.ndarray, " person"]:
    """Numbers of everybody in masks without a person axis."""
    found = set[int]()
    for frame in masks.rows(chosen):
        found |= {int(label) for label in np.unique(frame).tolist()} - {0}
        if len(found) > MAX_PEOPLE:
            refuse(
                f"it has more than {MAX_PEOPLE} different numbers in `masks`",
                "without a person axis, each pixel holds the number of a person",
            )
    return whole_numbers(sorted(found), MASKS, None)


def _shape(masks: StoredArray) -> tuple[int, ...]:
    """Shape of the masks without the axis of size 1."""
    shape = masks.shape
    if len(shape) == 5 and shape[2] == 1:
        shape = (*shape[:2], *shape[3:])
    if len(shape) not in (3, 4) or 0 in shape:
        refuse(
            f"it has `masks` of shape {shape} instead of (frame, person, height, width) or "
            "(frame, height, width)"
        )
    if len(shape) == 4 and shape[1] > MAX_PEOPLE:
        refuse(f"it has `masks` of {shape[1]} people; at most {MAX_PEOPLE} are read")
    return shape


def _per_person(
    masks: Iterable[Shaped[np.ndarray, "person height width"]],
    object_ids: Int[np.ndarray, " person"],
    frames: FrameRange,
) -> Imported:
    crops = {
        (frame, identity): MaskCrop.of(resized(mask > 0, frames.size_wh))
        for frame, people in enumerate(masks)
        for identity, mask in zip(object_ids.tolist(), people, strict=True)
    }
    return from_masks(crops, frames)


def _object_ids(arrays: Npz, people: int) -> Int[np.ndarray, " person"]:
    if OBJECT_IDS not in arrays:
        return np.arange(people)
    ids = whole_numbers(arrays[OBJECT_IDS], OBJECT_IDS, people)
    if len(np.unique(ids)) != people:
        refuse(f"`{OBJECT_IDS}` names a person twice")
    return ids
