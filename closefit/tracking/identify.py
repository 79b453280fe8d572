"""From everybody in a clip to two people who are told apart: all decisions about who is who.

Decided over the whole clip, in this order: who belongs to the pair (`pair`), in which frames the
two are exchanged (`identity`), which of them is person 0. Corrections change the question, not the
answer: ignored and placed detections are put in before everything is decided again; swaps and drops
speak of the result. Persons keep their numbers unless a correction says otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from closefit.config import PeopleChoice, PointInFrame
from closefit.errors import CorrectionsError, PeopleError
from closefit.tracking.corrections import NO_CORRECTIONS, Corrections, Place
from closefit.tracking.crowd import Crowd, choose, detection_at, gather
from closefit.tracking.detections import box_iou
from closefit.tracking.identity import Told, find_exchanged
from closefit.tracking.mask_crops import MaskCrop
from closefit.tracking.pair import choose_pair, pair_detections, require_pair
from closefit.tracking.people import exchange
from closefit.tracking.repair import RepairedPair, repair
from closefit.tracking.sightings import Sightings

SAME_BOX = 0.4
"""A drawn box is that of the detection that overlaps it at least this much (IoU)."""

SAME_BOX_OF_OTHER = 0.75
"""The same for a detection of the other person, who may stand in front of the one meant."""

Pair = Int[np.ndarray, "frame 2"]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user says about the people of a clip, in pixels of the sightings.

    Attributes:
        people: The two to follow; None for those who are close together the longest.
        corrections: What was wrong before.
        identities_known: Somebody else has told the two apart, and is believed.
        video: Name of the video, for messages.
    """

    people: tuple[PeopleChoice, PeopleChoice] | None = None
    corrections: Corrections = NO_CORRECTIONS
    identities_known: bool = False
    video: str = "the video"


@dataclass(frozen=True, eq=False)
class Identified:
    """Two people of a clip, told apart.

    Attributes:
        sightings: Everybody; without what was to be ignored, with the boxes that were drawn.
        chosen: Detection of each of the two, -1 where there is none.
        repaired: What follows about the two.
        stated: Places that a correction has given.
        crowd: Everybody by letter, as detected.
    """

    sightings: Sightings
    chosen: Pair
    repaired: RepairedPair
    stated: Bool[np.ndarray, "frame 2"]
    crowd: Crowd


@dataclass(frozen=True, eq=False)
class _Edited:
    """Sightings after corrections.

    Attributes:
        sightings: Without ignored detections, with drawn boxes.
        origin: Number of each detection before; -1 for a drawn box.
        placed: Detection of each person where a correction gives it, else -1.
    """

    sightings: Sightings
    origin: Int[np.ndarray, " detection"]
    placed: Pair


def identify(
    sightings: Sightings,
    time_s: Float[np.ndarray, " frame"],
    fps: float,
    max_gap_s: float,
    wishes: Wishes | None = None,
) -> Identified:
    """Choose the two people and tell them apart.

    Args:
        sightings: Everybody.
        time_s: Time stamp of each frame.
        fps: Mean number of frames per second.
        max_gap_s: Longest gap to fill, from detection to detection.
        wishes: What the user says.

    Raises:
        PeopleError: The clip does not show two people together, or not those who are wanted.
        CorrectionsError: A correction is about nobody who was detected.
    """
    wishes = wishes or Wishes()
    crowd = gather(sightings, fps)
    require_pair(crowd.pair >= 0, fps, wishes.video)
    owners = None
    if wishes.people is not None:
        owners = choose(crowd, wishes.people, wishes.video)
    edited = _edit(sightings, NO_CORRECTIONS, crowd.pair)
    columns = crowd.pair if owners is None else _columns(edited, crowd, owners, fps)
    require_pair(columns >= 0, fps, wishes.video)
    told = replace(Told.nothing(len(columns)), believed=wishes.identities_known)
    final = _told_apart(edited, columns, told, fps)
    told = replace(told, reversed=_is_reversed(sightings, final, crowd, owners))
    corrections = wishes.corrections
    if corrections.count:
        first = final[:, ::-1] if told.reversed else final
        shown = exchange(first, Told.nothing(len(first), corrections.swaps).toggled)
        edited = _edit(sightings, corrections, shown)
        columns = _columns(edited, crowd, owners, fps)
        _require_corrected_pair(columns >= 0, fps, wishes)
        told = _told(edited, columns, wishes, first, fps)
    dropped = _dropped(corrections, len(columns))
    pair = pair_detections(edited.sightings, columns)
    repaired = repair(pair, time_s, fps, max_gap_s, told, dropped)
    chosen = np.where(dropped, -1, exchange(columns, repaired.exchanged))
    _require_corrected_pair(chosen >= 0, fps, wishes)
    return Identified(edited.sightings, chosen, repaired, edited.placed >= 0, crowd)


def scaled_choice(
    people: tuple[PeopleChoice, PeopleChoice], across: float, down: float
) -> tuple[PeopleChoice, PeopleChoice]:
    """Return the same choice with points in pixels of pictures of another size."""
    first, second = (
        replace(who, x=who.x * across, y=who.y * down) if isinstance(who, PointInFrame) else who
        for who in people
    )
    return first, second


def _require_corrected_pair(seen: Bool[np.ndarray, "frame 2"], fps: float, wishes: Wishes) -> None:
    """Refuse corrections that leave no two people.

    Raises:
        CorrectionsError: They do.
    """
    try:
        require_pair(seen, fps, wishes.video)
    except PeopleError as error:
        raise CorrectionsError(
            f"the corrections take too much away: {error.message}",
            hint="take back some of them; docs/tracking.md says what each one does",
        ) from error


def _columns(edited: _Edited, crowd: Crowd, owners: tuple[int, int] | None, fps: float) -> Pair:
    """Detections of the two people, in columns that may still be exchanged in some frames."""
    sightings = edited.sightings
    favoured = np.zeros(len(sightings.frame), dtype=bool)
    favoured[edited.placed[edited.placed >= 0]] = True
    allowed = None
    if owners is not None:
        owner = np.where(edited.origin >= 0, crowd.owner[edited.origin], -1)
        allowed = np.isin(owner, owners) | favoured
    chosen = choose_pair(sightings, fps, allowed=allowed, favoured=favoured)
    return _with_placed(chosen, edited.placed, sightings)


def _told_apart(edited: _Edited, columns: Pair, told: Told, fps: float) -> Pair:
    exchanged, _ = find_exchanged(pair_detections(edited.sightings, columns), fps, told)
    return exchange(columns, exchanged)


def _is_reversed(
    sightings: Sightings, final: Pair, crowd: Crowd, owners: tuple[int, int] | None
) -> bool:
    """Whether person 0 should be 1: they are numbered as chosen, as imported, or left first."""
    if owners is not None:
        found = np.where(final >= 0, crowd.owner[final], -1)
        return bool((found == owners[::-1]).sum() > (found == owners).sum())
    both = np.flatnonzero((final >= 0).all(axis=1))
    if len(both) == 0 or (sightings.identity >= 0).any():
        return False
    left = sightings.boxes_xyxy[final[both[0]], 0]
    return bool(left[0] > left[1])


def _with_placed(chosen: Pair, placed: Pair, sightings: Sightings) -> Pair:
    """Put detections that were placed by hand into the pair; who is who comes later."""
    chosen = chosen.copy()
    for frame in np.flatnonzero((placed >= 0).any(axis=1)):
        wanted = placed[frame]
        if (wanted >= 0).all():
            if set(wanted) != set(chosen[frame]):
                chosen[frame] = wanted
            continue
        detection = int(wanted.max())
        if detection in chosen[frame]:
            continue
        # It takes the free column, or that of the nearest detection.
        corners = np.abs(sightings.boxes_xyxy[chosen[frame]] - sightings.boxes_xyxy[detection])
        distance = np.where(chosen[frame] >= 0, corners.sum(axis=1), -1.0)
        chosen[frame, int(distance.argmin())] = detection
    return chosen


def _told(edited: _Edited, columns: Pair, wishes: Wishes, first: Pair, fps: float) -> Told:
    """Say who is who where corrections tell it, with the numbers that the two had in `first`."""
    told = replace(Told.nothing(len(columns)), believed=wishes.identities_known)
    final = _told_apart(edited, columns, told, fps)
    told.swapped[list(wishes.corrections.swaps)] = True
    for frame, person in np.argwhere(edited.placed >= 0):
        column = int(np.flatnonzero(columns[frame] == edited.placed[frame, person])[0])
        told.kept[frame] = int(column != person)
    if (edited.placed >= 0).any():
        return told
    before = np.where(final >= 0, edited.origin[final], -2)
    straight, crossed = (before == first).sum(), (before == first[:, ::-1]).sum()
    return replace(told, reversed=bool(crossed > straight))


def _dropped(corrections: Corrections, frames: int) -> Bool[np.ndarray, "frame 2"]:
    dropped = np.zeros((frames, 2), dtype=bool)
    for drop in corrections.drops:
        dropped[drop.frames[0] : drop.frames[1] + 1, drop.person] = True
    return dropped


def _edit(sightings: Sightings, corrections: Corrections, shown: Pair) -> _Edited:
    """Take out what is to be ignored, put in what was drawn.

    Args:
        sightings: Everybody.
        corrections: What to change.
        shown: The pair that the user saw, but for what is changed here.
    """
    ignored = np.zeros(sightings.num_frames, dtype=bool)
    for first, last in corrections.ignored:
        ignored[first : last + 1] = True
    origin = np.flatnonzero(~ignored[sightings.frame])
    edited = _Edited(sightings.of(origin), origin, np.full((sightings.num_frames, 2), -1))
    drawn = []
    # Boxes choose first: one that fits no detection can do without.
    boxes = [place for place in corrections.places if place.is_box]
    for place, number in zip(boxes, _fitting(edited, boxes, shown), strict=True):
        if number < 0:
            drawn.append(place)
            continue
        edited.placed[place.frame, place.person] = number
        edited.sightings.boxes_xyxy[number] = place.pixels
    for place in corrections.places:
        if not place.is_box:
            taken = edited.placed[place.frame]
            edited.placed[place.frame, place.person] = _at_point(edited.sightings, place, taken)
    return _with_drawn(edited, drawn)


def _fitting(edited: _Edited, boxes: list[Place], shown: Pair) -> list[int]:
    """Detection that each drawn box is of, -1 for one that fits none."""
    sightings = edited.sightings
    fitting = [-1] * len(boxes)
    for frame in {box.frame for box in boxes}:
        asked = [index for index, box in enumerate(boxes) if box.frame == frame]
        here = np.flatnonzero(sightings.frame == frame)
        pixels = np.array([boxes[index].pixels for index in asked])
        overlap = box_iou(pixels, sightings.boxes_xyxy[here])
        person = np.array([boxes[index].person for index in asked])
        of_other = edited.origin[here] == shown[frame, 1 - person][:, None]
        alone = len(asked) == 1
        least = np.where(of_other & alone, SAME_BOX_OF_OTHER, SAME_BOX)
        worth = np.where(overlap >= least, overlap, 0.0)
        for row, column in zip(*linear_sum_assignment(-worth), strict=True):
            if worth[row, column] > 0:
                fitting[asked[row]] = int(here[column])
    return fitting


def _at_point(sightings: Sightings, place: Place, taken: Int[np.ndarray, "2"]) -> int:
    """Detection that a point is on.

    Raises:
        CorrectionsError: Nobody was detected there, or it is on the other person of the pair.
    """
    point = PointInFrame(place.pixels[0], place.pixels[1], place.frame)
    number = detection_at(sightings, point)
    if number is None or number in taken:
        who = "nobody was detected" if number is None else "the other person was placed"
        raise CorrectionsError(
            f"{who} at the `point` of person {place.person} in frame {place.frame}",
            hint="give a `box` for this person instead",
        )
    return number


def _with_drawn(edited: _Edited, drawn: Iterable[Place]) -> _Edited:
    """Add boxes as detections without keypoints or mask."""
    drawn = list(drawn)
    if not drawn:
        return edited
    sightings = edited.sightings
    before, count = len(sightings.frame), len(drawn)

    def extended(values: np.ndarray, new: object) -> np.ndarray:
        return np.concatenate([values, np.broadcast_to(np.array(new), (count, *values.shape[1:]))])

    frame = np.concatenate([sightings.frame, np.array([place.frame for place in drawn])])
    order = np.argsort(frame, kind="stable")
    longer = replace(
        sightings,
        frame=frame,
        boxes_xyxy=np.concatenate([sightings.boxes_xyxy, [place.pixels for place in drawn]]),
        scores=extended(sightings.scores, 1.0),
        keypoints=extended(sightings.keypoints, 0.0),
        colours=extended(sightings.colours, np.nan),
        masks=[*sightings.masks, *(MaskCrop.empty() for _ in drawn)],
        identity=extended(sightings.identity, -1),
        landmarks_3d_m=extended(sightings.landmarks_3d_m, 0.0),
    )
    placed = edited.placed.copy()
    for number, place in enumerate(drawn, start=before):
        placed[place.frame, place.person] = number
    new_number = np.argsort(order)
    return _Edited(
        sightings=longer.of(order),
        origin=extended(edited.origin, -1)[order],
        placed=np.where(placed >= 0, new_number[placed], -1),
    )
