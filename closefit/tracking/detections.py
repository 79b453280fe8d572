"""What a detector finds: in one picture, and collected over a clip."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from closefit.mask_stack import join
from closefit.records import DetectedPeople
from closefit.tracking.colours import describe_clothes
from closefit.tracking.mask_crops import MaskCrop


@dataclass(frozen=True, eq=False)
class Detections:
    """People in one picture, in its pixels.

    Attributes:
        boxes_xyxy: Left, top, right, bottom.
        scores: Confidence that this is a person.
        keypoints: COCO-17 x, y and confidence.
        masks: Pixels of each person; all False where the detector has none.
        landmarks_3d_m: Metric 3D keypoints about the person's hip midpoint, in camera axes, and
            confidence; None where the detector has none.
    """

    boxes_xyxy: Float[np.ndarray, "person 4"]
    scores: Float[np.ndarray, " person"]
    keypoints: Float[np.ndarray, "person 17 3"]
    masks: Bool[np.ndarray, "person height width"]
    landmarks_3d_m: Float[np.ndarray, "person 17 4"] | None = None


class DetectionCollector:
    """Collects the detections of a clip picture by picture, without keeping the pictures."""

    def __init__(self) -> None:
        """Start with no picture."""
        self._found: list[tuple[np.ndarray, ...]] = []
        self._masks: list[MaskCrop] = []
        self._size_wh = (0, 0)

    def add(self, image: UInt8[np.ndarray, "height width 3"], found: Detections) -> None:
        """Add the detections in the next picture."""
        self._size_wh = image.shape[1], image.shape[0]
        masks = found.masks if found.masks.any(axis=(1, 2)).all() else None
        colours = describe_clothes(image, found.keypoints, masks)
        landmarks = found.landmarks_3d_m
        if landmarks is None:
            landmarks = np.zeros((len(found.scores), 0, 4))
        self._masks.extend(MaskCrop.of(mask) for mask in found.masks)
        self._found.append((found.boxes_xyxy, found.scores, found.keypoints, colours, landmarks))

    def finish(self, time_s: Float[np.ndarray, " frame"]) -> DetectedPeople:
        """Return all detections; `time_s` holds the time stamp of each picture, at least one."""
        counts = [len(scores) for _, scores, *_ in self._found]
        *columns, landmarks = zip(*self._found, strict=True)
        boxes, scores, keypoints, colours = map(np.concatenate, columns)
        # Landmarks count only if everybody has them.
        known = [of_frame for of_frame in landmarks if len(of_frame)]
        complete = bool(known) and all(of_frame.shape[1] for of_frame in known)
        mask_bytes, mask_ends = join(mask.deflated for mask in self._masks)
        corners = np.array([mask.corners for mask in self._masks], dtype=np.int64)
        return DetectedPeople(
            time_s=time_s,
            size_wh=np.array(self._size_wh),
            frame=np.repeat(np.arange(len(counts)), counts),
            boxes_xyxy=boxes,
            scores=scores,
            keypoints=keypoints,
            landmarks_3d_m=np.concatenate(known) if complete else np.zeros((len(scores), 0, 4)),
            colours=colours,
            identity=np.full(len(scores), -1),
            mask_corners=corners.reshape(-1, 4),
            mask_bytes=mask_bytes,
            mask_ends=mask_ends,
        )


def box_iou(
    boxes: Float[np.ndarray, "*batch first 4"], others: Float[np.ndarray, "*batch second 4"]
) -> Float[np.ndarray, "*batch first second"]:
    """Intersection over union of every box with every other one."""
    one, two = boxes[..., :, None, :], others[..., None, :, :]
    low = np.maximum(one[..., :2], two[..., :2])
    high = np.minimum(one[..., 2:], two[..., 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    areas = [np.prod(np.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1) for b in (one, two)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9))
