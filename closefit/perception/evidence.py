"""What a backend found out about two people, in the form that `track` writes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from closefit.mask_stack import MaskStack
from closefit.perception.clip import Clip
from closefit.tracking.identify import Identified
from closefit.tracking.masks import PairMask, chosen_masks, stack_pairs
from closefit.tracking.repair import RepairedPair


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a backend found out about two people.

    Attributes:
        people: Who is who among those detected.
        repaired: Told apart and followed through gaps, in pixels of the source video.
        union_masks: Both people's pixels; empty where unknown.
        person_masks: Each person's pixels, of the same size if there are any.
        features: Image feature of each person; size 0 where a backend has none.
        landmarks_3d_m: As in `Track`; size 0 where a backend has none.
    """

    people: Identified
    repaired: RepairedPair
    union_masks: MaskStack
    person_masks: MaskStack
    features: Float[np.ndarray, "frame person feature"]
    landmarks_3d_m: Float[np.ndarray, "frame person landmark 4"]


def from_sightings(clip: Clip, people: Identified) -> Evidence:
    """Masks and landmarks of the detections that were chosen."""
    sightings, repaired = people.sightings, people.repaired
    masks = chosen_masks(sightings, people.chosen, clip.size_wh)
    landmarks_3d_m = np.zeros((*people.chosen.shape, *sightings.landmarks_3d_m.shape[1:]))
    chosen = people.chosen >= 0
    landmarks_3d_m[chosen] = sightings.landmarks_3d_m[people.chosen[chosen]]
    if landmarks_3d_m.shape[2]:
        # A landmark deserves no more trust than the same detection's keypoint was left with.
        trust = np.where(repaired.seen[..., None], repaired.keypoints[..., 2], 0.0)
        landmarks_3d_m[..., 3] = np.minimum(landmarks_3d_m[..., 3], trust)
    features = np.zeros((len(clip.time_s), 2, 0))
    return from_masks(clip, people, repaired, masks, features, landmarks_3d_m)


def from_masks(
    clip: Clip,
    people: Identified,
    repaired: RepairedPair,
    masks: Iterable[PairMask],
    features: Float[np.ndarray, "frame person feature"],
    landmarks_3d_m: Float[np.ndarray, "frame person landmark 4"],
) -> Evidence:
    """Stack the masks, doubt the keypoints that they cover, go to pixels of the source video."""
    masks_of_two = stack_pairs(masks, clip.size_wh, repaired.boxes_xyxy, repaired.keypoints)
    repaired = replace(
        repaired,
        boxes_xyxy=repaired.boxes_xyxy * np.tile(clip.scale, 2),
        keypoints=_scaled(masks_of_two.doubted(repaired.keypoints), clip.scale),
    )
    union = masks_of_two.union
    if clip.given is not None and clip.given.silhouettes is not None:
        ignored = np.zeros(len(union), dtype=bool)
        for first, last in clip.corrections.ignored:
            ignored[first : last + 1] = True
        union = clip.given.union_for(masks_of_two.people).without(ignored)
    return Evidence(
        people=people,
        repaired=repaired,
        union_masks=union,
        person_masks=masks_of_two.people,
        features=features,
        landmarks_3d_m=landmarks_3d_m,
    )


def _scaled(
    keypoints: Float[np.ndarray, "frame 2 17 3"], factor: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "frame 2 17 3"]:
    scaled: Float[np.ndarray, "frame 2 17 3"] = keypoints * np.append(factor, 1.0)
    return scaled
