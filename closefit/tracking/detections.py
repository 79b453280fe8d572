"""What a detector says about the people in one picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, eq=False)
class Detections:
    """People in one picture, in its pixels.

    Attributes:
        boxes_xyxy: Left, top, right, bottom.
        scores: Confidence that this is a person.
        keypoints: COCO-17 x, y and confidence.
        masks: Pixels of each person; all False where the detector gave none.
        landmarks_3d_m: Metric 3D keypoints about the person's hip midpoint, in camera axes, and
            confidence; None where the detector gives none.
    """

    boxes_xyxy: Float[np.ndarray, "person 4"]
    scores: Float[np.ndarray, " person"]
    keypoints: Float[np.ndarray, "person 17 3"]
    masks: Bool[np.ndarray, "person height width"]
    landmarks_3d_m: Float[np.ndarray, "person 17 4"] | None = None


def box_iou(
    boxes: Float[np.ndarray, "*batch first 4"], others: Float[np.ndarray, "*batch second 4"]
) -> Float[np.ndarray, "*batch first second"]:
    """Intersection over union of every box with every other one."""
    one, two = boxes[..., :, None, :], others[..., None, :, :]
    low = np.maximum(one[..., :2], two[..., :2])
    high = np.minimum(one[..., 2:], two[..., 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    areas = [np.prod(np.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1) for b in (one, two)]
    iou: Float[np.ndarray, "*batch first second"] = shared / np.maximum(
        areas[0] + areas[1] - shared, 1e-9
    )
    return iou
