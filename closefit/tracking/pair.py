"""Chooses the two people who are close together the longest, and their tracklets.

Tracklets are taken in order of time; each goes to person 0, to person 1 or to neither. The state
of the search is the last tracklet of both, so what a choice is worth depends on the state only:
seconds of being near the other person, less the price of the jump from the person's last tracklet.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from closefit.errors import NeverTogetherError, NobodyError, OnePersonError
from closefit.tracking.association import Tracklet, link_known
from closefit.tracking.colours import colour_distance, mean_colour
from closefit.tracking.mask_crops import MaskCrop
from closefit.tracking.people import PairDetections
from closefit.tracking.sightings import Sightings

BEAM = 400
"""States that are followed; clips with two people need a handful."""

ALONE_VALUE = 0.2
"""Worth of a second of one person alone, in seconds of two people touching."""

FAR_VALUE = 0.05
"""Worth of a second of two people in one frame but far from each other."""

JUMP_PRICE_S = 0.1
"""Seconds of being together that one unit of a jump's implausibility costs."""

NEW_PERSON_PRICE = 0.05
"""Implausibility of somebody new: going on with a known person is likelier."""

WANDER_HEIGHTS_PER_S = 1.0
"""How far people are expected to go unseen, in their heights per second."""

TYPICAL_COLOUR_CHANGE = 0.25
TYPICAL_SIZE_CHANGE = 0.25
"""Usual distance of two descriptions of one person, and usual change of its log height."""

MAX_PLACE_COST, MAX_SIZE_COST = 12.0, 4.0
"""After a long absence place and size say nothing more."""

LIGHT_CHANGE_S = 0.2
"""After an absence this long, other colours speak for another person rather than other light."""

FAVOUR_S = 1e4
"""Worth of a detection that somebody said to be one of the two: more than of any clip."""

MIN_SEEN_S = 0.1
"""Who is found for a shorter time is taken for a false detection."""


@dataclass(frozen=True)
class _State:
    """Number of the last tracklet of each person (-1: none yet), and how it came to be."""

    last: tuple[int, int]
    value: float
    previous: "_State | None"


def choose_pair(
    sightings: Sightings,
    fps: float,
    *,
    allowed: Bool[np.ndarray, " detection"] | None = None,
    favoured: Bool[np.ndarray, " detection"] | None = None,
) -> Int[np.ndarray, "frame 2"]:
    """Return the detection of each person in each frame, -1 where there is none.

    Which of the two is person 0 is decided by who stands further left when both are first seen;
    where there are imported identities, the two people of a file keep their order.

    Args:
        sightings: Everybody.
        fps: Frames per second.
        allowed: Nobody else is chosen. Default: everybody may be.
        favoured: Detections of one of the two people, as somebody has said.
    """
    known = np.unique(sightings.identity if favoured is None else sightings.identity[~favoured])
    if len(known) == 2 and known[0] >= 0:
        return _by_identity(sightings, known)
    tracklets = link_known(sightings, fps)
    if allowed is not None:
        tracklets = [t for t in tracklets if allowed[t.detections].mean() > 0.5]
    members = _assign(_Worth(sightings, tracklets, fps, favoured), len(tracklets))
    chosen = np.full((sightings.num_frames, 2), -1)
    for person, numbers in enumerate(members):
        for number in numbers:
            detections = tracklets[number].detections
            chosen[sightings.frame[detections], person] = detections
    both = np.flatnonzero((chosen >= 0).all(axis=1))
    if len(both):
        left = sightings.boxes_xyxy[chosen[both[0]], 0]
        if left[0] > left[1]:
            chosen = chosen[:, ::-1].copy()
    return chosen


def _by_identity(sightings: Sightings, people: Int[np.ndarray, "2"]) -> Int[np.ndarray, "frame 2"]:
    """Detection of each of two known people in each frame, -1 where there is none."""
    chosen = np.full((sightings.num_frames, 2), -1)
    for column, person in enumerate(people):
        detections = np.flatnonzero(sightings.identity == person)
        chosen[sightings.frame[detections], column] = detections
    return chosen


def pair_detections(sightings: Sightings, chosen: Int[np.ndarray, "frame 2"]) -> PairDetections:
    """Gather the detections of two people."""
    missing = chosen < 0
    boxes = sightings.boxes_xyxy[chosen]
    boxes[missing] = np.nan
    keypoints = sightings.keypoints[chosen]
    keypoints[missing] = 0.0
    colours = sightings.colours[chosen]
    colours[missing] = np.nan
    return PairDetections(boxes, keypoints, colours, _masks(sightings, chosen))


def _masks(
    sightings: Sightings, chosen: Int[np.ndarray, "frame 2"]
) -> Shaped[np.ndarray, "frame 2"] | None:
    """Mask of each chosen detection; None where nobody has one."""
    if all(mask.is_empty for mask in sightings.masks):
        return None
    masks = np.full(chosen.shape, MaskCrop.empty(), dtype=object)
    for place, number in np.ndenumerate(chosen):
        if number >= 0:
            masks[place] = sightings.masks[number]
    return masks


def require_pair(seen: Bool[np.ndarray, "frame 2"], fps: float, video: str) -> None:
    """Check that two people are seen, and seen together.

    Raises:
        NobodyError: Nobody is seen.
        OnePersonError: Only one person is.
        NeverTogetherError: Two are, but in no frame both.
    """
    enough = min(len(seen), max(2, round(MIN_SEEN_S * fps)))
    found = int((seen.sum(axis=0) >= enough).sum())
    if found == 0:
        raise NobodyError(
            f"nobody was found in `{video}`",
            hint="choose another part with --start and --end, or lower "
            "--set track.detection_confidence=0.1",
        )
    if found == 1:
        raise OnePersonError(
            f"only one person was found in `{video}`",
            hint="trim the clip with --start and --end to where both people can be seen",
        )
    if not seen.all(axis=1).any():
        raise NeverTogetherError(
            f"no frame of `{video}` shows two people together",
            hint="choose a part with --start and --end in which both people can be seen",
        )


def _assign(worth: "_Worth", count: int) -> tuple[list[int], list[int]]:
    """Numbers (below `count`) of each person's tracklets, of the most valuable assignment."""
    states = [_State((-1, -1), 0.0, None)]
    for number in range(count):
        best: dict[tuple[int, int], _State] = {state.last: state for state in states}
        for state in states:
            # While nobody is known, both people are the same: one choice will do.
            for person in (0, 1) if state.last != (-1, -1) else (0,):
                gain = worth.of(number, state.last[person], state.last[1 - person])
                if gain is None:
                    continue
                last = (number, state.last[1]) if person == 0 else (state.last[0], number)
                following = _State(last, state.value + gain, state)
                if last not in best or best[last].value < following.value:
                    best[last] = following
        states = sorted(best.values(), key=lambda state: -state.value)[:BEAM]
    members: tuple[list[int], list[int]] = ([], [])
    node = states[0]
    while node.previous is not None:
        person = 0 if node.last[0] != node.previous.last[0] else 1
        members[person].append(node.last[person])
        node = node.previous
    return members


class Jumps:
    """How unlikely one person is to go from one tracklet to another."""

    def __init__(self, sightings: Sightings, tracklets: list[Tracklet], fps: float) -> None:
        """Describe the clothes of each tracklet."""
        self._sightings, self._tracklets, self._fps = sightings, tracklets, fps
        self._colours = [mean_colour(sightings.colours[t.detections]) for t in tracklets]

    def implausibility(self, before: int, after: int) -> float:
        """Return the negative log likelihood of going from the one to the other."""
        earlier, later = self._tracklets[before], self._tracklets[after]
        leave, come = earlier.detections[-1], later.detections[0]
        boxes, height = self._sightings.boxes_xyxy, self._sightings.height_px
        gap_s = (later.start - earlier.end - 1) / self._fps
        centre = (boxes[[leave, come], :2] + boxes[[leave, come], 2:]) / 2.0
        distance = float(np.linalg.norm(centre[1] - centre[0])) / max(height[leave], height[come])
        place = distance / (0.1 + WANDER_HEIGHTS_PER_S * gap_s)
        size = float(np.log(height[come] / height[leave])) / (TYPICAL_SIZE_CHANGE + 0.5 * gap_s)
        colour = float(
            colour_distance(self._colours[before], self._colours[after], TYPICAL_COLOUR_CHANGE)
        )
        # From one frame to the next the light may change, but people cannot.
        absence = 1.0 - np.exp(-gap_s / LIGHT_CHANGE_S)
        return float(
            min(0.5 * place**2, MAX_PLACE_COST)
            + min(0.5 * size**2, MAX_SIZE_COST)
            + 0.5 * absence * (colour / TYPICAL_COLOUR_CHANGE) ** 2
        )


class _Worth:
    """What it is worth, in seconds, to give a tracklet to a person."""

    def __init__(
        self,
        sightings: Sightings,
        tracklets: list[Tracklet],
        fps: float,
        favoured: Bool[np.ndarray, " detection"] | None,
    ) -> None:
        self._sightings, self._tracklets, self._fps = sightings, tracklets, fps
        self._favoured = np.zeros(len(sightings.frame), bool) if favoured is None else favoured
        self._together = cache(self._seconds_together)
        self._jump = cache(Jumps(sightings, tracklets, fps).implausibility)

    def of(self, number: int, own: int, other: int) -> float | None:
        """Worth of giving tracklet `number` to the person whose last one is `own`.

        None if the person would be at two places at once.
        """
        tracklet = self._tracklets[number]
        if own >= 0 and self._tracklets[own].end >= tracklet.start:
            return None
        scores = self._sightings.scores[tracklet.detections]
        worth = ALONE_VALUE * float(scores.sum()) / self._fps
        worth += FAVOUR_S * float(self._favoured[tracklet.detections].sum())
        if other >= 0:
            worth += self._together(number, other)
        price = self._jump(own, number) if own >= 0 else NEW_PERSON_PRICE
        return worth - JUMP_PRICE_S * price

    def _seconds_together(self, number: int, other: int) -> float:
        """Time that both are in the picture, weighted by how close they are."""
        one, two = self._tracklets[number].detections, self._tracklets[other].detections
        frame, boxes = self._sightings.frame, self._sightings.boxes_xyxy
        _, first, second = np.intersect1d(frame[one], frame[two], return_indices=True)
        near = closeness(boxes[one[first]], boxes[two[second]])
        return float((FAR_VALUE + (1.0 - FAR_VALUE) * near).sum()) / self._fps


def closeness(
    boxes: Float[np.ndarray, "pair 4"], others: Float[np.ndarray, "pair 4"]
) -> Float[np.ndarray, " pair"]:
    """1 where boxes touch and have similar heights, down to 0 half a height apart."""
    gap = np.maximum(boxes[:, :2] - others[:, 2:], others[:, :2] - boxes[:, 2:])
    distance = np.linalg.norm(np.maximum(gap, 0.0), axis=-1)
    heights = np.stack([box[:, 3] - box[:, 1] for box in (boxes, others)])
    small, large = heights.min(axis=0), heights.max(axis=0)
    # Who is less than two thirds as tall in the picture is a small child, or farther away.
    alike = np.clip((small / large - 0.3) / 0.4, 0.0, 1.0)
    near: Float[np.ndarray, " pair"] = alike * np.clip(1.0 - 2.0 * distance / large, 0.0, 1.0) ** 2
    return near
