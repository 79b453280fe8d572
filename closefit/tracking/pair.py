"""Two people's detections over a clip."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from closefit.records import DetectedPeople
from closefit.tracking.mask_crops import MaskCrop, mask_crops

Columns = Int[np.ndarray, "frame 2"]
"""Number of the detection of each of two people in each frame; -1 where there is none."""


@dataclass(frozen=True, eq=False)
class Pair:
    """What was detected of two people, one column each, in pixels of the working size.

    Attributes:
        boxes_xyxy: NaN where the person was not detected.
        keypoints: x, y and confidence; all 0 where unknown.
        colours: Description of the clothes (see `colours`); NaN where unknown.
        masks: `MaskCrop` of each person, empty where unknown; None if there is no mask at all.
        landmarks_3d_m: As in `Track`, 0 where unknown; None if there are none at all.
    """

    boxes_xyxy: Float[np.ndarray, "frame person 4"]
    keypoints: Float[np.ndarray, "frame person keypoint 3"]
    colours: Float[np.ndarray, "frame person colour"]
    masks: Shaped[np.ndarray, "frame person"] | None = None
    landmarks_3d_m: Float[np.ndarray, "frame person landmark 4"] | None = None

    @classmethod
    def of(cls, people: DetectedPeople, columns: Columns) -> "Pair":
        """Gather the detections of two people."""
        masks = np.array(mask_crops(people), dtype=object)
        return cls(
            boxes_xyxy=people.boxes_xyxy[columns],
            keypoints=people.keypoints[columns],
            colours=people.colours[columns],
            masks=masks[columns] if len(people.mask_bytes) else None,
            landmarks_3d_m=people.landmarks_3d_m[columns],
        ).without(columns < 0)

    @property
    def seen(self) -> Bool[np.ndarray, "frame person"]:
        """Frames in which each person was detected."""
        return np.asarray(np.isfinite(self.boxes_xyxy).all(axis=-1))

    @property
    def height_px(self) -> Float[np.ndarray, " person"]:
        """Usual box height of each person."""
        return usual_height_px(self.boxes_xyxy)

    def at(self, frames: Int[np.ndarray, " chosen"]) -> "Pair":
        """Return the detections in some of the frames."""
        return self._changed(lambda values, _unknown: values[frames])

    def swapped(self, frames: Bool[np.ndarray, " frame"]) -> "Pair":
        """Return the detections with the two people swapped in `frames`."""
        return self._changed(lambda values, _unknown: swap(values, frames))

    def without(self, dropped: Bool[np.ndarray, "frame person"]) -> "Pair":
        """Return the detections except for the dropped ones."""

        def cleared(values: np.ndarray, unknown: object) -> np.ndarray:
            kept = values.copy()
            kept[dropped] = unknown
            return kept

        return self._changed(cleared)

    def _changed(self, change: Callable[[np.ndarray, object], np.ndarray]) -> "Pair":
        """Apply `change` to each array and its value for unknown."""
        masks, landmarks = self.masks, self.landmarks_3d_m
        return Pair(
            boxes_xyxy=change(self.boxes_xyxy, np.nan),
            keypoints=change(self.keypoints, 0.0),
            colours=change(self.colours, np.nan),
            masks=None if masks is None else change(masks, MaskCrop.empty()),
            landmarks_3d_m=None if landmarks is None else change(landmarks, 0.0),
        )


def swap(
    values: Shaped[np.ndarray, "frame person *rest"], frames: Bool[np.ndarray, " frame"]
) -> Shaped[np.ndarray, "frame person *rest"]:
    """Return `values` with the person axis reversed in `frames`."""
    swapped: np.ndarray = values.copy()
    swapped[frames] = values[frames, ::-1]
    return swapped


def usual_height_px(
    boxes_xyxy: Float[np.ndarray, "frame person 4"],
) -> Float[np.ndarray, " person"]:
    """Box height of each person when upright: the third quartile, as people bend; 1 if unseen."""
    heights = boxes_xyxy[..., 3] - boxes_xyxy[..., 1]
    known = [column[np.isfinite(column)] for column in heights.T]
    return np.array([np.percentile(column, 75) if len(column) else 1.0 for column in known])
