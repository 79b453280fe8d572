"""Reads a file of detections made elsewhere, and checks it completely.

The file is an `.npz` with, for two people over T frames,

- `boxes` (T, 2, 4): xyxy in pixels; NaN where the person is not seen,
- `keypoints` (T, 2, 17, 3): COCO-17, x, y in pixels and confidence in [0, 1]; NaN where unknown,
- `union_masks`, `union_masks_shape`: packed bits of the pixels of both people (T, height, width),
- `width`, `height`, `fps`: of the video.

Pixels have (0, 0) at the top left corner of the image. T is the number of frames of the video, or
of the chosen part of it.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Int, UInt8

from closefit.errors import FileMissingError, ObservationsError
from closefit.records import VideoInfo

KEYS = ("boxes", "keypoints", "union_masks", "union_masks_shape", "width", "height", "fps")
NUM_KEYPOINTS = 17
HINT = "the README describes the file's format under `--observations`"

FRAME_SLACK = 1
"""Decoders disagree about the last frame of some files."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Detections of two people in the frames of a video's part.

    Attributes:
        boxes_xyxy: In pixels; NaN where the person is not seen.
        keypoints: COCO-17 in pixels and confidence; 0 where unknown.
        union_masks: Packed bits per frame.
        mask_size_wh: Width and height of the masks.
    """

    boxes_xyxy: Float[np.ndarray, "frame 2 4"]
    keypoints: Float[np.ndarray, "frame 2 17 3"]
    union_masks: UInt8[np.ndarray, "frame bytes"]
    mask_size_wh: Int[np.ndarray, "2"]


def read_observations(path: Path, video: VideoInfo, part: slice) -> Observations:
    """Read the detections for the frames `part` (counted from the video's first frame).

    Raises:
        FileMissingError: There is no such file.
        ObservationsError: It does not follow the format or does not belong to this video.
    """
    if not path.is_file():
        raise FileMissingError(
            f"there is no file of detections `{path}`", hint="check the path after --observations"
        )
    arrays = _load(path)
    _check_video(path, arrays, video)
    chosen = _choose_frames(path, len(arrays["boxes"]), video.num_frames, part)
    shape = tuple(int(n) for n in arrays["union_masks_shape"])
    boxes = arrays["boxes"][chosen].astype(np.float64)
    keypoints = arrays["keypoints"][chosen].astype(np.float64)
    seen = np.all(np.isfinite(boxes), axis=-1)
    known = np.all(np.isfinite(keypoints), axis=-1) & seen[..., None]
    return Observations(
        boxes_xyxy=boxes,
        keypoints=np.where(known[..., None], keypoints, 0.0),
        union_masks=_bits_per_frame(arrays["union_masks"], shape, chosen),
        mask_size_wh=np.array([shape[2], shape[1]]),
    )


def _load(path: Path) -> Mapping[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {key: content[key] for key in KEYS if key in content.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ObservationsError(f"`{path}` is not a readable npz file", HINT) from error
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        _refuse(path, missing[0], "is missing")
    for key, array in arrays.items():
        if array.dtype.kind not in "fiu":
            _refuse(path, key, f"holds `{array.dtype}` instead of numbers")
    _check_people(path, arrays)
    _check_masks(path, arrays)
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


def _check_masks(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    shape, masks = arrays["union_masks_shape"], arrays["union_masks"]
    if shape.shape != (3,) or (shape < 1).any() or shape[0] != len(arrays["boxes"]):
        _refuse(
            path,
            "union_masks_shape",
            f"is {shape.tolist()} instead of [{len(arrays['boxes'])}, height, width]",
        )
    expected = -(-int(np.prod(shape, dtype=np.int64)) // 8)
    if masks.dtype != np.uint8 or masks.shape != (expected,):
        _refuse(
            path,
            "union_masks",
            f"has {masks.size} values of type {masks.dtype} instead of {expected} of type uint8",
        )


def _check_video(path: Path, arrays: Mapping[str, np.ndarray], video: VideoInfo) -> None:
    for key in ("width", "height", "fps"):
        if arrays[key].size != 1:
            _refuse(path, key, f"has shape {arrays[key].shape} instead of one number")
    size = (int(arrays["width"].item()), int(arrays["height"].item()))
    if size != (video.width, video.height):
        raise ObservationsError(
            f"the detections in `{path}` are in pixels of a {size[0]}x{size[1]} video, but "
            f"`{video.path}` has {video.width}x{video.height}",
            hint="detect in this video, or scale `boxes` and `keypoints` to its size",
        )
    _, height, width = (int(n) for n in arrays["union_masks_shape"])
    if width > size[0] or height > size[1] or abs(width * size[1] / (height * size[0]) - 1) > 0.03:
        _refuse(path, "union_masks_shape", f"is {width}x{height}, not the video's shape")
    fps = float(arrays["fps"].item())
    if not abs(fps / video.fps - 1.0) < 0.1:
        _refuse(path, "fps", f"is {fps:g}, but the video has {video.fps:g}")


def _choose_frames(path: Path, given: int, in_video: int, part: slice) -> slice:
    """Frames of the file that belong to the chosen part of the video."""
    wanted = part.stop - part.start
    if abs(given - wanted) <= FRAME_SLACK and given >= wanted:
        return slice(0, wanted)
    if abs(given - in_video) <= FRAME_SLACK and given >= part.stop:
        return part
    raise ObservationsError(
        f"`{path}` holds detections for {given} frames, but the video has {in_video}"
        + (f" and the chosen part {wanted}" if wanted != in_video else ""),
        hint="detect in every frame of this video, or choose the same part with --start and --end",
    )


def _bits_per_frame(
    packed: UInt8[np.ndarray, " bytes"], shape: tuple[int, ...], chosen: slice
) -> UInt8[np.ndarray, "frame frame_bytes"]:
    """Pack every frame on its own; one frame at a time is unpacked."""
    size = shape[1] * shape[2]
    frames = []
    for frame in range(chosen.start, chosen.stop):
        first_bit = frame * size
        low, high = first_bit // 8, -(-(first_bit + size) // 8)
        bits = np.unpackbits(packed[low:high])[first_bit - 8 * low :][:size]
        frames.append(np.packbits(bits))
    return np.stack(frames)


def _refuse(path: Path, key: str, problem: str) -> NoReturn:
    raise ObservationsError(f"`{key}` in `{path}` {problem}", HINT)
