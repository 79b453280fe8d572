"""Chooses the two people who are close together the longest, and their tracklets.

Tracklets come in order of time; each goes to person 0, to person 1 or to neither. The state
of the search is the last tracklet of both, so the worth of a choice depends on the state only:
seconds of being near the other person, less the price of the jump from the person's last tracklet.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.errors import NeverTogetherError, NobodyError, OnePersonError
from closefit.records import DetectedPeople
from closefit.tracking.association import Tracklet, link_known
from closefit.tracking.colours import colour_distance, mean_colour
from closefit.tracking.pair import Columns

BEAM = 400
"""States that are kept; clips with two people need a handful."""

ALONE_VALUE = 0.2
"""Worth of a second of one person alone, in seconds of two people touching."""

FAR_VALUE = 0.05
"""Worth of a second of two people in one frame but far from each other."""

JUMP_PRICE_S = 0.1
"""Seconds of being together that one unit of a jump's implausibility costs."""

NEW_PERSON_PRICE = 0.05
"""Implausibility of somebody new: that a known person continues is likelier."""

WANDER_HEIGHTS_PER_S = 1.0
"""Expected speed of people who are not seen, in their heights per second."""

TYPICAL_COLOUR_CHANGE = 0.25
TYPICAL_SIZE_CHANGE = 0.25
"""Usual distance of two descriptions of one person, and usual change of its log height."""

MAX_PLACE_COST, MAX_SIZE_COST = 12.0, 4.0
"""Limits, because after a long absence place and size hold no information."""

LIGHT_CHANGE_S = 0.2
"""After an absence this long, other colours mean another person rather than other light."""

FAVOUR_S = 1e4
"""Worth of a detection that the user placed: more than that of any clip."""

MIN_SEEN_S = 0.1
"""A person who is found for a shorter time counts as a false detection."""


class _State(NamedTuple):
    """Number of the last tracklet of each person (-1: none yet), and the state before."""

    last: tuple[int, int]
    value: float
    previous: "_State | None"


def choose_pair(
    people: DetectedPeople,
    fps: float,
    *,
    allowed: Bool[np.ndarray, " detection"] | None = None,
    favoured: Bool[np.ndarray, " detection"] | None = None,
) -> Columns:
    """Return the detections of two people.

    Person 0 is the one who stands further left when both are first seen. If the detections are
    imported with exactly two identities, these keep their order.

    Args:
        people: Everybody.
        fps: Frames per second.
        allowed: Only these detections are chosen. Default: all.
        favoured: Detections of one of the two people, as stated by the user.
    """
    known = np.unique(people.identity if favoured is None else people.identity[~favoured])
    if len(known) == 2 and known[0] >= 0:
        return columns_of(people, people.identity, (int(known[0]), int(known[1])))
    tracklets = link_known(people, fps)
    if allowed is not None:
        tracklets = [t for t in tracklets if allowed[t.detections].mean() > 0.5]
    worth = _worth(people, tracklets, fps, favoured)
    chosen = np.full((people.num_frames, 2), -1)
    for person, numbers in enumerate(best_assignment(worth, len(tracklets))):
        for number in numbers:
            detections = tracklets[number].detections
            chosen[people.frame[detections], person] = detections
    both = np.flatnonzero((chosen >= 0).all(axis=1))
    if len(both):
        left = people.boxes_xyxy[chosen[both[0]], 0]
        if left[0] > left[1]:
            chosen = chosen[:, ::-1].copy()
    return chosen


def columns_of(
    people: DetectedPeople, number: Int[np.ndarray, " detection"], pair: tuple[int, int]
) -> Columns:
    """Return the detections of the two people whose `number` is in `pair`."""
    columns = np.full((people.num_frames, 2), -1)
    for column, person in enumerate(pair):
        detections = np.flatnonzero(number == person)
        columns[people.frame[detections], column] = detections
    return columns


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


def best_assignment(
    worth: Callable[[int, int, int], float | None], count: int
) -> tuple[list[int], list[int]]:
    """Return the tracklets of each of two people that have the largest total worth.

    Dynamic programming over the tracklets 0 to `count` - 1 in order of time; exact as long as there
    are at most `BEAM` states.

    Args:
        worth: Worth of giving a tracklet (first argument) to the person whose last one is the
            second argument, where the last one of the other person is the third (-1: none yet);
            None if that is impossible.
        count: Number of tracklets.
    """
    states = [_State((-1, -1), 0.0, None)]
    for number in range(count):
        best: dict[tuple[int, int], _State] = {state.last: state for state in states}
        for state in states:
            # Before the first choice both people are the same.
            for person in (0, 1) if state.last != (-1, -1) else (0,):
                gain = worth(number, state.last[person], state.last[1 - person])
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
    """How implausible it is that two tracklets are of one person."""

    def __init__(self, people: DetectedPeople, tracklets: list[Tracklet], fps: float) -> None:
        """Describe the clothes of each tracklet."""
        self._people, self._tracklets, self._fps = people, tracklets, fps
        self._colours = [mean_colour(people.colours[t.detections]) for t in tracklets]

    def implausibility(self, before: int, after: int) -> float:
        """Return the negative log likelihood of going from tracklet `before` to `after`."""
        earlier, later = self._tracklets[before], self._tracklets[after]
        leave, come = earlier.detections[-1], later.detections[0]
        boxes, height = self._people.boxes_xyxy, self._people.height_px
        gap_s = (later.start - earlier.end - 1) / self._fps
        centre = (boxes[[leave, come], :2] + boxes[[leave, come], 2:]) / 2.0
        distance = float(np.linalg.norm(centre[1] - centre[0])) / max(height[leave], height[come])
        place = distance / (0.1 + WANDER_HEIGHTS_PER_S * gap_s)
        size = float(np.log(height[come] / height[leave])) / (TYPICAL_SIZE_CHANGE + 0.5 * gap_s)
        colour = float(
            colour_distance(self._colours[before], self._colours[after], TYPICAL_COLOUR_CHANGE)
        )
        # Between adjacent frames the light may change, but not the person.
        absence = 1.0 - np.exp(-gap_s / LIGHT_CHANGE_S)
        return float(
            min(0.5 * place**2, MAX_PLACE_COST)
            + min(0.5 * size**2, MAX_SIZE_COST)
            + 0.5 * absence * (colour / TYPICAL_COLOUR_CHANGE) ** 2
        )


def _worth(
    people: DetectedPeople,
    tracklets: list[Tracklet],
    fps: float,
    favoured: Bool[np.ndarray, " detection"] | None,
) -> Callable[[int, int, int], float | None]:
    """Worth in seconds of giving a tracklet to a person, as `best_assignment` requires it."""
    jump = cache(Jumps(people, tracklets, fps).implausibility)

    @cache
    def alone(number: int) -> float:
        own = tracklets[number].detections
        worth = ALONE_VALUE * float(people.scores[own].sum()) / fps
        return worth if favoured is None else worth + FAVOUR_S * float(favoured[own].sum())

    @cache
    def together(number: int, other: int) -> float:
        """Time that both are in the picture, weighted by how close they are."""
        one, two = tracklets[number].detections, tracklets[other].detections
        frame, boxes = people.frame, people.boxes_xyxy
        _, first, second = np.intersect1d(frame[one], frame[two], return_indices=True)
        near = closeness(boxes[one[first]], boxes[two[second]])
        return float((FAR_VALUE + (1.0 - FAR_VALUE) * near).sum()) / fps

    def worth(number: int, own: int, other: int) -> float | None:
        if own >= 0 and tracklets[own].end >= tracklets[number].start:
            return None  # the person would be in two places at once
        gain = alone(number) + (together(number, other) if other >= 0 else 0.0)
        return gain - JUMP_PRICE_S * (jump(own, number) if own >= 0 else NEW_PERSON_PRICE)

    return worth


def closeness(
    boxes: Float[np.ndarray, "pair 4"], others: Float[np.ndarray, "pair 4"]
) -> Float[np.ndarray, " pair"]:
    """1 where boxes touch and have similar heights, down to 0 half a height apart."""
    gap = np.maximum(boxes[:, :2] - others[:, 2:], others[:, :2] - boxes[:, 2:])
    distance = np.linalg.norm(np.maximum(gap, 0.0), axis=-1)
    heights = np.stack([box[:, 3] - box[:, 1] for box in (boxes, others)])
    small, large = heights.min(axis=0), heights.max(axis=0)
    # A person less than two thirds as tall in the picture is a small child, or farther away.
    alike = np.clip((small / large - 0.3) / 0.4, 0.0, 1.0)
    return np.asarray(alike * np.clip(1.0 - 2.0 * distance / large, 0.0, 1.0) ** 2)
