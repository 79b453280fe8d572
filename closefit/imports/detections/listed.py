"""Detections as a file lists them, and the checks that all formats share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from closefit.body.keypoints import COCO17
from closefit.boundary.values import refuse
from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.layouts import to_coco17
from closefit.tracking.mask_crops import MaskCrop

MAX_CONFIDENCE = 10.0
"""Some tools' confidences exceed 1, which then counts as sure; beyond this it is something else."""

ABSURD_SIZES = 10.0
"""Nobody is this many picture sizes away from the picture."""

MAX_PEOPLE = 100
"""More people in one frame are a mistake; detectors commonly list at most so many."""

BOX_MARGINS = np.array([0.07, 0.09, 0.07, 0.06])
"""How far people reach beyond their keypoints (left, top, right, bottom), in box heights."""

MIN_BOX_PX = 2.0
"""Smaller boxes are not drawn around keypoints."""

MIN_SIDE_PX = 0.1
"""A box of a file with a shorter side is a mistake."""


@dataclass(frozen=True, eq=False)
class Listed:
    """Detections as a file lists them: in any order, in pixels of the video.

    Attributes:
        frame: Chosen frame; detections outside of these are dropped.
        boxes_xyxy: NaN where the file has none.
        scores: Confidence that this is a person; NaN where the file has none.
        keypoints: In the file's set; NaN or confidence 0 where unknown.
        masks: At working size; empty where the file has none.
        identity: Number of the person; -1 where the file has none.
        keypoint_names: Names of the keypoints in the file.
    """

    frame: Int[np.ndarray, " detection"]
    boxes_xyxy: Float[np.ndarray, "detection 4"] | None = None
    scores: Float[np.ndarray, " detection"] | None = None
    keypoints: Float[np.ndarray, "detection keypoint 3"] | None = None
    masks: list[MaskCrop] | None = None
    identity: Int[np.ndarray, " detection"] | None = None
    keypoint_names: Sequence[str] | None = None


def finish(frames: FrameRange, listed: Listed) -> Imported:
    """Check what a file lists, cut it to the chosen frames, and bring it into the common form.

    Raises:
        RefusedError: A value cannot be right, or one person is twice in a frame.
    """
    count = len(listed.frame)
    boxes = np.full((count, 4), np.nan) if listed.boxes_xyxy is None else listed.boxes_xyxy
    points = np.zeros((count, 0, 3)) if listed.keypoints is None else listed.keypoints
    scores = np.ones(count) if listed.scores is None else listed.scores
    identity = np.full(count, -1) if listed.identity is None else listed.identity
    all_masks = [MaskCrop.empty()] * count if listed.masks is None else listed.masks
    frame_in_video = listed.frame + frames.frames.start
    _check_places(frames, frame_in_video, boxes, points)
    _check_confidence(frame_in_video, points)
    inside = (listed.frame >= 0) & (listed.frame < frames.num_frames)
    order = np.flatnonzero(inside)[np.argsort(listed.frame[inside], kind="stable")]
    frame, identity = listed.frame[order], identity[order]
    _check_people(frame, identity)
    keypoints = _known_keypoints(points, listed.keypoint_names)[order] * np.append(frames.scale, 1)
    masks = [all_masks[number] for number in order]
    box_given = np.isfinite(boxes[order]).all(axis=-1)
    candidates = (
        np.where(box_given[:, None], boxes[order] * np.tile(frames.scale, 2), np.nan),
        _mask_boxes(masks),
        _keypoint_boxes(keypoints, frames.size_wh),
    )
    best = candidates[0]
    for other in candidates[1:]:
        best = np.where(np.isfinite(best), best, other)
    imported = Imported(
        size_wh=frames.size_wh,
        frame=frame,
        boxes_xyxy=best,
        box_given=box_given,
        scores=np.nan_to_num(scores[order], nan=1.0).clip(0.0, 1.0),
        keypoints=keypoints,
        masks=masks,
        identity=identity,
    )
    return imported.of(np.flatnonzero(np.isfinite(best).all(axis=-1)))


def from_masks(people: Mapping[tuple[int, int], MaskCrop], frames: FrameRange) -> Imported:
    """Masks by chosen frame and number of the person, in the common form.

    Raises:
        RefusedError: All are empty.
    """
    shown = {place: mask for place, mask in people.items() if not mask.is_empty}
    if not shown:
        refuse("it shows nobody: all its masks are empty")
    frame, identity = np.array(sorted(shown), dtype=np.int64).T
    masks = [shown[place] for place in sorted(shown)]
    return finish(frames, Listed(frame, masks=masks, identity=identity))


def boxes_from_xywh(
    boxes: Float[np.ndarray, "detection 4"],
) -> Float[np.ndarray, "detection 4"]:
    """From left, top, width, height to left, top, right, bottom; NaN where a size is 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=-1)
    return np.where((boxes[:, 2:] != 0).all(axis=-1, keepdims=True), corners, np.nan)


def _check_places(
    frames: FrameRange,
    frame: Int[np.ndarray, " detection"],
    boxes: Float[np.ndarray, "detection 4"],
    keypoints: Float[np.ndarray, "detection keypoint 3"],
) -> None:
    """Refuse infinite and absurd places, and boxes without extent; NaN stands for unknown."""
    sides = boxes[:, 2:] - boxes[:, :2]
    video = frames.video
    for name, places in (("keypoint", keypoints[..., :2]), ("box", boxes.reshape(-1, 2, 2))):
        absurd = np.argwhere(np.abs(places) > ABSURD_SIZES * np.array([video.width, video.height]))
        if len(absurd):
            where = tuple(absurd[0][:2])
            refuse(
                f"it has a {name} at {_pair(places[where])} in frame {frame[where[0]]} of a video "
                f"of {video.width}x{video.height} pixels",
                "leave unknown values out, or write null or NaN",
            )
    flat = np.argwhere(sides < MIN_SIDE_PX)
    if len(flat):
        place = flat[0][0]
        refuse(f"it has a box of size {_pair(sides[place])} in frame {frame[place]}")
    known = keypoints[..., 2] > 0
    if known.sum() > 1 and np.nanmax(np.abs(keypoints[known][:, :2])) <= 1.0:
        refuse(
            "it has keypoints between -1 and 1, so they are not in pixels",
            "write pixels of the video; for OpenPose leave out --keypoint_scale",
        )


def _check_confidence(
    frame: Int[np.ndarray, " detection"], keypoints: Float[np.ndarray, "detection keypoint 3"]
) -> None:
    confidence = keypoints[..., 2]
    wrong = (confidence < 0) | (confidence > MAX_CONFIDENCE)
    if wrong.any():
        refuse(
            f"it has a keypoint of confidence {confidence[wrong][0]:g} in frame "
            f"{frame[np.argwhere(wrong)[0][0]]}",
            "confidences go from 0 (unknown) to 1 (sure)",
        )


def _check_people(
    frame: Int[np.ndarray, " detection"], identity: Int[np.ndarray, " detection"]
) -> None:
    """Refuse too many people in a frame, and one person twice."""
    frames, people = np.unique(frame, return_counts=True)
    if (people > MAX_PEOPLE).any():
        crowded = people.argmax()
        refuse(
            f"it has {people[crowded]} people in frame {frames[crowded]} of the clip; at most "
            f"{MAX_PEOPLE} are read",
            "keep the detections of people with the highest scores",
        )
    pairs = np.stack([frame, identity], axis=-1)[identity >= 0]
    unique, count = np.unique(pairs, axis=0, return_counts=True)
    if (count > 1).any():
        where, person = unique[count > 1][0]
        refuse(
            f"it has person {person} twice in frame {where}, counted from the start of the clip",
            "give everybody in a frame another number, or leave the numbers out",
        )


def _known_keypoints(
    given: Float[np.ndarray, "detection keypoint 3"], names: Sequence[str] | None
) -> Float[np.ndarray, "detection 17 3"]:
    """COCO-17 with zeros where unknown."""
    if given.shape[1] == 0:
        return np.zeros((len(given), len(COCO17.names), 3))
    keypoints = to_coco17(given, names)
    known = np.isfinite(keypoints).all(axis=-1, keepdims=True) & (keypoints[..., 2:] > 0)
    keypoints = np.where(known, keypoints, 0.0)
    keypoints[..., 2] = keypoints[..., 2].clip(max=1.0)
    return keypoints


def _mask_boxes(masks: list[MaskCrop]) -> Float[np.ndarray, "detection 4"]:
    """Boxes around masks; NaN around none."""
    sides = [(np.nan,) * 4 if mask.is_empty else mask.corners for mask in masks]
    return np.array(sides, dtype=np.float64).reshape(-1, 4)


def _keypoint_boxes(
    keypoints: Float[np.ndarray, "detection 17 3"], size_wh: tuple[int, int]
) -> Float[np.ndarray, "detection 4"]:
    """Boxes around known keypoints, with a margin, inside the picture; NaN around none."""
    known = keypoints[..., 2:] > 0
    low = np.where(known, keypoints[..., :2], np.inf).min(axis=1)
    high = np.where(known, keypoints[..., :2], -np.inf).max(axis=1)
    height = np.maximum(high - low, 1.0).max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        boxes = np.concatenate([low, high], axis=-1) + height * BOX_MARGINS * (-1, -1, 1, 1)
        boxes = boxes.clip(0.0, np.tile(np.array(size_wh, dtype=np.float64), 2))
    sides = boxes[:, 2:] - boxes[:, :2]
    usable = np.isfinite(low).all(axis=-1) & (sides >= MIN_BOX_PX).all(axis=-1)
    return np.where(usable[:, None], boxes, np.nan)


def _pair(values: Float[np.ndarray, "2"]) -> str:
    return f"({values[0]:g}, {values[1]:g})"
