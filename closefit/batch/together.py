"""In which moments of a video two people are near each other: boxes of RTMDet, a few a second."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Float

from closefit import video
from closefit.batch.shots import SAMPLE_S
from closefit.config import Config
from closefit.events import ignore
from closefit.models import downloads, weights
from closefit.perception.detectors.rtmdet import RtmdetDetector
from closefit.records import VideoInfo
from closefit.tracking.pair_search import closeness

DETECTOR = "rtmdet-nano"
CONFIDENCE = 0.4
LONGER_SIDE_PX = 640

NEAR = 0.1
"""Least `closeness` of two boxes: about a third of a height apart."""


def people_together(info: VideoInfo, config: Config) -> Iterator[tuple[float, bool]]:
    """Yield moments of the chosen part, in seconds, and whether two people are near each other.

    Raises:
        WeightsError: The detector is not here and cannot be fetched.
        InputError: The video cannot be read.
    """
    detector = _detector(config)
    start_s, end_s = config.track.start_s, config.track.end_s
    times = video.frame_times(info, start_s, end_s)
    share = min(1.0, LONGER_SIDE_PX / max(info.width, info.height))
    size = max(2, round(info.width * share)), max(2, round(info.height * share))
    next_s = -np.inf
    for moment, image in zip(times, video.frames(info, start_s, end_s, size_wh=size), strict=True):
        if moment < next_s:
            continue
        next_s = float(moment) + SAMPLE_S - 0.5 / info.fps
        boxes, _ = detector.detect(image, CONFIDENCE)
        yield float(moment), are_together(boxes)


def are_together(boxes: Float[np.ndarray, "person 4"]) -> bool:
    """Whether two of these people are near each other and of about one size in the picture."""
    pairs = list(combinations(range(len(boxes)), 2))
    if not pairs:
        return False
    first, second = np.array(pairs).T
    return bool(closeness(boxes[first], boxes[second]).max() >= NEAR)


def _detector(config: Config) -> RtmdetDetector:
    folder = config.weights_dir
    if weights.find(DETECTOR, folder) is None:
        if config.offline:
            raise weights.missing_error([DETECTOR], folder)
        downloads.fetch_all([weights.get(DETECTOR)], weights.download_folder(folder), ignore)
    return RtmdetDetector(weights.locate(DETECTOR, folder))
