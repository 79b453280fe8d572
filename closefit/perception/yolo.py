"""The backend `yolo`."""

from closefit.models.weights import locate
from closefit.perception.clip import Clip
from closefit.perception.detectors.yolo import YoloDetector
from closefit.perception.people import Detector, choose, detect
from closefit.perception.result import to_track
from closefit.records import Track


def perceive(clip: Clip) -> Track:
    """Everything from YOLO, in one pass over the video."""
    masks_given = clip.given is not None and clip.given.has_masks
    return to_track(
        clip, choose(clip, lambda: detect(clip, load(clip, with_masks=not masks_given)))
    )


def load(clip: Clip, *, with_masks: bool) -> Detector:
    """Load the pose network and, `with_masks`, the segmentation network."""
    weights_dir = clip.job.config.weights_dir
    return YoloDetector(
        locate("yolo11n-pose", weights_dir),
        locate("yolo11n-seg", weights_dir) if with_masks else None,
        clip.job.device,
        clip.job.config.track.detection_confidence,
    )
