"""Links detections of neighbouring frames into tracklets that hold one person each.

Linking is cautious: where two people could be confused, both tracklets end, and `pair_search`
decides later over the whole clip. A tracklet may have gaps of a few frames.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from closefit.records import DetectedPeople
from closefit.tracking.colours import colour_distance, mean_colour
from closefit.tracking.detections import box_iou
from closefit.tracking.mask_crops import MaskCrop, mask_crops

MAX_MISS_S = 0.2
"""A tracklet ends when its person is not found for longer than this."""

MAX_COST = 1.2
"""Detections that differ more from a tracklet's prediction belong to someone else."""

CONFUSION_MARGIN = 0.15
"""A link is left open if the next best one costs at most this much more."""

POSE_SCALE = 0.3
"""Mean distance of keypoints, in person heights, that counts as much as boxes being apart."""

MASK_COST = 0.3
"""Cost of a mask that shares no pixel with the last one."""

COLOUR_MEMORY = 10
MAX_COLOUR_CHANGE = 0.5
"""A tracklet ends if the clothes differ more than this from those in its last detections."""

UNLIKELY = 1e3


@dataclass(frozen=True, eq=False)
class Tracklet:
    """Detections of one person in successive frames.

    Attributes:
        detections: Numbers in `DetectedPeople`, in order of frames.
        start: First frame.
        end: Last frame.
    """

    detections: Int[np.ndarray, " detection"]
    start: int
    end: int


def link_known(people: DetectedPeople, fps: float) -> list[Tracklet]:
    """As `link`, except that each imported identity is one tracklet."""
    known = [number for number in np.unique(people.identity) if number >= 0]
    if not known:
        return link(people, fps)
    members = [np.flatnonzero(people.identity == number) for number in known]
    others = np.flatnonzero(people.identity < 0)
    members += [others[tracklet.detections] for tracklet in link(people.of(others), fps)]
    return _tracklets(people, members)


def link(people: DetectedPeople, fps: float) -> list[Tracklet]:
    """Return tracklets that together hold every detection once, in order of their start."""
    reach, masks = max(1, round(MAX_MISS_S * fps)), mask_crops(people)
    finished: list[list[int]] = []
    live: list[list[int]] = []
    bounds = np.searchsorted(people.frame, np.arange(people.num_frames + 1))
    for frame in range(people.num_frames):
        found = list(range(bounds[frame], bounds[frame + 1]))
        lost = [track for track in live if frame - people.frame[track[-1]] > reach]
        finished += lost
        live = [track for track in live if track not in lost]
        continued, ended = _decide(*_costs(people, masks, live, found, frame))
        for track, detection in continued:
            live[track].append(found[detection])
        started = set(range(len(found))) - {detection for _, detection in continued}
        finished += [live[track] for track in ended]
        live = [track for number, track in enumerate(live) if number not in ended]
        live += [[found[detection]] for detection in sorted(started)]
    return _tracklets(people, map(np.array, finished + live))


def _tracklets(
    people: DetectedPeople, members: Iterable[Int[np.ndarray, " detection"]]
) -> list[Tracklet]:
    """Tracklets with these detections, in order of their start."""
    tracklets = [
        Tracklet(own, int(people.frame[own[0]]), int(people.frame[own[-1]])) for own in members
    ]
    return sorted(tracklets, key=lambda tracklet: (tracklet.start, tracklet.detections[0]))


def _decide(
    costs: Float[np.ndarray, "track detection"], changed: Bool[np.ndarray, "track detection"]
) -> tuple[list[tuple[int, int]], set[int]]:
    """Best links, and the tracklets that end because they could be confused."""
    chosen = [
        (int(track), int(detection))
        for track, detection in zip(*linear_sum_assignment(costs), strict=True)
        if costs[track, detection] <= MAX_COST
    ]
    partner = dict(chosen)
    taken = {detection: track for track, detection in chosen}
    unsure = {track for track, detection in chosen if changed[track, detection]}
    for track, detection in chosen:
        best = costs[track, detection]
        for other in range(costs.shape[1]):
            if other == detection or costs[track, other] > MAX_COST:
                continue
            rival = taken.get(other)
            if rival is None:
                close = costs[track, other] < best + CONFUSION_MARGIN
            else:
                crossed = costs[track, other] + costs[rival, detection]
                close = crossed < best + costs[rival, other] + CONFUSION_MARGIN
            if close:
                unsure |= {track} if rival is None else {track, rival}
        for rival in range(costs.shape[0]):
            if rival not in partner and costs[rival, detection] < best + CONFUSION_MARGIN:
                unsure |= {track, rival}
    return [(track, detection) for track, detection in chosen if track not in unsure], unsure


def _costs(
    people: DetectedPeople,
    masks: list[MaskCrop],
    tracks: list[list[int]],
    found: list[int],
    frame: int,
) -> tuple[Float[np.ndarray, "track detection"], Bool[np.ndarray, "track detection"]]:
    """Cost of continuing each tracklet with each detection, and whether the clothes changed."""
    if not tracks or not found:
        nothing = np.zeros((len(tracks), len(found)))
        return nothing, nothing > 0
    last = np.array([track[-1] for track in tracks])
    before = np.array([track[-2] if len(track) > 1 else track[-1] for track in tracks])
    step = np.maximum(people.frame[last] - people.frame[before], 1)
    ahead = ((frame - people.frame[last]) / step)[:, None]
    boxes = people.boxes_xyxy
    # Half of the last step: motion continues, but detections are noisy.
    shift = 0.5 * ahead * _centres(boxes[last] - boxes[before])
    predicted = boxes[last] + np.tile(shift, 2)
    overlap = box_iou(predicted, boxes[found])

    keypoints = people.keypoints
    points = keypoints[last, :, :2] + shift[:, None]
    distance = np.linalg.norm(points[:, None] - keypoints[found][None, :, :, :2], axis=-1)
    weight = keypoints[last][:, None, :, 2] * keypoints[found][None, :, :, 2] + 1e-6
    pose = (weight * distance).sum(axis=-1) / weight.sum(axis=-1)
    pose = pose / people.height_px[last][:, None] / POSE_SCALE

    known = np.stack([mean_colour(people.colours[track[-COLOUR_MEMORY:]]) for track in tracks])
    colours = colour_distance(known[:, None], people.colours[found][None], unknown=0.0)
    costs = 0.5 * (1.0 - overlap) + 0.5 * np.minimum(pose, 2.0) + 0.3 * colours
    costs += MASK_COST * (1.0 - _mask_overlap(masks, last, shift, found))
    apart = (overlap <= 0) & (pose > 1.0)
    return np.where(apart, UNLIKELY, costs), colours > MAX_COLOUR_CHANGE


def _mask_overlap(
    masks: list[MaskCrop],
    last: Int[np.ndarray, " track"],
    shift_px: Float[np.ndarray, "track 2"],
    found: list[int],
) -> Float[np.ndarray, "track detection"]:
    """IoU of each tracklet's last mask, moved on, with each detection's; 1 where unknown."""
    overlap = np.ones((len(last), len(found)))
    for (row, before), (column, now) in product(enumerate(last), enumerate(found)):
        overlap[row, column] = masks[before].iou(masks[now], shift_px[row])
    return np.nan_to_num(overlap, nan=1.0)


def _centres(boxes: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 2"]:
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2.0)
