"""Detects both people again, each with the other's pixels painted over.

Where two people overlap, a detector that sees both takes limbs of one for the other's. A second
network sees one person at a time; where it agrees with the first about the pose, their keypoints
are averaged. Measured on rendered and on real clips (docs/experiments.md).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image as Pillow

from closefit.body.keypoints import COCO17_FACE, COCO17_TORSO
from closefit.imports.detections.pictures import resized
from closefit.perception.clip import Clip, Image
from closefit.perception.detectors.blazepose import BlazePose
from closefit.records import Track
from closefit.tracking.masks import PairMask

NEAR = 0.1
"""Two places of a keypoint agree if they are nearer than this, in longer sides of the box."""

WEIGHT = 0.75
"""Share of the second place in the mean of two that agree."""

LEAST_CONFIDENCE = 0.1
"""Second places below this confidence are not used."""

SURE_PRESENCE = 0.5
"""Presence from which the next frame's region is rotated as the person stands in this one."""

PAINT = 128
"""Grey level of the other person's pixels."""

Keypoints = Float[np.ndarray, "*batch keypoint 3"]


def looked_again(clip: Clip, track: Track, weights: Path) -> Track:
    """Return the track with keypoints averaged with those of BlazePose; their confidence stays.

    Args:
        clip: The frames of the track.
        track: Boxes, keypoints and masks of both people, in pixels of the source video.
        weights: A network of BlazePose.

    Raises:
        WeightsDamagedError: The file is no such network.
    """
    network, upright_rad = BlazePose(weights), np.zeros(2)
    boxes = track.boxes_xyxy / np.tile(clip.scale, 2)
    second = np.zeros(track.keypoints.shape)
    for frame, image in enumerate(clip.images("second look")):
        masks = [resized(mask, clip.size_wh) for mask in track.person_masks[frame]]
        alone = each_alone(image, np.stack(masks))
        for person in np.flatnonzero(np.isfinite(boxes[frame]).all(axis=-1)):
            picture = Pillow.fromarray(alone[person])
            pose = network.estimate_in_box(picture, boxes[frame, person], upright_rad[person])
            second[frame, person] = pose.keypoints
            if pose.presence > SURE_PRESENCE:
                upright_rad[person] = pose.upright_rad
    second[..., :2] *= clip.scale
    side = (track.boxes_xyxy[..., 2:] - track.boxes_xyxy[..., :2]).max(axis=-1)
    keypoints = averaged(track.keypoints, second, side)
    return replace(track, keypoints=keypoints.astype(np.float32))


def each_alone(image: Image, masks: PairMask) -> tuple[Image, Image]:
    """Return the picture of each person without the pixels of the other alone."""
    alone = image.copy(), image.copy()
    for person, picture in enumerate(alone):
        picture[masks[1 - person] & ~masks[person]] = PAINT
    return alone


def averaged(first: Keypoints, second: Keypoints, side: Float[np.ndarray, "*batch"]) -> Keypoints:
    """Move keypoints towards a second detection of the same person where the two agree.

    Args:
        first: COCO-17 x, y and confidence.
        second: The same from another network.
        side: Longer side of the person's box, in the same pixels; NaN where unknown.

    Returns:
        `first` with weighted means of the places that agree; everything else is unchanged.
    """
    offset = second[..., :2] - first[..., :2]
    apart = np.linalg.norm(offset, axis=-1) / side[..., None]
    agree = (apart < NEAR) & (second[..., 2] >= LEAST_CONFIDENCE)
    # Where shoulders and hips disagree in the mean, the second network saw something else.
    agree &= apart[..., COCO17_TORSO].mean(axis=-1, keepdims=True) < NEAR
    # YOLO places faces better: 1.5 % of a person's height from the truth, the mean 1.8 %.
    agree[..., COCO17_FACE] = False
    moved = first.copy()
    moved[..., :2] += np.where(agree[..., None], WEIGHT * offset, 0.0)
    return moved
