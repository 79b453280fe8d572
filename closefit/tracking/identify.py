"""From everybody in a clip to two identified people: all decisions about who is who.

Decisions are made over the whole clip, in this order: who belongs to the pair (`pair_search`), in
which frames the two are swapped (`swaps`), which of them is person 0. Then corrections are applied.
`ignore`, `box` and `point` change the detections before everything is decided again; `swap` and
`drop` refer to the result. People keep their numbers unless a correction changes them.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.optimize import linear_sum_assignment

from closefit.config import PeopleChoice, PointInFrame
from closefit.errors import CorrectionsError, PeopleError
from closefit.records import DetectedPeople
from closefit.tracking.corrections import NO_CORRECTIONS, Corrections, PlacedPerson
from closefit.tracking.crowd import choose, detection_at
from closefit.tracking.detections import box_iou
from closefit.tracking.pair import Columns, Pair, swap
from closefit.tracking.pair_search import choose_pair, columns_of, require_pair
from closefit.tracking.repair import IdentifiedPair, repair
from closefit.tracking.swaps import SwapConstraints, find_swapped

SAME_BOX = 0.4
"""A drawn box is that of the detection that overlaps it at least this much (IoU)."""

SAME_BOX_OF_OTHER = 0.75
"""The same for a detection of the other person, who may stand in front of the one meant."""


@dataclass(frozen=True, kw_only=True)
class UserInput:
    """What the user states about the people of a clip, in pixels of the working size.

    Attributes:
        chosen: The two to follow; None for those who are close together the longest.
        corrections: Corrections of an earlier result.
        identities_known: An import has identified the two already, and correctly.
        video: Name of the video, for messages.
    """

    chosen: tuple[PeopleChoice, PeopleChoice] | None = None
    corrections: Corrections = NO_CORRECTIONS
    identities_known: bool = False
    video: str = "the video"


class _Crowd(NamedTuple):
    """Everybody as detected; `owner` is from `crowd.gather`, `followed` as chosen by the user."""

    people: DetectedPeople
    owner: Int[np.ndarray, " detection"]
    followed: tuple[int, int] | None
    fps: float


@dataclass(frozen=True, eq=False)
class _Edited:
    """Detections after corrections.

    Attributes:
        people: Without ignored detections, with drawn boxes.
        origin: Number of each detection before; -1 for a drawn box.
        placed: Detection of each person where a correction gives it, else -1.
    """

    people: DetectedPeople
    origin: Int[np.ndarray, " detection"]
    placed: Columns


class _Problem(NamedTuple):
    """Detections of two people, in columns that may be swapped in some frames."""

    people: DetectedPeople
    columns: Columns
    known: SwapConstraints


def identify(
    people: DetectedPeople,
    owner: Int[np.ndarray, " detection"],
    fps: float,
    max_gap_s: float,
    user: UserInput | None = None,
) -> IdentifiedPair:
    """Choose the two people and identify them in every frame.

    Args:
        people: Everybody.
        owner: Number of the person of each detection, from `crowd.gather`.
        fps: Mean number of frames per second.
        max_gap_s: Longest gap to fill, from detection to detection.
        user: What the user states.

    Raises:
        PeopleError: The clip does not show two people together, or not those who were chosen.
        CorrectionsError: The corrections leave no two people.
    """
    user = user or UserInput()
    require_pair(columns_of(people, owner, (0, 1)) >= 0, fps, user.video)
    followed = user.chosen and choose(people, owner, user.chosen, user.video)
    crowd = _Crowd(people, owner, followed, fps)
    problem, solution = _as_detected(crowd, user)
    if user.corrections.count:
        problem = _as_corrected(crowd, user, solution)
    pair = Pair.of(problem.people, problem.columns)
    dropped = user.corrections.dropped(people.num_frames)
    found = repair(pair, people.time_s, fps, max_gap_s, problem.known, dropped)
    _require_corrected_pair(found.seen, fps, user)
    return found


def scaled_choice(
    people: tuple[PeopleChoice, PeopleChoice], across: float, down: float
) -> tuple[PeopleChoice, PeopleChoice]:
    """Return the same choice with points in pixels of pictures of another size."""
    first, second = (
        replace(who, x=who.x * across, y=who.y * down) if isinstance(who, PointInFrame) else who
        for who in people
    )
    return first, second


def _as_detected(crowd: _Crowd, user: UserInput) -> tuple[_Problem, Columns]:
    """The problem without corrections, and its solution: each person's detections."""
    people = crowd.people
    if crowd.followed is None:
        columns = columns_of(people, crowd.owner, (0, 1))
    else:
        unchanged = _Edited(
            people, np.arange(len(people.frame)), np.full((people.num_frames, 2), -1)
        )
        columns = _columns(crowd, unchanged)
    require_pair(columns >= 0, crowd.fps, user.video)
    known = SwapConstraints.none(len(columns), trusted=user.identities_known)
    solution = _solve(_Problem(people, columns, known), crowd.fps)
    is_reversed = _is_reversed(crowd, solution)
    known = replace(known, reversed=is_reversed)
    return _Problem(people, columns, known), solution[:, ::-1] if is_reversed else solution


def _as_corrected(crowd: _Crowd, user: UserInput, before: Columns) -> _Problem:
    """The problem with corrections; `before` is the solution of the one without."""
    corrections = user.corrections
    known = SwapConstraints.none(len(before), trusted=user.identities_known)
    swaps = SwapConstraints.none(len(before), corrections.swaps)
    edited = _edit(crowd.people, corrections, swap(before, swaps.after_swaps))
    columns = _columns(crowd, edited)
    _require_corrected_pair(columns >= 0, crowd.fps, user)
    is_reversed = False
    if (edited.placed < 0).all():  # nothing placed: people keep the numbers that they had
        solution = _solve(_Problem(edited.people, columns, known), crowd.fps)
        origin = np.where(solution >= 0, edited.origin[solution], -2)
        is_reversed = bool((origin == before[:, ::-1]).sum() > (origin == before).sum())
    known = replace(
        known,
        order=_placed_order(edited.placed, columns),
        swap_starts=swaps.swap_starts,
        reversed=is_reversed,
    )
    return _Problem(edited.people, columns, known)


def _solve(problem: _Problem, fps: float) -> Columns:
    """Each person's detections."""
    pair = Pair.of(problem.people, problem.columns)
    return swap(problem.columns, find_swapped(pair, fps, problem.known)[0])


def _require_corrected_pair(seen: Bool[np.ndarray, "frame 2"], fps: float, user: UserInput) -> None:
    """Refuse corrections that leave no two people.

    Raises:
        CorrectionsError: They do.
    """
    try:
        require_pair(seen, fps, user.video)
    except PeopleError as error:
        raise CorrectionsError(
            f"the corrections take too much away: {error.message}",
            hint="remove some of them; docs/tracking.md describes the effect of each one",
        ) from error


def _columns(crowd: _Crowd, edited: _Edited) -> Columns:
    """Detections of the two people, in columns that may be swapped in some frames."""
    favoured = np.zeros(len(edited.people.frame), dtype=bool)
    favoured[edited.placed[edited.placed >= 0]] = True
    allowed = None
    if crowd.followed is not None:
        owner = np.where(edited.origin >= 0, crowd.owner[edited.origin], -1)
        allowed = np.isin(owner, crowd.followed) | favoured
    chosen = choose_pair(edited.people, crowd.fps, allowed=allowed, favoured=favoured)
    return _with_placed(chosen, edited)


def _is_reversed(crowd: _Crowd, solution: Columns) -> bool:
    """Whether person 0 should be 1. Numbers are as chosen, as imported, or from left to right."""
    if crowd.followed is not None:
        found = np.where(solution >= 0, crowd.owner[solution], -1)
        return bool((found == crowd.followed[::-1]).sum() > (found == crowd.followed).sum())
    both = np.flatnonzero((solution >= 0).all(axis=1))
    if len(both) == 0 or (crowd.people.identity >= 0).any():
        return False
    left = crowd.people.boxes_xyxy[solution[both[0]], 0]
    return bool(left[0] > left[1])


def _with_placed(chosen: Columns, edited: _Edited) -> Columns:
    """Put detections that were placed by hand into the pair, in either column."""
    chosen, boxes = chosen.copy(), edited.people.boxes_xyxy
    for frame in np.flatnonzero((edited.placed >= 0).any(axis=1)):
        placed = edited.placed[frame]
        if (placed >= 0).all():
            if set(placed) != set(chosen[frame]):
                chosen[frame] = placed
            continue
        detection = int(placed.max())
        if detection in chosen[frame]:
            continue
        # It takes the free column, or that of the nearest detection.
        corners = np.abs(boxes[chosen[frame]] - boxes[detection])
        distance = np.where(chosen[frame] >= 0, corners.sum(axis=1), -1.0)
        chosen[frame, int(distance.argmin())] = detection
    return chosen


def _placed_order(placed: Columns, columns: Columns) -> Int[np.ndarray, " frame"]:
    """Whether the columns are swapped where people were placed by hand; -1 in other frames."""
    order = np.full(len(columns), -1)
    for frame, person in np.argwhere(placed >= 0):
        column = int(np.flatnonzero(columns[frame] == placed[frame, person])[0])
        order[frame] = int(column != person)
    return order


def _edit(people: DetectedPeople, corrections: Corrections, shown: Columns) -> _Edited:
    """Remove what is to be ignored, add what was drawn.

    Args:
        people: Everybody.
        corrections: What to change.
        shown: The pair as the user saw it, without these corrections except for swaps.
    """
    origin = np.flatnonzero(~corrections.ignored_frames(people.num_frames)[people.frame])
    kept = people.of(origin)
    placed = np.full((people.num_frames, 2), -1)
    # Boxes choose first: one that fits no detection becomes a detection of its own.
    boxes = [place for place in corrections.places if place.is_box]
    fitting = _fitting(_Edited(kept, origin, placed), boxes, shown)
    drawn = [place for place, number in zip(boxes, fitting, strict=True) if number < 0]
    for place, number in zip(boxes, fitting, strict=True):
        if number >= 0:
            placed[place.frame, place.person] = number
            kept.boxes_xyxy[number] = place.pixels
    points = [place for place in corrections.places if not place.is_box]
    found = [_at_point(kept, place) for place in points]
    # Two people may be detected as one, who keeps the number that the user saw.
    others = [
        number < 0 or origin[number] != shown[place.frame, place.person]
        for place, number in zip(points, found, strict=True)
    ]
    for index in sorted(range(len(points)), key=lambda i: (others[i], points[i].person)):
        place, number = points[index], found[index]
        if number < 0 or number in placed[place.frame]:
            drawn.append(_box_around(people, place, shown))
        else:
            placed[place.frame, place.person] = number
    edited = _Edited(kept, origin, placed)
    return _with_drawn(edited, drawn) if drawn else edited


def _fitting(edited: _Edited, boxes: list[PlacedPerson], shown: Columns) -> list[int]:
    """Detection to which each drawn box belongs; -1 for one that fits none."""
    people = edited.people
    fitting = [-1] * len(boxes)
    for frame in {box.frame for box in boxes}:
        drawn = [index for index, box in enumerate(boxes) if box.frame == frame]
        here = np.flatnonzero(people.frame == frame)
        overlap = box_iou(
            np.array([boxes[index].pixels for index in drawn]), people.boxes_xyxy[here]
        )
        person = np.array([boxes[index].person for index in drawn])
        of_other = edited.origin[here] == shown[frame, 1 - person][:, None]
        alone = len(drawn) == 1
        least = np.where(of_other & alone, SAME_BOX_OF_OTHER, SAME_BOX)
        worth = np.where(overlap >= least, overlap, 0.0)
        for row, column in zip(*linear_sum_assignment(-worth), strict=True):
            if worth[row, column] > 0:
                fitting[drawn[row]] = int(here[column])
    return fitting


def _at_point(people: DetectedPeople, place: PlacedPerson) -> int:
    """Detection at a point; -1 if nobody was detected there."""
    x, y = place.pixels
    number = detection_at(people, PointInFrame(x, y, place.frame))
    return -1 if number is None else number


def _box_around(people: DetectedPeople, place: PlacedPerson, shown: Columns) -> PlacedPerson:
    """The person's nearest box in time, moved just enough to hold the point."""
    frames = np.flatnonzero(shown[:, place.person] >= 0)
    nearest = frames[np.abs(frames - place.frame).argmin()]
    box = people.boxes_xyxy[shown[nearest, place.person]]
    point = np.array(place.pixels)
    shift = np.minimum(point - box[:2], 0.0) + np.maximum(point - box[2:], 0.0)
    return replace(place, pixels=tuple(float(side) for side in box + np.tile(shift, 2)))


def _with_drawn(edited: _Edited, drawn: list[PlacedPerson]) -> _Edited:
    """Add boxes as detections without keypoints or mask."""
    people, count = edited.people, len(drawn)

    def extended(values: np.ndarray, new: object) -> np.ndarray:
        return np.concatenate([values, np.broadcast_to(np.array(new), (count, *values.shape[1:]))])

    longer = replace(
        people,
        frame=extended(people.frame, [place.frame for place in drawn]),
        boxes_xyxy=extended(people.boxes_xyxy, [place.pixels for place in drawn]),
        scores=extended(people.scores, 1.0),
        keypoints=extended(people.keypoints, 0.0),
        colours=extended(people.colours, np.nan),
        identity=extended(people.identity, -1),
        landmarks_3d_m=extended(people.landmarks_3d_m, 0.0),
        mask_corners=extended(people.mask_corners, 0),
        mask_ends=extended(people.mask_ends, len(people.mask_bytes)),
    )
    placed = edited.placed.copy()
    for number, place in enumerate(drawn, start=len(people.frame)):
        placed[place.frame, place.person] = number
    order = np.argsort(longer.frame, kind="stable")
    placed = np.where(placed >= 0, np.argsort(order)[placed], -1)
    return _Edited(longer.of(order), extended(edited.origin, -1)[order], placed)
