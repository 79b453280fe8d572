"""The backend `lite`."""

from closefit.detectors.lite import LiteDetector
from closefit.stages.perception.clip import Clip
from closefit.stages.perception.evidence import Evidence, from_sightings
from closefit.stages.perception.people import Detector, choose, detect
from closefit.weights import locate


def perceive(clip: Clip) -> Evidence:
    """Everything from RTMDet and BlazePose, in one pass over the video."""
    return from_sightings(clip, choose(clip, lambda: detect(clip, _load(clip))))


def _load(clip: Clip) -> Detector:
    weights_dir = clip.job.config.weights_dir
    return LiteDetector(
        locate("rtmdet-nano", weights_dir),
        locate("blazepose-lite", weights_dir),
        clip.job.config.track.detection_confidence,
    )
