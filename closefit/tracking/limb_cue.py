"""Whose a pixel is, judged by how much nearer it is to the limbs of one person.

Looks alone give legs in trousers of one colour to whoever wore them lower in the picture. Measured
on real and rendered clips (docs/experiments.md).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from closefit.body.keypoints import COCO17, COCO17_FACE, COCO17_TORSO

FACE, BODY, TORSO = COCO17_FACE, slice(COCO17_FACE.stop, None), list(COCO17_TORSO)
LIMBS = [list(limb) for limb in COCO17.limbs if min(limb) >= FACE.stop]
LEAST_OF_FACE = 2
"""Keypoints of a face that are needed to draw the head."""

KNOWN, LEAST_KNOWN = 0.3, 6
"""Least confidence of a keypoint, and number of them below the face: less says nothing."""

THICKNESS, HEAD = 0.05, 0.06
"""Thickness of limbs and radius of a head, in heights of a person."""

SCALE, REACH = 0.03, 0.12
"""Each further `SCALE` from the limbs, in heights, divides the probability by e, up to `REACH`.
Scales from 0.012 to 0.06 do about as well."""


def limb_odds(
    keypoints: Float[np.ndarray, "2 17 3"],
    seen: Bool[np.ndarray, "2"],
    size_wh: tuple[int, int],
    height_px: float,
) -> Float[np.ndarray, "height width 2"]:
    """Return factors on the probabilities that a pixel is of either person; they add up to 2.

    Args:
        keypoints: COCO-17 x, y and confidence of both people, in pixels.
        seen: Who was detected; without keypoints of both, all factors are 1.
        size_wh: Width and height of the picture.
        height_px: Height of a person.
    """
    known = keypoints[..., 2] > KNOWN
    if not (seen & (known[:, BODY].sum(axis=1) >= LEAST_KNOWN)).all():
        return np.ones((size_wh[1], size_wh[0], 2), np.float32)
    apart = [
        _distance(points[:, :2], sure, size_wh, height_px) / height_px
        for points, sure in zip(keypoints, known, strict=True)
    ]
    near = np.exp(-np.minimum(np.stack(apart, axis=-1), REACH) / SCALE)
    return np.asarray(2.0 * near / near.sum(axis=-1, keepdims=True), np.float32)


def _distance(
    points: Float[np.ndarray, "17 2"],
    known: Bool[np.ndarray, "17"],
    size_wh: tuple[int, int],
    height_px: float,
) -> Float[np.ndarray, "height width"]:
    """Distance of each pixel to a person's head, torso and limbs, as far as they are known."""
    free = np.ones((size_wh[1], size_wh[0]), np.uint8)
    beyond = 10 * max(size_wh)  # a line that leaves the picture by more is cut off
    places = np.nan_to_num(points).clip(-beyond, beyond).round().astype(np.int32)
    for limb in LIMBS:
        if known[limb].all():
            start, end = places[limb].tolist()
            cv2.line(free, start, end, 0, max(1, round(THICKNESS * height_px)))
    if known[TORSO].all():
        cv2.fillConvexPoly(free, cv2.convexHull(places[TORSO]), 0)
    if known[FACE].sum() >= LEAST_OF_FACE:
        middle = places[FACE][known[FACE]].mean(axis=0).round().astype(int).tolist()
        cv2.circle(free, middle, max(1, round(HEAD * height_px)), 0, cv2.FILLED)
    return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_3))
