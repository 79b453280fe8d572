"""From the decisions of several reviewers to what is kept of each clip."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypedDict

from closefit.batch.record import ClipRecord
from closefit.datasets.ranking import result_of
from closefit.datasets.reviews import Review


@dataclass(frozen=True)
class Kept:
    """A clip that was accepted.

    Attributes:
        record: Its line of the index.
        first: First frame that all who accepted it keep.
        last: Last such frame.
        accepted: Number of reviewers who accepted it.
        rejected: Number of those who did not.
        identity: Somebody flagged that the two people are mixed up somewhere.
        notes: What reviewers wrote.
    """

    record: ClipRecord
    first: int
    last: int
    accepted: int
    rejected: int
    identity: bool
    notes: tuple[str, ...]

    @property
    def frames(self) -> int:
        """Number of frames that are kept."""
        return self.last - self.first + 1


class Agreement(TypedDict):
    """How often two reviewers of one clip came to the same verdict.

    Attributes:
        pairs: Number of pairs of verdicts.
        share: Share of equal ones; None without a pair.
        scott_pi: The same beyond chance: 0 is chance, 1 complete; None where it is not defined.
    """

    pairs: int
    share: float | None
    scott_pi: float | None


class Tally(TypedDict):
    """What became of the clips of a batch.

    Attributes:
        reviewers: Number of reviewers.
        reviewed: Clips with a verdict.
        accepted: Clips that most accepted.
        rejected: Clips that most rejected.
        disputed: Clips with as many for as against, or whose reviewers keep no common frame.
        unreviewed: Finished clips without a verdict.
        outdated: Verdicts about results that were made anew since.
        trimmed: Accepted clips of which a part is kept.
        flagged: Accepted clips with mixed up identities somewhere.
        agreement: Of pairs of reviewers.
    """

    reviewers: int
    reviewed: int
    accepted: int
    rejected: int
    disputed: int
    unreviewed: int
    outdated: int
    trimmed: int
    flagged: int
    agreement: Agreement


def decide(
    records: Mapping[str, ClipRecord], reviews: Iterable[Review]
) -> tuple[list[Kept], Tally]:
    """Return the accepted clips in order of their names, and what became of all.

    The majority decides; a draw is not accepted. Of an accepted clip, those frames are kept that
    everybody keeps who accepted it.
    """
    done = {name: record for name, record in records.items() if record["status"] == "done"}
    by_clip: dict[str, list[Review]] = defaultdict(list)
    outdated = 0
    for review in reviews:
        if review.verdict is None or review.clip not in done:
            continue
        if review.result == result_of(done[review.clip]):
            by_clip[review.clip].append(review)
        else:
            outdated += 1
    kept = []
    counts: Counter[str] = Counter()
    for name in sorted(by_clip):
        state, clip = _of_clip(done[name], by_clip[name])
        counts[state] += 1
        if clip is not None:
            kept.append(clip)
    tally = Tally(
        reviewers=len({review.reviewer for about in by_clip.values() for review in about}),
        reviewed=len(by_clip),
        accepted=counts["accepted"],
        rejected=counts["rejected"],
        disputed=counts["disputed"],
        unreviewed=len(done) - len(by_clip),
        outdated=outdated,
        trimmed=sum(clip.frames < (clip.record["frames"] or 0) for clip in kept),
        flagged=sum(clip.identity for clip in kept),
        agreement=agreement(by_clip.values()),
    )
    return kept, tally


def _of_clip(record: ClipRecord, reviews: list[Review]) -> tuple[str, Kept | None]:
    accepting = [review for review in reviews if review.verdict == "accept"]
    against = len(reviews) - len(accepting)
    if len(accepting) < against:
        return "rejected", None
    frames = record["frames"] or 0
    ranges = [review.kept(frames) for review in accepting]
    first, last = max((a for a, _ in ranges), default=0), min((b for _, b in ranges), default=-1)
    if len(accepting) == against or first > last:
        return "disputed", None
    return "accepted", Kept(
        record=record,
        first=first,
        last=last,
        accepted=len(accepting),
        rejected=against,
        identity=any(review.identity for review in reviews),
        notes=tuple(review.note for review in reviews if review.note),
    )


def agreement(clips: Iterable[Iterable[Review]]) -> Agreement:
    """Compare the verdicts of each two reviewers of a clip (Scott 1955)."""
    pairs = [pair for reviews in clips for pair in combinations(reviews, 2)]
    if not pairs:
        return Agreement(pairs=0, share=None, scott_pi=None)
    share = sum(one.verdict == other.verdict for one, other in pairs) / len(pairs)
    accepted = sum(review.verdict == "accept" for pair in pairs for review in pair)
    accepting = accepted / (2 * len(pairs))
    by_chance = accepting**2 + (1.0 - accepting) ** 2
    beyond = None if by_chance == 1.0 else round((share - by_chance) / (1.0 - by_chance), 4)
    return Agreement(pairs=len(pairs), share=round(share, 4), scott_pi=beyond)
