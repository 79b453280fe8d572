"""What one file or folder says about people, and the checks that all formats share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.body.keypoints import COCO17
from closefit.imports.detections.layouts import to_coco17
from closefit.imports.detections.part import Part
from closefit.imports.detections.refusals import refuse
from closefit.mask_stack import MaskStack
from closefit.tracking.mask_crops import MaskCrop

MAX_CONFIDENCE = 10.0
"""Some tools' confidences exceed 1, which then counts as sure; beyond this it is something else."""

ABSURD_SIZES = 10.0
"""Nobody is this many picture sizes away from the picture."""

BOX_MARGINS = np.array([0.07, 0.09, 0.07, 0.06])
"""How far people reach beyond their keypoints (left, top, right, bottom), in box heights."""

MIN_BOX_PX = 2.0


@dataclass(frozen=True, eq=False)
class Listed:
    """Detections as a file lists them: in any order, in pixels of the video.

    Attributes:
        frame: Frame of the part; detections outside of it are dropped.
        boxes_xyxy: NaN where the file has none.
        scores: Confidence that this is a person.
        keypoints: In the file's set; NaN or confidence 0 where unknown, no columns without any.
        masks: At working size; empty where the file has none.
        identity: Number of the person; -1 where the file has none.
        keypoint_names: What the file calls the keypoints.
    """

    frame: Int[np.ndarray, " detection"]
    boxes_xyxy: Float[np.ndarray, "detection 4"]
    scores: Float[np.ndarray, " detection"]
    keypoints: Float[np.ndarray, "detection keypoint 3"]
    masks: list[MaskCrop]
    identity: Int[np.ndarray, " detection"]
    keypoint_names: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Imported:
    """People of a clip, in order of frames and in pixels of the working size.

    Attributes:
        frame: Frame of each detection.
        boxes_xyxy: As given, else around the mask, else around the keypoints.
        box_given: The file had this box.
        scores: Confidence that this is a person.
        keypoints: COCO-17 and confidence; 0 where unknown.
        masks: Pixels of the person; empty where unknown.
        identity: Number of the person; -1 where unknown.
        identity_trusted: The numbers are right in all frames; else they are a first guess.
        silhouettes: Pixels of everybody together in every frame, empty where unknown; None where no
            file has these.
        tells_apart: It speaks of single people, even if it found none.
    """

    frame: Int[np.ndarray, " detection"]
    boxes_xyxy: Float[np.ndarray, "detection 4"]
    box_given: Bool[np.ndarray, " detection"]
    scores: Float[np.ndarray, " detection"]
    keypoints: Float[np.ndarray, "detection 17 3"]
    masks: list[MaskCrop]
    identity: Int[np.ndarray, " detection"]
    identity_trusted: bool = True
    silhouettes: MaskStack | None = None
    tells_apart: bool = True

    @property
    def has_keypoints(self) -> bool:
        """Whether it knows a keypoint."""
        return bool((self.keypoints[..., 2] > 0).any())

    @property
    def has_masks(self) -> bool:
        """Whether it knows a pixel of a single person."""
        return not all(mask.is_empty for mask in self.masks)

    @property
    def has_identities(self) -> bool:
        """Whether somebody has a number."""
        return bool((self.identity >= 0).any())

    def of(self, chosen: Int[np.ndarray, " chosen"]) -> "Imported":
        """Some of the detections, in order of frames."""
        return replace(
            self,
            frame=self.frame[chosen],
            boxes_xyxy=self.boxes_xyxy[chosen],
            box_given=self.box_given[chosen],
            scores=self.scores[chosen],
            keypoints=self.keypoints[chosen],
            masks=[self.masks[number] for number in chosen],
            identity=self.identity[chosen],
        )


def only_silhouettes(silhouettes: MaskStack) -> Imported:
    """An import that does not tell people apart."""
    nobody = np.zeros(0, dtype=np.int64)
    return Imported(
        frame=nobody,
        boxes_xyxy=np.zeros((0, 4)),
        box_given=np.zeros(0, dtype=bool),
        scores=np.zeros(0),
        keypoints=np.zeros((0, len(COCO17.names), 3)),
        masks=[],
        identity=nobody,
        silhouettes=silhouettes,
        tells_apart=False,
    )


def finish(path: Path, part: Part, listed: Listed) -> Imported:
    """Check what a file lists, cut it to the part, and bring it into the common form.

    Raises:
        ObservationsError: A value cannot be right, or one person is twice in a frame.
    """
    inside = (listed.frame >= 0) & (listed.frame < part.num_frames)
    order = np.flatnonzero(inside)[np.argsort(listed.frame[inside], kind="stable")]
    _check_values(path, part, listed)
    keypoints = _known_keypoints(path, listed)[order]
    masks = [listed.masks[number] for number in order]
    given = listed.boxes_xyxy[order]
    box_given = np.isfinite(given).all(axis=-1)
    scale = part.scale
    keypoints = keypoints * np.append(scale, 1.0)
    boxes = np.where(box_given[:, None], given * np.tile(scale, 2), np.nan)
    boxes = np.where(box_given[:, None], boxes, _mask_boxes(masks))
    known = np.isfinite(boxes)
    boxes = np.where(known, boxes, _keypoint_boxes(keypoints, part.size_wh))
    imported = Imported(
        frame=listed.frame[order],
        boxes_xyxy=boxes,
        box_given=box_given,
        scores=np.nan_to_num(listed.scores[order], nan=1.0).clip(0.0, 1.0),
        keypoints=keypoints,
        masks=masks,
        identity=listed.identity[order],
    )
    _check_identities(path, imported)
    return imported.of(np.flatnonzero(np.isfinite(boxes).all(axis=-1)))


def boxes_from_xywh(
    path: Path, boxes: Float[np.ndarray, "detection 4"]
) -> Float[np.ndarray, "detection 4"]:
    """From left, top, width, height to left, top, right, bottom; NaN where the size is 0.

    Raises:
        ObservationsError: A width or height is negative.
    """
    negative = np.argwhere(boxes[:, 2:] < 0)
    if len(negative):
        refuse(path, f"has a box of size {_pair(boxes[negative[0][0], 2:])}")
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=-1)
    extended = np.all(boxes[:, 2:] > 0, axis=-1)
    return np.where(extended[:, None], corners, np.nan)


def _check_values(path: Path, part: Part, listed: Listed) -> None:
    """Refuse infinite and absurd numbers; NaN is a way to say unknown."""
    points, confidence = listed.keypoints[..., :2], listed.keypoints[..., 2]
    corners = listed.boxes_xyxy.reshape(-1, 2, 2)
    limit = ABSURD_SIZES * np.array([part.video.width, part.video.height])
    for name, places in (("keypoint", points), ("box", corners)):
        absurd = np.argwhere(np.abs(places) > limit)
        if len(absurd):
            detection = tuple(absurd[0][:2])
            refuse(
                path,
                f"has a {name} at {_pair(places[detection])} in frame "
                f"{listed.frame[detection[0]] + part.frames.start} of a video of "
                f"{part.video.width}x{part.video.height} pixels",
                "leave unknown values out, or write null or NaN",
            )
    wrong = (confidence < 0) | (confidence > MAX_CONFIDENCE)
    if wrong.any():
        detection = np.argwhere(wrong)[0]
        refuse(
            path,
            f"has a keypoint of confidence {confidence[wrong][0]:g} in frame "
            f"{listed.frame[detection[0]] + part.frames.start}",
            "confidences go from 0 (unknown) to 1 (sure)",
        )
    known = confidence > 0
    if known.sum() > 1 and np.nanmax(np.abs(points[known])) <= 1.0:
        refuse(
            path,
            "has keypoints between -1 and 1, so they are not in pixels",
            "write pixels of the video; for OpenPose leave out --keypoint_scale",
        )


def _known_keypoints(path: Path, listed: Listed) -> Float[np.ndarray, "detection 17 3"]:
    """COCO-17 with zeros where unknown."""
    if listed.keypoints.shape[1] == 0:
        return np.zeros((len(listed.keypoints), len(COCO17.names), 3))
    keypoints = to_coco17(path, listed.keypoints, listed.keypoint_names)
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


def _check_identities(path: Path, imported: Imported) -> None:
    numbered = np.flatnonzero(imported.identity >= 0)
    pairs = np.stack([imported.frame[numbered], imported.identity[numbered]], axis=-1)
    unique, count = np.unique(pairs, axis=0, return_counts=True)
    if (count > 1).any():
        frame, identity = unique[count > 1][0]
        refuse(
            path,
            f"has person {identity} twice in frame {frame}, counted from the start of the clip",
            "give everybody in a frame another number, or leave the numbers out",
        )


def _pair(values: Float[np.ndarray, "2"]) -> str:
    return f"({values[0]:g}, {values[1]:g})"
