"""The backend `lite`."""

from closefit.models.weights import locate
from closefit.perception.clip import Clip
from closefit.perception.detectors.lite import LiteDetector
from closefit.perception.people import Detector, choose, detect
from closefit.perception.result import to_track
from closefit.perception.separation import separated_masks
from closefit.records import Track
from closefit.tracking.masks import detected_masks


def perceive(clip: Clip) -> Track:
    """Everything from RTMDet and BlazePose; masks are corrected by how each of the two looks."""
    found = choose(clip, lambda: detect(clip, _load(clip)))
    masks_given = clip.given is not None and clip.given.has_masks
    if masks_given:
        return to_track(clip, found)
    masks = separated_masks(found, clip.images, clip.size_wh)
    return to_track(clip, found, masks, detected_masks(found.detected, clip.size_wh))


def _load(clip: Clip) -> Detector:
    settings, weights_dir = clip.job.config.track, clip.job.config.weights_dir
    return LiteDetector(
        locate("rtmdet-nano", weights_dir),
        locate(f"blazepose-{settings.blazepose}", weights_dir),
        settings.detection_confidence,
    )
