"""The backend `full`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from closefit.models.weights import locate
from closefit.perception import yolo
from closefit.perception.clip import Clip, batches
from closefit.perception.people import choose, detect
from closefit.perception.result import to_track
from closefit.records import Track
from closefit.tracking.masks import PairMask
from closefit.tracking.prompts import choose_prompts, sure_boxes
from closefit.tracking.repair import IdentifiedPair, with_keypoints


def perceive(clip: Clip) -> Track:
    """Boxes and identities from YOLO, keypoints from ViTPose, masks from SAM 2.1.

    Networks are used only for what an import lacks.
    """
    given, settings = clip.given, clip.job.config.track
    # A missing or damaged network is refused before the long work.
    vitpose = sam2 = masks = None
    if given is None or not given.has_keypoints:
        vitpose = locate(f"vitpose-{settings.vitpose}", clip.job.config.weights_dir)
    if given is None or not given.has_masks:
        sam2 = locate(f"sam2.1-hiera-{settings.sam2}", clip.job.config.weights_dir)
    found = choose(clip, lambda: detect(clip, yolo.load(clip, with_masks=False)))
    if vitpose is not None:
        found = _with_vitpose(clip, found, vitpose)
    if sam2 is not None:
        masks = _sam2_masks(clip, found, sam2)
    return to_track(clip, found, masks)


def _with_vitpose(clip: Clip, found: IdentifiedPair, weights: Path) -> IdentifiedPair:
    """Keypoints of people whose boxes are known."""
    # Imported here: transformers is slow to import, and the other backends do without.
    from closefit.perception.detectors.vitpose import VitPoseEstimator

    estimator, seen = VitPoseEstimator(weights, clip.job.device), found.seen
    keypoints = np.zeros((*seen.shape, 17, 3))
    frame = 0
    for pictures in batches(clip.images("keypoints"), estimator.batch_size):
        frames = range(frame, frame + len(pictures))
        boxes = [found.boxes_xyxy[number, seen[number]] for number in frames]
        estimates = estimator.estimate(pictures, boxes)
        for number, points in zip(frames, estimates, strict=True):
            keypoints[number, seen[number]] = points
        frame += len(pictures)
    max_gap_s, fps = clip.job.config.track.max_gap_s, clip.job.video.fps
    return with_keypoints(found, keypoints, clip.time_s, fps, max_gap_s)


def _sam2_masks(clip: Clip, found: IdentifiedPair, weights: Path) -> Iterator[PairMask]:
    """Masks of people who are followed by SAM 2.1."""
    from closefit.perception.detectors.sam2 import Sam2Segmenter

    segmenter = Sam2Segmenter(weights, clip.job.device)
    people = found.boxes_xyxy, found.seen, found.identity_confidence
    placed = clip.corrections.placed(len(clip.time_s))
    prompts = choose_prompts(*people, clip.job.video.fps, placed)
    return segmenter.follow(clip.images("masks"), prompts, sure_boxes(*people))
