"""In which moments of a video two people are near each other: boxes of RTMDet, a few a second.

A detector often takes two people who hold each other for one. Where one box lies in the place that
two people had, they may still be there: `shots.stretches` decides, which knows what comes later.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Float

from closefit import video
from closefit.batch.shots import SAMPLE_S, Look
from closefit.config import Config
from closefit.events import ignore
from closefit.models import downloads, weights
from closefit.perception.detectors.rtmdet import RtmdetDetector
from closefit.records import VideoInfo
from closefit.tracking.detections import box_iou
from closefit.tracking.pair_search import closeness

DETECTOR = "rtmdet-nano"
CONFIDENCE = 0.4
LONGER_SIDE_PX = 640

NEAR = 0.1
"""Least `closeness` of two boxes: about a third of a height apart."""

SAME_PLACE = 0.5
"""Least overlap of one box with that of two people, for them to be in it. Of two side by side, one
who is left has less."""

Box = Float[np.ndarray, "4"]


def people_together(info: VideoInfo, config: Config) -> Iterator[tuple[float, Look]]:
    """Yield moments of the chosen part, in seconds, and what is seen of two people.

    Raises:
        WeightsError: The detector is not here and cannot be fetched.
        InputError: The video cannot be read.
    """
    detector = _detector(config)
    start_s, end_s = config.track.start_s, config.track.end_s
    times = video.frame_times(info, start_s, end_s)
    share = min(1.0, LONGER_SIDE_PX / max(info.width, info.height))
    size = max(2, round(info.width * share)), max(2, round(info.height * share))
    next_s, place = -np.inf, None
    for moment, image in zip(times, video.frames(info, start_s, end_s, size_wh=size), strict=True):
        if moment < next_s:
            continue
        next_s = float(moment) + SAMPLE_S - 0.5 / info.fps
        boxes, _ = detector.detect(image, CONFIDENCE)
        look, place = look_at(boxes, place)
        yield float(moment), look


def look_at(boxes: Float[np.ndarray, "person 4"], place: Box | None) -> tuple[Look, Box | None]:
    """Return what these boxes show, and the place of the two people.

    Args:
        boxes: Everybody who is seen.
        place: Where the two were in the look before; None where they were not.
    """
    pair = _nearest(boxes)
    if pair is not None:
        return "near", np.concatenate([pair[:, :2].min(axis=0), pair[:, 2:].max(axis=0)])
    if place is not None and len(boxes):
        overlaps = box_iou(boxes, place[None])[:, 0]
        if overlaps.max() >= SAME_PLACE:
            return "one", boxes[overlaps.argmax()]
    return "apart", None


def _nearest(boxes: Float[np.ndarray, "person 4"]) -> Float[np.ndarray, "2 4"] | None:
    """The two people who are nearest to each other and of about one size, if they are near."""
    pairs = list(combinations(range(len(boxes)), 2))
    if not pairs:
        return None
    first, second = np.array(pairs).T
    found = closeness(boxes[first], boxes[second])
    return boxes[list(pairs[found.argmax()])] if found.max() >= NEAR else None


def _detector(config: Config) -> RtmdetDetector:
    folder = config.weights_dir
    if weights.find(DETECTOR, folder) is None:
        if config.offline:
            raise weights.missing_error([DETECTOR], folder)
        downloads.fetch_all([weights.get(DETECTOR)], weights.download_folder(folder), ignore)
    return RtmdetDetector(weights.locate(DETECTOR, folder))
