"""closefit's own file of detections, checked completely.

The file is an `.npz` with, for two people over T frames,

- `boxes` (T, 2, 4): xyxy in pixels; NaN where the person is not seen,
- `keypoints` (T, 2, 17, 3): COCO-17, x, y in pixels and confidence in [0, 1]; NaN where unknown,
- `union_masks`, `union_masks_shape`: packed bits of the pixels of both people (T, height, width),
- `width`, `height`, `fps`: of the video.

Pixels have (0, 0) at the top left corner of the image. T is the number of frames of the video, or
of the chosen part of it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Shaped

from closefit.errors import ObservationsError
from closefit.imports.detections import npz
from closefit.imports.detections.imported import Imported, Listed, finish
from closefit.imports.detections.part import Part
from closefit.imports.detections.refusals import HINT
from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.mask_crops import MaskCrop

KEYS = ("boxes", "keypoints", "union_masks_shape", "width", "height", "fps")
MASKS = "union_masks"
"""By far the largest; read frame by frame."""

NUM_KEYPOINTS = 17


def read_arrays(path: Path, part: Part) -> Imported:
    """Read the detections of two people. Their order is a first guess: it may change by mistake.

    Raises:
        ObservationsError: It does not follow the format or does not belong to this video.
    """
    arrays = _load(path)
    with npz.stored_array(path, MASKS) as masks:
        return _read(path, arrays, masks, part)


def _read(
    path: Path, arrays: Mapping[str, np.ndarray], packed: npz.StoredArray, part: Part
) -> Imported:
    _check_masks(path, arrays["boxes"], arrays["union_masks_shape"], packed)
    _check_video(path, arrays, part)
    chosen = part.of_every_frame(path, len(arrays["boxes"]))
    _, height, width = (int(n) for n in arrays["union_masks_shape"])
    boxes = arrays["boxes"].astype(np.float64)
    keypoints = arrays["keypoints"].astype(np.float64)
    seen = np.isfinite(boxes).all(axis=-1)
    frame, person = np.nonzero(seen)
    listed = Listed(
        frame=frame - chosen.start,
        boxes_xyxy=boxes[seen],
        scores=np.ones(len(frame)),
        keypoints=keypoints[seen],
        masks=[MaskCrop.empty()] * len(frame),
        identity=person,
    )
    masks = _masks(packed, (height, width), chosen)
    silhouettes = MaskStack.of(masks, (width, height))
    return replace(finish(path, part, listed), silhouettes=silhouettes, identity_trusted=False)


def _load(path: Path) -> Mapping[str, np.ndarray]:
    arrays = npz.read_arrays(path, KEYS)
    present = npz.names(path)
    for key in (*KEYS, MASKS):
        if key not in present:
            _refuse(path, key, "is missing")
    for key, array in arrays.items():
        if array.dtype.kind not in "fiu":
            _refuse(path, key, f"holds `{array.dtype}` instead of numbers")
    _check_people(path, arrays)
    return arrays


def _check_people(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    boxes, keypoints = arrays["boxes"], arrays["keypoints"]
    if boxes.ndim != 3 or boxes.shape[1:] != (2, 4):
        _refuse(path, "boxes", f"has shape {boxes.shape} instead of (frames, 2, 4)")
    expected = (len(boxes), 2, NUM_KEYPOINTS, 3)
    if keypoints.shape != expected:
        _refuse(path, "keypoints", f"has shape {keypoints.shape} instead of {expected}")
    for key in ("boxes", "keypoints"):
        infinite = np.isinf(arrays[key])
        if infinite.any():
            _refuse(path, key, f"is infinite in frame {np.argwhere(infinite)[0][0]}")
    partial = np.isnan(boxes).any(axis=-1) & ~np.isnan(boxes).all(axis=-1)
    if partial.any():
        _refuse(path, "boxes", f"is half NaN in frame {np.argwhere(partial)[0][0]}")
    reversed_sides = (boxes[..., 2:] <= boxes[..., :2]).any(axis=-1)
    if reversed_sides.any():
        frame = np.argwhere(reversed_sides)[0][0]
        _refuse(path, "boxes", f"is not (left, top, right, bottom) in frame {frame}")
    confidence = keypoints[..., 2]
    outside = (confidence < 0) | (confidence > 1)
    if outside.any():
        frame = np.argwhere(outside)[0][0]
        _refuse(path, "keypoints", f"has confidence {confidence[outside][0]:g} in frame {frame}")


def _check_masks(
    path: Path,
    boxes: Float[np.ndarray, "frame 2 4"],
    shape: Shaped[np.ndarray, "..."],
    packed: npz.StoredArray,
) -> None:
    if shape.shape != (3,) or (shape < 1).any() or shape[0] != len(boxes):
        _refuse(
            path,
            "union_masks_shape",
            f"is {shape.tolist()} instead of [{len(boxes)}, height, width]",
        )
    expected = -(-int(np.prod(shape, dtype=np.int64)) // 8)
    if packed.dtype != np.uint8 or packed.shape != (expected,):
        _refuse(
            path,
            MASKS,
            f"has {math.prod(packed.shape)} values of type {packed.dtype} instead of {expected} "
            "of type uint8",
        )


def _check_video(path: Path, arrays: Mapping[str, np.ndarray], part: Part) -> None:
    for key in ("width", "height", "fps"):
        if arrays[key].size != 1:
            _refuse(path, key, f"has shape {arrays[key].shape} instead of one number")
    part.check_size(path, int(arrays["width"].item()), int(arrays["height"].item()))
    part.check_fps(path, float(arrays["fps"].item()))
    _, height, width = (int(n) for n in arrays["union_masks_shape"])
    part.check_shape(path, width, height)


def _masks(packed: npz.StoredArray, shape: tuple[int, int], chosen: slice) -> Iterator[bytes]:
    """Yield the mask of each frame; one at a time is read."""
    size = shape[0] * shape[1]
    taken, last = 0, np.zeros(0, dtype=np.uint8)
    for frame in range(chosen.stop):
        first_bit = frame * size
        low, high = first_bit // 8, -(-(first_bit + size) // 8)
        # A frame that starts within a byte shares it with the frame before.
        part = np.concatenate([last[: taken - low], packed.take(high - taken)])
        taken, last = high, part[-1:]
        if frame >= chosen.start:
            bits = np.unpackbits(part)[first_bit - 8 * low :][:size]
            yield deflate(bits.reshape(shape).view(bool))


def _refuse(path: Path, key: str, problem: str) -> NoReturn:
    raise ObservationsError(f"`{key}` in `{path}` {problem}", HINT)
