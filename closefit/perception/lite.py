"""The backend `lite`."""

from closefit.models.weights import locate
from closefit.perception.clip import Clip
from closefit.perception.detectors.lite import LiteDetector
from closefit.perception.people import Detector, choose, detect
from closefit.perception.result import to_track
from closefit.records import Track


def perceive(clip: Clip) -> Track:
    """Everything from RTMDet and BlazePose, in one pass over the video."""
    return to_track(clip, choose(clip, lambda: detect(clip, _load(clip))))


def _load(clip: Clip) -> Detector:
    settings, weights_dir = clip.job.config.track, clip.job.config.weights_dir
    return LiteDetector(
        locate("rtmdet-nano", weights_dir),
        locate(f"blazepose-{settings.blazepose}", weights_dir),
        settings.detection_confidence,
    )
