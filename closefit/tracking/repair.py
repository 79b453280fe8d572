"""Turns what was detected of two people into what is known of them, frame by frame."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from closefit.tracking.gaps import fill_gaps
from closefit.tracking.identity import find_exchanged
from closefit.tracking.joints import doubt_jumps
from closefit.tracking.people import PairDetections, usual_height_px


@dataclass(frozen=True, eq=False)
class RepairedPair:
    """Two people, told apart and followed through short gaps.

    Attributes:
        boxes_xyxy: NaN where nothing is known.
        keypoints: x, y in pixels and confidence, 0 where unknown.
        seen: Detected in the frame.
        filled: Interpolated over a short gap.
        identity_confidence: How sure it is that this is this person; 0 where nothing is known.
        exchanged: Frames in which the detections had the two people the other way round.
    """

    boxes_xyxy: Float[np.ndarray, "frame person 4"]
    keypoints: Float[np.ndarray, "frame person keypoint 3"]
    seen: Bool[np.ndarray, "frame person"]
    filled: Bool[np.ndarray, "frame person"]
    identity_confidence: Float[np.ndarray, "frame person"]
    exchanged: Bool[np.ndarray, " frame"]


def repair(
    pair: PairDetections,
    time_s: Float[np.ndarray, " frame"],
    fps: float,
    max_gap_s: float,
    *,
    identities_known: bool = False,
) -> RepairedPair:
    """Undo exchanged identities, doubt keypoints that jump, fill short gaps.

    Args:
        pair: What was detected.
        time_s: Time stamp of each frame.
        fps: Mean number of frames per second.
        max_gap_s: Longest gap to fill, from detection to detection.
        identities_known: Somebody else has told the two apart, and is believed.
    """
    if identities_known:
        exchanged, confidence = np.zeros(len(time_s), dtype=bool), np.ones(len(time_s))
    else:
        exchanged, confidence = find_exchanged(pair, fps)
    pair = pair.exchanged(exchanged)
    keypoints = doubt_jumps(pair.keypoints, pair.height_px, fps)
    boxes, keypoints, filled = fill_gaps(pair.boxes_xyxy, keypoints, time_s, max_gap_s)
    known = pair.seen | filled
    return RepairedPair(
        boxes_xyxy=boxes,
        keypoints=keypoints,
        seen=pair.seen,
        filled=filled,
        identity_confidence=np.where(known, confidence[:, None], 0.0),
        exchanged=exchanged,
    )


def with_keypoints(
    repaired: RepairedPair,
    keypoints: Float[np.ndarray, "frame person keypoint 3"],
    time_s: Float[np.ndarray, " frame"],
    fps: float,
    max_gap_s: float,
) -> RepairedPair:
    """Return `repaired` with other keypoints of the same people, doubted and filled likewise.

    Args:
        repaired: Two people who are already told apart.
        keypoints: x, y in pixels and confidence; 0 where the person is not seen.
        time_s: Time stamp of each frame.
        fps: Mean number of frames per second.
        max_gap_s: Longest gap to fill, from detection to detection.
    """
    boxes = np.where(repaired.seen[..., None], repaired.boxes_xyxy, np.nan)
    keypoints = doubt_jumps(keypoints, usual_height_px(boxes), fps)
    _, keypoints, _ = fill_gaps(boxes, keypoints, time_s, max_gap_s)
    return replace(repaired, keypoints=keypoints)
