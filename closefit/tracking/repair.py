"""From the detections of two people to two people who are identified and followed."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from closefit.tracking.gaps import fill_gaps
from closefit.tracking.joints import doubt_jumps, own_probability, swap_back_limbs
from closefit.tracking.pair import Pair, usual_height_px
from closefit.tracking.swaps import SwapConstraints, find_swapped

DOUBTFUL = 0.97
"""A person with a lower identity confidence in a frame is listed as doubtful.

Measured on simulated detections: nine tenths of the frames between 0.9 and 0.99 are right.
"""


@dataclass(frozen=True, eq=False)
class IdentifiedPair:
    """Two people, identified and followed through short gaps, in pixels of the working size.

    Attributes:
        detected: What was detected of each of them.
        boxes_xyxy: Detected or filled in; NaN where unknown.
        keypoints: x, y and confidence, 0 where unknown; repaired, and filled in over short gaps.
        filled: Frames in which the person was interpolated over a short gap.
        identity_confidence: Probability that this is this person; 0 where nothing is known.
        swapped: Frames in which the detections had the two people the other way round.
    """

    detected: Pair
    boxes_xyxy: Float[np.ndarray, "frame person 4"]
    keypoints: Float[np.ndarray, "frame person keypoint 3"]
    filled: Bool[np.ndarray, "frame person"]
    identity_confidence: Float[np.ndarray, "frame person"]
    swapped: Bool[np.ndarray, " frame"]

    @property
    def seen(self) -> Bool[np.ndarray, "frame person"]:
        """Frames in which each person was detected."""
        return self.detected.seen


def repair(
    pair: Pair,
    time_s: Float[np.ndarray, " frame"],
    fps: float,
    max_gap_s: float,
    known: SwapConstraints | None = None,
    dropped: Bool[np.ndarray, "frame person"] | None = None,
) -> IdentifiedPair:
    """Undo swapped identities and limbs, doubt keypoints that jump, fill short gaps.

    Args:
        pair: What was detected.
        time_s: Time stamp of each frame.
        fps: Mean number of frames per second.
        max_gap_s: Longest gap to fill, from detection to detection.
        known: What the user or an import states about who is who.
        dropped: False detections, by the person to whom they would be assigned.
    """
    swapped, confidence = find_swapped(pair, fps, known)
    pair = pair.swapped(swapped)
    if dropped is not None:
        pair = pair.without(dropped)
    keypoints = swap_back_limbs(pair.keypoints, pair.height_px, fps)[0]
    own = own_probability(keypoints, pair.height_px, fps)
    if known is not None:
        own[(known.order >= 0) | known.trusted] = 1.0
    keypoints = doubt_jumps(keypoints, pair.height_px, fps)
    boxes, keypoints, filled = fill_gaps(pair.boxes_xyxy, keypoints, time_s, max_gap_s)
    return IdentifiedPair(
        detected=pair,
        boxes_xyxy=boxes,
        keypoints=keypoints,
        filled=filled,
        identity_confidence=np.where(pair.seen | filled, confidence[:, None] * own, 0.0),
        swapped=swapped,
    )


def with_keypoints(
    found: IdentifiedPair,
    keypoints: Float[np.ndarray, "frame person keypoint 3"],
    time_s: Float[np.ndarray, " frame"],
    fps: float,
    max_gap_s: float,
) -> IdentifiedPair:
    """Return `found` with other keypoints of the same people, repaired as in `repair`.

    Confidence is 0 where a person is not seen.
    """
    boxes = found.detected.boxes_xyxy
    height_px = usual_height_px(boxes)
    keypoints = doubt_jumps(swap_back_limbs(keypoints, height_px, fps)[0], height_px, fps)
    return replace(found, keypoints=fill_gaps(boxes, keypoints, time_s, max_gap_s)[1])


def doubtful_frames(
    known: Bool[np.ndarray, "frame person"], identity_confidence: Float[np.ndarray, "frame person"]
) -> Bool[np.ndarray, " frame"]:
    """Frames in which a person of whom something is `known` may be the other one."""
    return np.asarray((known & (identity_confidence < DOUBTFUL)).any(axis=1))
