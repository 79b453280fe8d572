"""The backend `lite`."""

from closefit.models.weights import locate
from closefit.perception.clip import Clip
from closefit.perception.detectors.lite import LiteDetector
from closefit.perception.evidence import Evidence, from_sightings
from closefit.perception.people import Detector, choose, detect


def perceive(clip: Clip) -> Evidence:
    """Everything from RTMDet and BlazePose, in one pass over the video."""
    return from_sightings(clip, choose(clip, lambda: detect(clip, _load(clip))))


def _load(clip: Clip) -> Detector:
    settings, weights_dir = clip.job.config.track, clip.job.config.weights_dir
    return LiteDetector(
        locate("rtmdet-nano", weights_dir),
        locate(f"blazepose-{settings.blazepose}", weights_dir),
        settings.detection_confidence,
    )
