"""Everybody in a clip, each with a letter, so that a user can choose two of them.

A and B are the pair that is followed if the user chooses nobody. The tracklets of all others are
joined to people by one minimum-cost assignment of ends to beginnings over the whole clip, and named
in the order in which they appear. Letters depend on the detections alone, not on corrections.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from closefit.config import PeopleChoice, PointInFrame
from closefit.errors import UnknownPersonError
from closefit.records import DetectedPeople
from closefit.storage.run_record import CandidatePerson
from closefit.tracking.association import Tracklet, link_known
from closefit.tracking.mask_crops import mask_crops
from closefit.tracking.pair_search import MIN_SEEN_S, Jumps, choose_pair

MAX_ABSENCE_S = 5.0
"""A person who is away for longer gets another letter."""

NEW_PERSON_COST = 8.0
"""A jump less plausible than this is that of another person."""

UNLIKELY = 1e6

Owner = Int[np.ndarray, " detection"]
"""Number of each detection's person (A: 0, B: 1, ...); -1 for false detections."""


def gather(people: DetectedPeople, fps: float) -> Owner:
    """Identify everybody."""
    owner = np.full(len(people.frame), -1)
    for person, numbers in enumerate(choose_pair(people, fps).T):
        owner[numbers[numbers >= 0]] = person
    rest = np.flatnonzero(owner < 0)
    others = _others(people.of(rest), fps) if len(rest) else []
    for number, detections in enumerate(others, start=2):
        owner[rest[detections]] = number
    return owner


def letter(number: int) -> str:
    """Return the name of a person: A to Z, then AA, AB and so on."""
    return (letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def described(
    people: DetectedPeople, owner: Owner, scale: Float[np.ndarray, "2"]
) -> list[CandidatePerson]:
    """Describe when, how often and where each person is seen, in JSON values.

    Args:
        people: Everybody.
        owner: From `gather`.
        scale: Source pixels per pixel of the detections, across and down.
    """
    return [
        CandidatePerson(
            id=name,
            frames=(int(people.frame[mine[0]]), int(people.frame[mine[-1]])),
            seen_frames=len(mine),
            first_box=[
                round(float(side), 1) for side in people.boxes_xyxy[mine[0]] * np.tile(scale, 2)
            ],
        )
        for name, mine in _by_letter(owner)
    ]


def choose(
    people: DetectedPeople, owner: Owner, chosen: tuple[PeopleChoice, PeopleChoice], video: str
) -> tuple[int, int]:
    """Return the numbers of the two people whom the user chose.

    Args:
        people: Everybody.
        owner: From `gather`.
        chosen: Two letters or points; points are in pixels of the detections.
        video: Its name, for messages.

    Raises:
        UnknownPersonError: There is no such person, or nobody at this point, or both are one.
    """
    numbers = {letter(int(number)): int(number) for number in np.unique(owner[owner >= 0])}
    seen = [
        f"{name} (frames {people.frame[mine[0]]}-{people.frame[mine[-1]]})"
        for name, mine in _by_letter(owner)
    ]
    hint = (
        f"choose from {', '.join(seen)}; to see them, run "
        "`closefit stage track DIR --preview --set track.people=none`"
    )

    def number_of(choice: PeopleChoice) -> int:
        if isinstance(choice, PointInFrame):
            last = people.num_frames - 1
            if choice.frame > last:
                raise UnknownPersonError(
                    f"`--people` names frame {choice.frame} of `{video}`, but the clip has frames "
                    f"0-{last}",
                    hint="count frames from 0 at the start of the chosen frames",
                )
            detection = detection_at(people, choice)
            if detection is None or owner[detection] < 0:
                raise UnknownPersonError(
                    f"nobody was found at the given point in frame {choice.frame} of `{video}`",
                    hint=hint,
                )
            return int(owner[detection])
        if choice not in numbers:
            raise UnknownPersonError(
                f"there is no person `{choice}` in `{video}`: there are {', '.join(numbers)}",
                hint=hint,
            )
        return numbers[choice]

    first, second = map(number_of, chosen)
    if first == second:
        raise UnknownPersonError(
            f"`--people` names person `{letter(first)}` of `{video}` twice", hint=hint
        )
    return first, second


def detection_at(people: DetectedPeople, point: PointInFrame) -> int | None:
    """Detection whose mask holds the point, or else the smallest whose box does."""
    here = np.flatnonzero(people.frame == point.frame)
    masks = mask_crops(people)
    on_mask = [number for number in here if masks[number].covers(point.x, point.y)]
    boxes = people.boxes_xyxy[here]
    place = np.array([point.x, point.y])
    inside = (boxes[:, :2] <= place).all(axis=1) & (boxes[:, 2:] >= place).all(axis=1)
    candidates = np.array(on_mask, dtype=np.int64) if on_mask else here[inside]
    if len(candidates) == 0:
        return None
    boxes = people.boxes_xyxy[candidates]
    return int(candidates[np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmin()])


def _by_letter(owner: Owner) -> Iterator[tuple[str, Int[np.ndarray, " detection"]]]:
    """Letter and detections of each person who is seen at all, in order."""
    for number in np.unique(owner[owner >= 0]):
        yield letter(int(number)), np.flatnonzero(owner == number)


def _others(people: DetectedPeople, fps: float) -> list[Int[np.ndarray, " detection"]]:
    """Join tracklets to people; those who are hardly ever seen are left out."""
    shortest = max(2, round(MIN_SEEN_S * fps))
    tracklets = link_known(people, fps)
    joined = [
        np.concatenate([tracklets[number].detections for number in chain])
        for chain in _chains(people, tracklets, fps)
    ]
    joined = [detections for detections in joined if len(detections) >= shortest]
    return sorted(joined, key=lambda own: (people.frame[own[0]], people.boxes_xyxy[own[0], 0]))


def _chains(people: DetectedPeople, tracklets: list[Tracklet], fps: float) -> list[list[int]]:
    """Numbers of the tracklets of each person.

    Each tracklet has at most one successor and at most one predecessor, so the cheapest set of
    joins is an assignment problem, with the same solution as a minimum-cost flow.
    """
    count = len(tracklets)
    jumps = Jumps(people, tracklets, fps)
    costs = np.full((count, 2 * count), UNLIKELY)
    costs[:, count:] = NEW_PERSON_COST
    for before, earlier in enumerate(tracklets):
        for after, later in enumerate(tracklets):
            if 0 < later.start - earlier.end <= MAX_ABSENCE_S * fps:
                costs[before, after] = jumps.implausibility(before, after)
    followers = linear_sum_assignment(costs)[1]
    follower = {number: int(f) for number, f in enumerate(followers) if f < count}
    chains = []
    for first in sorted(set(range(count)) - set(follower.values())):
        chain = [first]
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
        chains.append(chain)
    return chains
