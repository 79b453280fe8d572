"""The result of a backend, in the form that `track` writes."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from closefit.perception.clip import Clip
from closefit.records import Track
from closefit.tracking.masks import PairMask, detected_masks, stack_pairs
from closefit.tracking.repair import IdentifiedPair


def to_track(
    clip: Clip,
    found: IdentifiedPair,
    masks: Iterable[PairMask] | None = None,
    doubting: Iterable[PairMask] | None = None,
) -> Track:
    """Add masks, doubt the keypoints that they cover, and go to pixels of the source video.

    The camera is taken to stand still; whether it does is found afterwards.

    Args:
        clip: The frames.
        found: The two people, in pixels of the working size.
        masks: Pixels of both people in each frame. Default: those of the detections.
        doubting: As in `stack_pairs`.
    """
    if masks is None:
        masks = detected_masks(found.detected, clip.size_wh)
    union, people, keypoints = stack_pairs(
        masks, clip.size_wh, found.boxes_xyxy, found.keypoints, doubting
    )
    ignored = clip.corrections.ignored_frames(len(union))
    if clip.given is not None and clip.given.silhouettes is not None:
        union = clip.given.union_for(people)
    union, people = union.without(ignored), people.without(np.stack([ignored] * 2, axis=1))
    info = clip.job.video
    given = clip.given is not None and clip.given.has_keypoints
    return Track(
        time_s=clip.time_s,
        fps=np.array(info.fps),
        size_wh=np.array([info.width, info.height]),
        boxes_xyxy=(found.boxes_xyxy * np.tile(clip.scale, 2)).astype(np.float32),
        keypoints=(keypoints * np.append(clip.scale, 1.0)).astype(np.float32),
        keypoint_set=np.array("coco17" if given else "coco17_detected"),
        landmarks_3d_m=_landmarks(found).astype(np.float32),
        union_mask_bytes=union.joined,
        union_mask_ends=union.ends,
        person_mask_bytes=people.joined,
        person_mask_ends=people.ends,
        mask_size_wh=np.array(union.size_wh),
        seen=found.seen,
        filled=found.filled,
        identity_confidence=found.identity_confidence.astype(np.float32),
        homographies=np.tile(np.eye(3), (len(found.seen), 1, 1)),
        still_xyxy=np.array([0, 0, info.width, info.height]),
    )


def _landmarks(found: IdentifiedPair) -> Float[np.ndarray, "frame person landmark 4"]:
    """3D landmarks of the detections, with at most the confidence of the repaired keypoint."""
    landmarks = found.detected.landmarks_3d_m
    if landmarks is None or landmarks.shape[2] == 0:
        return np.zeros((*found.seen.shape, 0, 4))
    trust = np.where(found.seen[..., None], found.keypoints[..., 2], 0.0)
    confidence = np.minimum(landmarks[..., 3], trust)
    return np.concatenate([landmarks[..., :3], confidence[..., None]], axis=-1)
