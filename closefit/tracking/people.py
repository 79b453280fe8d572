"""Two people's detections over a clip, as the steps of tracking hand them on."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from closefit.tracking.mask_crops import MaskCrop


@dataclass(frozen=True, eq=False)
class PairDetections:
    """What was detected of two people; `Track` is made of the final one.

    Attributes:
        boxes_xyxy: In pixels; NaN where the person was not detected.
        keypoints: x, y in pixels and confidence; all 0 where unknown.
        colours: Description of the clothes' colours (see `colours`); NaN where unknown.
        masks: `MaskCrop` of each person, empty where unknown; None where nobody has one.
    """

    boxes_xyxy: Float[np.ndarray, "frame person 4"]
    keypoints: Float[np.ndarray, "frame person keypoint 3"]
    colours: Float[np.ndarray, "frame person colour"]
    masks: Shaped[np.ndarray, "frame person"] | None = None

    @property
    def seen(self) -> Bool[np.ndarray, "frame person"]:
        """Frames in which each person was detected."""
        seen: Bool[np.ndarray, "frame person"] = np.isfinite(self.boxes_xyxy).all(axis=-1)
        return seen

    @property
    def height_px(self) -> Float[np.ndarray, " person"]:
        """Usual box height of each person."""
        return usual_height_px(self.boxes_xyxy)

    def of(self, frames: Int[np.ndarray, " chosen"]) -> "PairDetections":
        """Return the detections of some of the frames."""
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[frames],
            keypoints=self.keypoints[frames],
            colours=self.colours[frames],
            masks=None if self.masks is None else self.masks[frames],
        )

    def exchanged(self, frames: Bool[np.ndarray, " frame"]) -> "PairDetections":
        """Return the detections with the two people exchanged in `frames`."""
        return replace(
            self,
            boxes_xyxy=exchange(self.boxes_xyxy, frames),
            keypoints=exchange(self.keypoints, frames),
            colours=exchange(self.colours, frames),
            masks=None if self.masks is None else exchange(self.masks, frames),
        )

    def without(self, dropped: Bool[np.ndarray, "frame person"]) -> "PairDetections":
        """Return the detections but for the dropped ones."""
        return replace(
            self,
            boxes_xyxy=np.where(dropped[..., None], np.nan, self.boxes_xyxy),
            keypoints=np.where(dropped[..., None, None], 0.0, self.keypoints),
            colours=np.where(dropped[..., None], np.nan, self.colours),
            masks=None if self.masks is None else _without(self.masks, dropped),
        )


def _without(
    masks: Shaped[np.ndarray, "frame person"], dropped: Bool[np.ndarray, "frame person"]
) -> Shaped[np.ndarray, "frame person"]:
    kept: np.ndarray = masks.copy()
    kept[dropped] = MaskCrop.empty()
    return kept


def exchange(
    values: Shaped[np.ndarray, "frame person *rest"], frames: Bool[np.ndarray, " frame"]
) -> Shaped[np.ndarray, "frame person *rest"]:
    """Return `values` with the person axis reversed in `frames`."""
    mixed: np.ndarray = values.copy()
    mixed[frames] = values[frames, ::-1]
    return mixed


def usual_height_px(
    boxes_xyxy: Float[np.ndarray, "frame person 4"],
) -> Float[np.ndarray, " person"]:
    """Box height of each person when upright: the third quartile, as people bend; 1 if unseen."""
    heights = boxes_xyxy[..., 3] - boxes_xyxy[..., 1]
    known = [column[np.isfinite(column)] for column in heights.T]
    return np.array([np.percentile(column, 75) if len(column) else 1.0 for column in known])
