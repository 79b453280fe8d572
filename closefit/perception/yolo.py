"""The backend `yolo`."""

from closefit.models.weights import locate
from closefit.perception.clip import Clip
from closefit.perception.detectors.yolo import YoloDetector
from closefit.perception.people import Detector, choose, detect
from closefit.perception.result import to_track
from closefit.perception.second_look import looked_again
from closefit.perception.separation import separated_masks
from closefit.records import Track
from closefit.tracking.masks import detected_masks


def perceive(clip: Clip) -> Track:
    """Everything from YOLO; masks are corrected by looks, then keypoints by BlazePose.

    Networks are used only for what an import lacks.
    """
    given, config = clip.given, clip.job.config
    blazepose = None
    if given is None or not given.has_keypoints:  # a missing network is refused before long work
        blazepose = locate(f"blazepose-{config.track.blazepose}", config.weights_dir)
    masks_given = given is not None and given.has_masks
    found = choose(clip, lambda: detect(clip, load(clip, with_masks=not masks_given)))
    if masks_given:
        track = to_track(clip, found)
    else:
        masks = separated_masks(found, clip.images, clip.size_wh)
        track = to_track(clip, found, masks, detected_masks(found.detected, clip.size_wh))
    return track if blazepose is None else looked_again(clip, track, blazepose)


def load(clip: Clip, *, with_masks: bool) -> Detector:
    """Load the pose network and, `with_masks`, the segmentation network."""
    weights_dir = clip.job.config.weights_dir
    return YoloDetector(
        locate("yolo11n-pose", weights_dir),
        locate("yolo11n-seg", weights_dir) if with_masks else None,
        clip.job.device,
        clip.job.config.track.detection_confidence,
    )
