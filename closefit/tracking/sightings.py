"""Everything a detector found in a clip, kept small enough for any number of people."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from closefit.mask_stack import join, split
from closefit.records import DetectedPeople
from closefit.tracking.colours import describe_clothes
from closefit.tracking.detections import Detections
from closefit.tracking.mask_crops import MaskCrop
from closefit.tracking.people import PairDetections


@dataclass(frozen=True, eq=False)
class Sightings:
    """All detections of a clip, in order of frames.

    Attributes:
        num_frames: Length of the clip.
        frame: Frame of each detection.
        boxes_xyxy: In pixels of the pictures that the detector was given.
        scores: Confidence that this is a person.
        keypoints: COCO-17 x, y in the same pixels, and confidence.
        colours: Description of the clothes; NaN where unknown.
        masks: Pixels of the person; an empty crop where the detector gave none.
        identity: Number of the person as an import knows it; -1 where unknown.
        landmarks_3d_m: Metric 3D keypoints and confidence; size 0 where the detector has none.
    """

    num_frames: int
    frame: Int[np.ndarray, " detection"]
    boxes_xyxy: Float[np.ndarray, "detection 4"]
    scores: Float[np.ndarray, " detection"]
    keypoints: Float[np.ndarray, "detection 17 3"]
    colours: Float[np.ndarray, "detection colour"]
    masks: list[MaskCrop]
    identity: Int[np.ndarray, " detection"]
    landmarks_3d_m: Float[np.ndarray, "detection landmark 4"]

    @property
    def height_px(self) -> Float[np.ndarray, " detection"]:
        """Heights of the boxes."""
        heights: Float[np.ndarray, " detection"] = self.boxes_xyxy[:, 3] - self.boxes_xyxy[:, 1]
        return heights

    def of(self, detections: Int[np.ndarray, " chosen"]) -> "Sightings":
        """Some of the detections, in order of frames."""
        return Sightings(
            num_frames=self.num_frames,
            frame=self.frame[detections],
            boxes_xyxy=self.boxes_xyxy[detections],
            scores=self.scores[detections],
            keypoints=self.keypoints[detections],
            colours=self.colours[detections],
            masks=[self.masks[number] for number in detections],
            identity=self.identity[detections],
            landmarks_3d_m=self.landmarks_3d_m[detections],
        )

    @classmethod
    def of_pair(cls, pair: PairDetections) -> "Sightings":
        """Return two people's detections as sightings whose identities are given."""
        frame, person = np.nonzero(pair.seen)
        return cls(
            num_frames=len(pair.seen),
            frame=frame,
            boxes_xyxy=pair.boxes_xyxy[frame, person],
            scores=np.ones(len(frame)),
            keypoints=pair.keypoints[frame, person],
            colours=pair.colours[frame, person],
            masks=[MaskCrop.empty()] * len(frame),
            identity=person,
            landmarks_3d_m=np.zeros((len(frame), 0, 4)),
        )

    def to_record(
        self, time_s: Float[np.ndarray, " frame"], size_wh: tuple[int, int]
    ) -> DetectedPeople:
        """Return everything as it is kept on disk; `size_wh` is that of the pictures."""
        corners = np.array([mask.corners for mask in self.masks], dtype=np.int64).reshape(-1, 4)
        mask_bytes, mask_ends = join(mask.deflated for mask in self.masks)
        return DetectedPeople(
            time_s=time_s,
            size_wh=np.array(size_wh),
            frame=self.frame,
            boxes_xyxy=self.boxes_xyxy,
            scores=self.scores,
            keypoints=self.keypoints,
            landmarks_3d_m=self.landmarks_3d_m,
            colours=self.colours,
            identity=self.identity,
            mask_corners=corners,
            mask_bytes=mask_bytes,
            mask_ends=mask_ends,
        )

    @classmethod
    def from_record(cls, record: DetectedPeople) -> "Sightings":
        """Inverse of `to_record`."""
        masks = [
            MaskCrop(slice(top, bottom), slice(left, right), deflated)
            for (left, top, right, bottom), deflated in zip(
                record.mask_corners.tolist(),
                split(record.mask_bytes, record.mask_ends),
                strict=True,
            )
        ]
        return cls(
            num_frames=len(record.time_s),
            frame=record.frame,
            boxes_xyxy=record.boxes_xyxy,
            scores=record.scores,
            keypoints=record.keypoints,
            colours=record.colours,
            masks=masks,
            identity=record.identity,
            landmarks_3d_m=record.landmarks_3d_m,
        )


class SightingsBuilder:
    """Collects detections picture by picture, keeping none of the pictures."""

    def __init__(self) -> None:
        """Start with no picture."""
        self._frames: list[Detections] = []
        self._colours: list[Float[np.ndarray, "person colour"]] = []
        self._masks: list[MaskCrop] = []

    def add(self, image: UInt8[np.ndarray, "height width 3"], found: Detections) -> None:
        """Add what was found in the next picture."""
        masks = found.masks if found.masks.any(axis=(1, 2)).all() else None
        self._colours.append(describe_clothes(image, found.keypoints, masks))
        self._masks.extend(MaskCrop.of(mask) for mask in found.masks)
        nothing = np.zeros((len(found.masks), 0, 0), dtype=bool)
        self._frames.append(replace(found, masks=nothing))

    def finish(self) -> Sightings:
        """Return everything added so far; there must have been at least one picture."""
        counts = [len(found.scores) for found in self._frames]
        return Sightings(
            num_frames=len(counts),
            frame=np.repeat(np.arange(len(counts)), counts),
            boxes_xyxy=np.concatenate([found.boxes_xyxy for found in self._frames]),
            scores=np.concatenate([found.scores for found in self._frames]),
            keypoints=np.concatenate([found.keypoints for found in self._frames]),
            colours=np.concatenate(self._colours),
            masks=self._masks,
            identity=np.full(sum(counts), -1),
            landmarks_3d_m=_landmarks(self._frames),
        )


def _landmarks(frames: list[Detections]) -> Float[np.ndarray, "detection landmark 4"]:
    """Landmarks of all frames; none at all where some people have none."""
    given = [found.landmarks_3d_m for found in frames if len(found.scores)]
    known = [landmarks for landmarks in given if landmarks is not None]
    if not known or len(known) < len(given):
        return np.zeros((sum(len(found.scores) for found in frames), 0, 4))
    return np.concatenate(known)
