"""closefit's own file of detections, checked completely.

The file is an `.npz` with, for two people over T frames,

- `boxes` (T, 2, 4): xyxy in pixels; NaN where the person is not seen,
- `keypoints` (T, 2, 17, 3): COCO-17, x, y in pixels and confidence in [0, 1]; NaN where unknown,
- `union_masks`, `union_masks_shape`: packed bits of the pixels of both people (T, height, width),
- `width`, `height`, `fps`: of the video.

Pixels have (0, 0) at the top left corner of the image. T is the number of frames of the video, or
the number of chosen frames.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from closefit.boundary.arrays import Npz, StoredArray
from closefit.boundary.values import number, numbers, refuse, whole_number, whole_numbers
from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.listed import Listed, finish
from closefit.mask_stack import MaskStack, deflate

MASKS = "union_masks"
"""By far the largest; read frame by frame."""

NUM_KEYPOINTS = 17


def read_arrays(arrays: Npz, frames: FrameRange) -> Imported:
    """Read the detections of two people. Their order is a first guess: it may change by mistake."""
    boxes, keypoints = _people(arrays)
    with arrays.stored(MASKS) as packed:
        height, width = _mask_size(arrays, len(boxes), packed)
        frames.check_size(*(whole_number(arrays[key], key) for key in ("width", "height")))
        frames.check_fps(number(arrays["fps"], "fps", 0.0, 1e6))
        frames.check_shape(width, height)
        chosen = frames.of_every_frame(len(boxes))
        masks = _masks(packed, (height, width), chosen)
        silhouettes = MaskStack.of(masks, (width, height))
    seen = np.isfinite(boxes).all(axis=-1)
    frame, person = np.nonzero(seen)
    listed = Listed(frame - chosen.start, boxes[seen], keypoints=keypoints[seen], identity=person)
    return replace(finish(frames, listed), silhouettes=silhouettes, identity_trusted=False)


def _people(
    arrays: Npz,
) -> tuple[Float[np.ndarray, "frame 2 4"], Float[np.ndarray, "frame 2 17 3"]]:
    boxes = numbers(arrays["boxes"], "boxes", None, 2, 4, unknown=True)
    shape = (len(boxes), 2, NUM_KEYPOINTS, 3)
    keypoints = numbers(arrays["keypoints"], "keypoints", *shape, unknown=True)
    missing = np.isnan(boxes)
    _none(missing.any(axis=-1) & ~missing.all(axis=-1), "`boxes` is half NaN")
    reversed_sides = (boxes[..., 2:] <= boxes[..., :2]).any(axis=-1)
    _none(reversed_sides, "`boxes` is not (left, top, right, bottom)")
    confidence = keypoints[..., 2]
    wrong = (confidence < 0) | (confidence > 1)
    _none(wrong, f"`keypoints` has confidence {confidence[wrong].max(initial=0.0):g}")
    return boxes, keypoints


def _none(wrong: Any, problem: str) -> None:
    """Refuse the first frame in which something is wrong."""
    if wrong.any():
        refuse(f"{problem} in frame {np.argwhere(wrong)[0][0]}")


def _mask_size(arrays: Npz, count: int, packed: StoredArray) -> tuple[int, int]:
    """Height and width of the masks."""
    key = f"{MASKS}_shape"
    shape = whole_numbers(arrays[key], key, 3, low=1, high=1 << 31).tolist()
    if shape[0] != count:
        refuse(f"`{key}` is {shape} instead of [{count}, height, width]")
    expected = -(-math.prod(shape) // 8)
    if packed.dtype != np.uint8 or packed.shape != (expected,):
        refuse(
            f"`{MASKS}` has {math.prod(packed.shape)} values of type {packed.dtype} instead of "
            f"{expected} of type uint8"
        )
    return shape[1], shape[2]


def _masks(packed: StoredArray, shape: tuple[int, int], chosen: slice) -> Iterator[bytes]:
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
