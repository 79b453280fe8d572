"""Damage to what `track` sees or `init` finds: what goes wrong with real detectors, on purpose.

Each kind has a strength from 0 to 1 that says how much of the piece it hits or how hard.
"""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from closefit.mask_stack import MaskStack, split
from closefit.records import DetectedPeople, Motion, Track

LEGS = (13, 14, 15, 16)
"""Knees and ankles of COCO-17."""

OF_DETECTIONS = (
    *("person dropped", "keypoints dropped", "frames dropped", "legs missing"),
    *("keypoints jittered", "keypoints of the other"),
)
OF_TRACK = ("identities swapped",)
OF_INIT = ("depths exchanged",)
OF_CAMERA = ("focal length wrong",)
KINDS = ("none", *OF_DETECTIONS, *OF_TRACK, *OF_INIT, *OF_CAMERA)


def damaged_detections(
    people: DetectedPeople, kind: str, strength: float, seed: int
) -> DetectedPeople:
    """Return detections with one kind of damage; those that another function makes stay."""
    rng = np.random.default_rng([seed, 1])
    side = sides(people) == rng.integers(2)
    part = _stretch(people.num_frames, strength, rng)[people.frame]
    if kind in ("person dropped", "frames dropped"):
        gone = part & side if kind == "person dropped" else part
        return people.of(np.flatnonzero(~gone))
    keypoints = people.keypoints.copy()
    if kind == "keypoints dropped":
        hit = np.zeros(17, bool)
        hit[rng.choice(np.arange(5, 17), max(1, round(10 * strength)), replace=False)] = True
        keypoints[np.ix_(side, hit)] = 0.0
    elif kind == "legs missing":
        both = rng.random() < 0.5
        keypoints[np.ix_(part & (side | both), LEGS)] = 0.0
    elif kind == "keypoints jittered":
        sigma_px = 0.1 * strength * people.height_px
        noise = rng.normal(size=keypoints[..., :2].shape) * sigma_px[:, None, None]
        keypoints[..., :2] += np.where(keypoints[..., 2:] > 0, noise, 0.0)
    elif kind == "keypoints of the other":
        hit = np.zeros(17, bool)
        hit[rng.choice(np.arange(5, 17), max(1, round(10 * strength)), replace=False)] = True
        _take_from_other(people, keypoints, side, hit)
    return replace(people, keypoints=keypoints)


def _take_from_other(
    people: DetectedPeople,
    keypoints: Float[np.ndarray, "detection 17 3"],
    side: Bool[np.ndarray, " detection"],
    hit: Bool[np.ndarray, "17"],
) -> None:
    """Some keypoints of one person become the other's, as in an embrace."""
    for own in np.flatnonzero(side):
        others = np.flatnonzero((people.frame == people.frame[own]) & ~side)
        if len(others):
            keypoints[own, hit] = people.keypoints[others[0], hit]


def sides(people: DetectedPeople) -> np.ndarray:
    """0 for the person who is on the left in the first frame, 1 for others, followed by distance.

    Only damage needs it, so that it hits one person; it may be wrong where two people cross.
    """
    middle = 0.5 * (people.boxes_xyxy[:, :2] + people.boxes_xyxy[:, 2:])
    last: list[np.ndarray] = []
    side = np.zeros(len(middle), np.int64)
    for frame in range(people.num_frames):
        here = np.flatnonzero(people.frame == frame)
        here = here[np.argsort(-people.scores[here])][:2]
        if not last and len(here) == 2:
            side[here[middle[here, 0].argmax()]] = 1
        elif last:
            for number in here:
                side[number] = int(
                    np.argmin([np.linalg.norm(middle[number] - place) for place in last])
                )
            if len(here) == 2 and side[here[0]] == side[here[1]]:
                side[here[1]] = 1 - side[here[0]]
        if len(here) == 2:
            last = [middle[here[side[here] == person][0]] for person in range(2)]
    return side


def _stretch(frames: int, share: float, rng: np.random.Generator) -> Bool[np.ndarray, " frame"]:
    """A run of frames of this share, anywhere."""
    length = min(frames - 1, max(1, round(share * frames)))
    start = int(rng.integers(frames - length + 1))
    return (np.arange(frames) >= start) & (np.arange(frames) < start + length)


def damaged_track(track: Track, kind: str, strength: float, seed: int) -> Track:
    """Exchange the two people from a frame on, without anybody having noticed."""
    if kind not in OF_TRACK:
        return track
    rng = np.random.default_rng([seed, 2])
    swapped = _stretch(len(track.seen), min(strength, 0.9), rng)
    order = np.where(swapped[:, None], [1, 0], [0, 1])

    def exchanged(array: np.ndarray) -> np.ndarray:
        return array[np.arange(len(array))[:, None], order]

    masks = list(split(track.person_mask_bytes, track.person_mask_ends))
    chosen = (np.arange(len(order))[:, None] * 2 + order).ravel()
    people = MaskStack.of((masks[number] for number in chosen), (1, 1), (-1, 2))
    landmarks = track.landmarks_3d_m
    return replace(
        track,
        boxes_xyxy=exchanged(track.boxes_xyxy),
        keypoints=exchanged(track.keypoints),
        landmarks_3d_m=exchanged(landmarks) if landmarks.shape[2] else landmarks,
        person_mask_bytes=people.joined,
        person_mask_ends=people.ends,
        seen=exchanged(track.seen),
        filled=exchanged(track.filled),
        identity_confidence=exchanged(track.identity_confidence),
    )


def damaged_motion(motion: Motion, kind: str, strength: float, seed: int) -> Motion:
    """Exchange the depths of the two in a run of frames; their places in the image stay."""
    if kind not in OF_INIT:
        return motion
    rng = np.random.default_rng([seed, 3])
    hit = _stretch(len(motion.transl), min(strength, 0.95), rng)
    pelvis = motion.joints[:, :, 0]
    ratio = pelvis[:, ::-1, 2] / pelvis[:, :, 2]
    step = np.where(hit[:, None, None], (ratio[..., None] - 1.0) * pelvis, 0.0).astype(np.float32)
    return replace(motion, transl=motion.transl + step, joints=motion.joints + step[:, :, None])


def focal_factor(kind: str, strength: float, seed: int) -> float:
    """What the true focal length is multiplied with: up to 2, or down to a half."""
    if kind not in OF_CAMERA:
        return 1.0
    sign = 1.0 if np.random.default_rng([seed, 4]).random() < 0.5 else -1.0
    return math.exp(sign * strength * math.log(2.0))
