"""Everybody in a clip, each with a letter, so that a user can choose two of them.

A and B are the pair that is chosen when nobody chooses. The tracklets of all others are joined to
people by one minimum-cost assignment of ends to beginnings over the whole clip, and named in the
order in which they appear. Letters follow from the detections alone, never from corrections.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from closefit.config import PeopleChoice, PointInFrame
from closefit.errors import UnknownPersonError
from closefit.tracking.association import Tracklet, link_known
from closefit.tracking.pair import MIN_SEEN_S, Jumps, choose_pair
from closefit.tracking.sightings import Sightings

MAX_ABSENCE_S = 5.0
"""Who is away for longer gets another letter."""

NEW_PERSON_COST = 8.0
"""A jump more implausible than this is that of another person."""

UNLIKELY = 1e6


@dataclass(frozen=True, eq=False)
class Crowd:
    """Everybody whom a detector found, told apart.

    Attributes:
        sightings: All detections.
        pair: Detections of A and B in each frame, -1 where there is none.
        owner: Number of each detection's person; -1 for detections of nobody in particular.
        letters: Name of each person.
    """

    sightings: Sightings
    pair: Int[np.ndarray, "frame 2"]
    owner: Int[np.ndarray, " detection"]
    letters: tuple[str, ...]

    @property
    def present(self) -> list[str]:
        """Letters of those who are seen at all, in order."""
        return [self.letters[number] for number in np.unique(self.owner[self.owner >= 0])]

    def described(self, scale: Float[np.ndarray, "2"]) -> list[dict[str, object]]:
        """Say of each person when, how often and where they are seen, in JSON values.

        Args:
            scale: Source pixels per pixel of the sightings, across and down.
        """
        people: list[dict[str, object]] = []
        for letter in self.present:
            mine = np.flatnonzero(self.owner == self.letters.index(letter))
            frames = self.sightings.frame[mine]
            box = self.sightings.boxes_xyxy[mine[0]] * np.tile(scale, 2)
            people.append(
                {
                    "id": letter,
                    "frames": [int(frames[0]), int(frames[-1])],
                    "seen_frames": len(mine),
                    "first_box": [round(float(side), 1) for side in box],
                }
            )
        return people


def gather(sightings: Sightings, fps: float) -> Crowd:
    """Tell everybody apart and give them letters."""
    owner = np.full(len(sightings.frame), -1)
    pair = choose_pair(sightings, fps)
    for person, numbers in enumerate(pair.T):
        owner[numbers[numbers >= 0]] = person
    rest = np.flatnonzero(owner < 0)
    others = _others(sightings.of(rest), fps) if len(rest) else []
    for number, detections in enumerate(others, start=2):
        owner[rest[detections]] = number
    return Crowd(
        sightings, pair, owner, tuple(_letters(number) for number in range(2 + len(others)))
    )


def choose(crowd: Crowd, wanted: tuple[PeopleChoice, PeopleChoice], video: str) -> tuple[int, int]:
    """Return the numbers of the two people whom a user wants.

    Args:
        crowd: Everybody.
        wanted: Two letters or points; points are in pixels of the sightings.
        video: Its name, for messages.

    Raises:
        UnknownPersonError: There is no such person, or nobody at this point, or both are one.
    """
    first, second = (_number_of(crowd, choice, video) for choice in wanted)
    if first == second:
        raise UnknownPersonError(
            f"`--people` names person `{crowd.letters[first]}` of `{video}` twice",
            hint=_whereabouts(crowd),
        )
    return first, second


def detection_at(sightings: Sightings, point: PointInFrame) -> int | None:
    """Detection whose mask holds the point, or else the smallest whose box does."""
    here = np.flatnonzero(sightings.frame == point.frame)
    on_mask = [number for number in here if sightings.masks[number].covers(point.x, point.y)]
    boxes = sightings.boxes_xyxy[here]
    place = np.array([point.x, point.y])
    inside = (boxes[:, :2] <= place).all(axis=1) & (boxes[:, 2:] >= place).all(axis=1)
    candidates = np.array(on_mask, dtype=np.int64) if on_mask else here[inside]
    if len(candidates) == 0:
        return None
    boxes = sightings.boxes_xyxy[candidates]
    return int(candidates[np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmin()])


def _number_of(crowd: Crowd, choice: PeopleChoice, video: str) -> int:
    if isinstance(choice, PointInFrame):
        return _number_at(crowd, choice, video)
    if choice not in crowd.present:
        raise UnknownPersonError(
            f"there is no person `{choice}` in `{video}`: there are {', '.join(crowd.present)}",
            hint=_whereabouts(crowd),
        )
    return crowd.letters.index(choice)


def _number_at(crowd: Crowd, point: PointInFrame, video: str) -> int:
    last = crowd.sightings.num_frames - 1
    if point.frame > last:
        raise UnknownPersonError(
            f"`--people` names frame {point.frame} of `{video}`, but the clip has frames 0-{last}",
            hint="count frames from 0 at the start of the chosen part",
        )
    detection = detection_at(crowd.sightings, point)
    if detection is None or crowd.owner[detection] < 0:
        raise UnknownPersonError(
            f"nobody was found at the given point in frame {point.frame} of `{video}`",
            hint=_whereabouts(crowd),
        )
    return int(crowd.owner[detection])


def _whereabouts(crowd: Crowd) -> str:
    """Who there is, and when."""
    frames = [
        crowd.sightings.frame[crowd.owner == crowd.letters.index(letter)]
        for letter in crowd.present
    ]
    seen = [
        f"{letter} (frames {mine[0]}-{mine[-1]})"
        for letter, mine in zip(crowd.present, frames, strict=True)
    ]
    return (
        f"choose from {', '.join(seen)}; to see them, run "
        "`closefit stage track DIR --preview --set track.people=none`"
    )


def _others(sightings: Sightings, fps: float) -> list[Int[np.ndarray, " detection"]]:
    """Join tracklets to people; who is hardly ever seen is left out."""
    shortest = max(2, round(MIN_SEEN_S * fps))
    tracklets = link_known(sightings, fps)
    people = [
        np.concatenate([tracklets[number].detections for number in chain])
        for chain in _chains(sightings, tracklets, fps)
    ]
    people = [detections for detections in people if len(detections) >= shortest]
    place = [(sightings.frame[p[0]], sightings.boxes_xyxy[p[0], 0]) for p in people]
    return [people[number] for number in sorted(range(len(people)), key=place.__getitem__)]


def _chains(sightings: Sightings, tracklets: list[Tracklet], fps: float) -> list[list[int]]:
    """Numbers of the tracklets of each person.

    Each tracklet goes on with at most one later one and follows at most one, so the cheapest set
    of joins is an assignment problem: what a minimum-cost flow would find.
    """
    count = len(tracklets)
    jumps = Jumps(sightings, tracklets, fps)
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


def _letters(number: int) -> str:
    """A to Z, then AA, AB and so on."""
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)
