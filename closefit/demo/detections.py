"""Simulated detections of an imperfect detector, for a clip whose truth is known.

Works on any truth file in the format of `closefit demo`, so one clip can be detected many times
with different seeds. Pixels have (0, 0) at the top left corner of the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float, UInt8

from closefit.body.skeleton import JOINT_INDEX

JITTER = 0.009
"""Standard deviation of a visible keypoint, in box heights."""
HIDDEN_JITTER = 0.03
JITTER_MEMORY = 0.6
"""Correlation of the noise with that of the frame before."""
JUMP_PROBABILITY = 0.35
"""A hidden keypoint is taken from the other person this often."""
BOX_JITTER = 0.005
MISSED_SHARE = 0.02
SWAPPED_SHARE = 0.04
FACE_POINTS = 5
"""Keypoints before this index are on the face."""
HEAD_CHAIN = [JOINT_INDEX[n] for n in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]
MIN_AWAY = 0.5
"""Cosine between front of the head and viewing direction from which the face is out of sight."""
VISIBLE_CONFIDENCE = (0.75, 0.97)
HIDDEN_CONFIDENCE = (0.05, 0.7)


@dataclass(frozen=True, eq=False)
class VisiblePeople:
    """The part of a truth that a detector could see.

    Attributes:
        keypoints_px: COCO-17 points, also where they are hidden.
        boxes_xyxy: Box of the visible part of each person.
        masks: Visible pixels of each person.
        facing_away: The camera sees the back of the head.
        fps: Frames per second.
    """

    keypoints_px: Float[np.ndarray, "frame 2 17 2"]
    boxes_xyxy: Float[np.ndarray, "frame 2 4"]
    masks: Bool[np.ndarray, "frame 2 height width"]
    facing_away: Bool[np.ndarray, "frame 2"]
    fps: float

    @classmethod
    def from_truth(cls, truth: Mapping[str, np.ndarray]) -> "VisiblePeople":
        """Take it from the arrays of a truth file."""
        shape = tuple(truth["masks_shape"])
        bits = np.unpackbits(truth["masks"], count=int(np.prod(shape)))
        return cls(
            keypoints_px=truth["keypoints2d"],
            boxes_xyxy=truth["boxes"],
            masks=bits.reshape(shape).astype(bool),
            facing_away=_facing_away(truth["rotations"]),
            fps=float(truth["fps"]),
        )


def simulate_detections(people: VisiblePeople, seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of an observations file.

    Visible keypoints tremble; hidden ones are unsure and sometimes jump onto the other person;
    some people are missed (NaN) and in some frames the two identities are swapped.
    """
    rng = np.random.default_rng(seed)
    hidden = _hidden(people)
    height_px = people.boxes_xyxy[..., 3] - people.boxes_xyxy[..., 1]
    pixels = np.where(_jumped(hidden, rng), people.keypoints_px[:, ::-1], people.keypoints_px)
    sigma_px = np.where(hidden, HIDDEN_JITTER, JITTER) * height_px[..., None]
    pixels = pixels + sigma_px[..., None] * _correlated_noise(pixels.shape, rng)
    confidence = np.where(
        hidden,
        rng.uniform(*HIDDEN_CONFIDENCE, hidden.shape),
        rng.uniform(*VISIBLE_CONFIDENCE, hidden.shape),
    )
    boxes_noise = rng.normal(size=people.boxes_xyxy.shape) * BOX_JITTER * height_px[..., None]
    boxes = people.boxes_xyxy + boxes_noise
    missed = (rng.random(height_px.shape) < MISSED_SHARE) | ~(height_px > 0)
    boxes[missed], pixels[missed], confidence[missed] = np.nan, np.nan, 0.0
    keypoints = np.concatenate([pixels, confidence[..., None]], axis=-1)
    swapped = _swapped(people.boxes_xyxy, rng)
    boxes[swapped], keypoints[swapped] = boxes[swapped, ::-1], keypoints[swapped, ::-1]
    return {"boxes": boxes, "keypoints": keypoints} | _union(people)


def _hidden(people: VisiblePeople) -> Bool[np.ndarray, "frame 2 17"]:
    """Keypoints behind the other person or the own head, or outside the image."""
    height, width = people.masks.shape[-2:]
    column, row = (np.floor(people.keypoints_px[..., axis]).astype(int) for axis in (0, 1))
    outside = (column < 0) | (column >= width) | (row < 0) | (row >= height)
    flat = row.clip(0, height - 1) * width + column.clip(0, width - 1)
    masks = people.masks.reshape(*people.masks.shape[:2], -1)
    other = np.take_along_axis(masks[:, ::-1], flat, axis=-1)
    own = np.take_along_axis(masks, flat, axis=-1)
    hidden: np.ndarray = outside | (other & ~own)
    hidden[..., :FACE_POINTS] |= people.facing_away[..., None]
    return hidden


def _facing_away(
    rotations: Float[np.ndarray, "frame 2 24 3 3"],
) -> Bool[np.ndarray, "frame 2"]:
    """Whether the front of the head points along the viewing direction."""
    head = reduce(np.matmul, (rotations[:, :, joint] for joint in HEAD_CHAIN))
    away: np.ndarray = head[..., 2, 2] > MIN_AWAY
    return away


def _jumped(
    hidden: Bool[np.ndarray, "frame 2 17"], rng: np.random.Generator
) -> Bool[np.ndarray, "frame 2 17 1"]:
    """Hidden keypoints that the detector finds on the other person instead.

    Whether a keypoint does so changes a few times a second, not with every frame.
    """
    block = np.arange(hidden.shape[0]) // 5
    draws = rng.random((int(block[-1]) + 1, *hidden.shape[1:]))[block]
    return (hidden & (draws < JUMP_PROBABILITY))[..., None]


def _correlated_noise(
    shape: tuple[int, ...], rng: np.random.Generator
) -> Float[np.ndarray, "frame 2 17 2"]:
    """Unit Gaussian noise that remembers the frame before (first-order autoregression)."""
    noise = rng.normal(size=shape)
    for frame in range(1, shape[0]):
        fresh = np.sqrt(1.0 - JITTER_MEMORY**2) * noise[frame]
        noise[frame] = JITTER_MEMORY * noise[frame - 1] + fresh
    return noise


def _swapped(
    boxes: Float[np.ndarray, "frame 2 4"], rng: np.random.Generator
) -> Bool[np.ndarray, " frame"]:
    """Choose frames with swapped identities; preferably where the boxes overlap."""
    overlap = (
        np.minimum(boxes[:, 0, 2:], boxes[:, 1, 2:]) > np.maximum(boxes[:, 0, :2], boxes[:, 1, :2])
    ).all(axis=-1)
    frames = boxes.shape[0]
    candidates = np.flatnonzero(overlap)
    count = min(round(SWAPPED_SHARE * frames), len(candidates))
    swapped = np.zeros(frames, dtype=bool)
    swapped[rng.choice(candidates, size=count, replace=False)] = True
    return swapped


def _union(people: VisiblePeople) -> dict[str, np.ndarray]:
    union = people.masks.any(axis=1)
    bits: UInt8[np.ndarray, " bytes"] = np.packbits(union)
    return {
        "union_masks": bits,
        "union_masks_shape": np.array(union.shape),
        "width": np.array(union.shape[2]),
        "height": np.array(union.shape[1]),
        "fps": np.array(people.fps),
    }
