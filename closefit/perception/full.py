"""The backend `full`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.models.weights import locate
from closefit.perception import yolo
from closefit.perception.clip import Clip, batches
from closefit.perception.evidence import Evidence, from_masks
from closefit.perception.people import choose, detect
from closefit.tracking.identify import Identified
from closefit.tracking.masks import PairMask, chosen_masks
from closefit.tracking.prompts import choose_prompts, sure_boxes
from closefit.tracking.repair import RepairedPair, with_keypoints


def perceive(clip: Clip) -> Evidence:
    """Boxes and identities from YOLO, keypoints and features from ViTPose, masks from SAM 2.1.

    Networks are asked only for what an import lacks.
    """
    given, settings = clip.given, clip.job.config.track
    # A missing or damaged network is refused before the long work.
    vitpose = sam2 = None
    if given is None or not given.has_keypoints:
        vitpose = locate(f"vitpose-{settings.vitpose}", clip.job.config.weights_dir)
    if given is None or not given.has_masks:
        sam2 = locate(f"sam2.1-hiera-{settings.sam2}", clip.job.config.weights_dir)
    identified = choose(clip, lambda: detect(clip, yolo.load(clip, with_masks=False)))
    people = identified.repaired
    features = np.zeros((*people.seen.shape, 0))
    if vitpose is not None:
        people, features = _with_vitpose(clip, people, vitpose)
    if sam2 is not None:
        masks = _sam2_masks(clip, identified, people, sam2)
    else:
        masks = chosen_masks(identified.sightings, identified.chosen, clip.size_wh)
    no_landmarks = np.zeros((*people.seen.shape, 0, 4))
    return from_masks(clip, identified, people, masks, features, no_landmarks)


def _with_vitpose(
    clip: Clip, people: RepairedPair, weights: Path
) -> tuple[RepairedPair, Float[np.ndarray, "frame person feature"]]:
    """Keypoints of people whose boxes are known, and an image feature of each."""
    # Imported here: transformers is slow to import, and the other backends do without.
    from closefit.perception.detectors.vitpose import VitPoseEstimator

    estimator = VitPoseEstimator(weights, clip.job.device)
    keypoints = np.zeros((*people.seen.shape, 17, 3))
    features = np.zeros((*people.seen.shape, estimator.feature_size), np.float32)
    frame = 0
    for pictures in batches(clip.images("keypoints"), estimator.batch_size):
        frames = range(frame, frame + len(pictures))
        boxes = [people.boxes_xyxy[number, people.seen[number]] for number in frames]
        for number, (points, feature) in zip(
            frames, estimator.estimate(pictures, boxes), strict=True
        ):
            keypoints[number, people.seen[number]] = points
            features[number, people.seen[number]] = feature
        frame += len(pictures)
    max_gap_s = clip.job.config.track.max_gap_s
    fps = clip.job.video.fps
    return with_keypoints(people, keypoints, clip.time_s, fps, max_gap_s), features


def _sam2_masks(
    clip: Clip, identified: Identified, people: RepairedPair, weights: Path
) -> Iterator[PairMask]:
    """Masks of people who are followed by SAM 2.1."""
    from closefit.perception.detectors.sam2 import Sam2Segmenter

    segmenter = Sam2Segmenter(weights, clip.job.device)
    prompts = choose_prompts(
        people.boxes_xyxy,
        people.seen,
        people.identity_confidence,
        clip.job.video.fps,
        identified.stated,
    )
    tracked = sure_boxes(people.boxes_xyxy, people.seen, people.identity_confidence)
    return segmenter.follow(clip.images("masks"), prompts, tracked)
