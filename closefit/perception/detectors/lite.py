"""Boxes from RTMDet-nano, keypoints, 3D landmarks and masks from BlazePose: quick on any CPU.

BlazePose describes one person, often the nearest one, so it receives only the inside of that
person's box. The rotation of the square comes from the person's last pose. Of two poses that
coincide, the one that continues its own person's motion is kept. Measured on rendered clips
(docs/perception.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image as Pillow
from scipy.optimize import linear_sum_assignment

from closefit.perception.detectors.blazepose import BlazePose, BlazePoseResult
from closefit.perception.detectors.rtmdet import RtmdetDetector
from closefit.tracking.detections import Detections, box_iou

SAME_PERSON = 0.5
"""A box belongs to the person whose last box it overlaps at least this much."""

SAME_POSE = 0.1
"""Two poses whose keypoints are closer than this, in box heights, are one person found twice."""

MIN_PRESENCE = 0.5

NEW_STRANGENESS = 0.1
"""Strangeness of somebody new, who has no last pose."""

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A possible person in one of the boxes.

    Attributes:
        pose: Result of BlazePose in the box.
        box_xyxy: From the detector.
        score: Confidence that this is a person.
        strangeness: How far the pose is from the person's last one, in box heights.
    """

    pose: BlazePoseResult
    box_xyxy: Float[np.ndarray, "4"]
    score: float
    strangeness: float


class LiteDetector:
    """Finds people picture by picture, given in order of time: the last poses are kept."""

    batch_size = 1

    def __init__(self, boxes: Path, pose: Path, confidence: float) -> None:
        """Load the networks.

        Args:
            boxes: File of RTMDet, `.onnx`.
            pose: File of BlazePose, `.tflite`.
            confidence: Boxes below it are dropped.

        Raises:
            WeightsDamagedError: A file is no such network.
        """
        self._detector = RtmdetDetector(boxes)
        self._pose = BlazePose(pose)
        self._confidence = confidence
        self._last: list[_Candidate] = []

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the people in `images` (RGB, in order of time)."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Detections:
        boxes, scores = self._detector.detect(image, self._confidence)
        owner = _owners(self._last, boxes)
        picture = Pillow.fromarray(image)
        candidates = [
            self._look(picture, box, float(score), self._last[number] if number >= 0 else None)
            for box, score, number in zip(boxes, scores, owner, strict=True)
        ]
        found = _distinct([c for c in candidates if c.pose.presence >= MIN_PRESENCE])
        # A person whose box gave a duplicate pose is remembered with the pose before.
        missed = [
            replace(self._last[number], box_xyxy=candidate.box_xyxy)
            for candidate, number in zip(candidates, owner, strict=True)
            if number >= 0 and candidate not in found
        ]
        self._last = found + missed
        return _detections(found, picture.size)

    def _look(
        self,
        picture: Pillow.Image,
        box: Float[np.ndarray, "4"],
        score: float,
        last: _Candidate | None,
    ) -> _Candidate:
        """Estimate the pose in a box, rotated so that the person was last upright."""
        turned = 0.0 if last is None else last.pose.upright_rad
        pose = self._pose.estimate_in_box(picture, box, turned)
        strangeness = NEW_STRANGENESS if last is None else _distance(pose, last)
        return _Candidate(pose, box, score, strangeness)


def _owners(
    last: Sequence[_Candidate], boxes: Float[np.ndarray, "box 4"]
) -> Int[np.ndarray, " box"]:
    """Number of the person in the last picture to whom each box belongs; -1 for somebody new."""
    owner = np.full(len(boxes), -1)
    if last and len(boxes):
        overlap = box_iou(np.stack([person.box_xyxy for person in last]), boxes)
        for person, box in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[person, box] >= SAME_PERSON:
                owner[box] = person
    return owner


def _distinct(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Drop the pose of larger strangeness of any two that coincide."""
    kept: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: candidate.strangeness):
        if all(_distance(candidate.pose, other) >= SAME_POSE for other in kept):
            kept.append(candidate)
    return kept


def _distance(pose: BlazePoseResult, other: _Candidate) -> float:
    """Mean distance of the keypoints of two poses, in heights of the other's box."""
    apart = pose.keypoints[:, :2] - other.pose.keypoints[:, :2]
    height = max(float(other.box_xyxy[3] - other.box_xyxy[1]), 1.0)
    return float(np.linalg.norm(apart, axis=-1).mean()) / height


def _detections(people: Sequence[_Candidate], size_wh: tuple[int, int]) -> Detections:
    masks = np.zeros((len(people), size_wh[1], size_wh[0]), dtype=bool)
    if people:
        logits = np.stack([person.pose.mask_logits(size_wh) for person in people])
        # A pixel belongs to the person with the largest logit.
        owner = logits.argmax(axis=0)
        masks = (logits > 0) & (owner == np.arange(len(people))[:, None, None])
    return Detections(
        boxes_xyxy=np.array([p.box_xyxy for p in people], dtype=np.float64).reshape(-1, 4),
        scores=np.array([p.score for p in people], dtype=np.float64),
        keypoints=np.array([p.pose.keypoints for p in people]).reshape(-1, 17, 3),
        masks=masks,
        landmarks_3d_m=np.array([p.pose.landmarks_m for p in people]).reshape(-1, 17, 4),
    )
