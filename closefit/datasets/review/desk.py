"""Hands clips to reviewers and takes their decisions; any number of them at once."""

import hashlib
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from closefit.batch.folder import REVIEWS, BatchFolder
from closefit.batch.record import ClipRecord
from closefit.boundary.files import typed
from closefit.boundary.refusals import refuse, word
from closefit.datasets.ranking import doubt_order, good_frames_of, result_of, score_of
from closefit.datasets.reviews import Review, Reviews
from closefit.errors import ArtifactMissingError, ClosefitError
from closefit.exporters.report.film import stride_of
from closefit.storage.workspace import Workspace

LOOKING_S = 300.0
"""A clip that was shown is kept back from others for so long."""

FIGURES = {
    "confidence": "confidence of each person",
    "both_seen": "frames with both detected (share)",
    "identity_confidence_least": "least certain identity",
    "doubtful_frames": "frames with doubtful identity",
    "valid_share": "poses near observations (share)",
    "contact_frames": "frames with contact",
    "penetration_mean_mm": "penetration, mean (mm)",
    "penetration_max_mm": "penetration, deepest (mm)",
    "reprojection_error_px": "off the keypoints (px)",
    "optimize_status": "optimisation",
}
"""Figures that a reviewer sees, in this order."""


class Desk:
    """The clips of one batch and their reviews; safe for threads."""

    def __init__(self, root: Path) -> None:
        """Open the folder.

        Raises:
            ArtifactError: It is not the folder of a batch, has no result, or its reviews are
                damaged.
        """
        self.folder = BatchFolder(root)
        self.folder.require_plan()
        self.reviews = Reviews(self.folder.root / REVIEWS)
        self._lock = threading.Lock()
        self._looking: dict[str, tuple[str, float]] = {}
        self._skipped: dict[str, set[str]] = {}
        self._stamp: object = None
        self._records: dict[str, ClipRecord] = {}
        self._names: dict[str, str] = {}
        if not self._clips():
            raise ArtifactMissingError(
                f"`{root}` has no finished clip to review",
                hint=f"`closefit batch status {word(root)}` shows how far it is, and what failed",
            )
        self.reviews.latest()

    def next_clip(self, reviewer: str) -> dict[str, Any]:
        """Return the next clip for a reviewer, the one after it, and how far all is.

        Clips that nobody has decided about come first, then those of others: two opinions show
        how well people agree. A clip that somebody else looks at now comes later.
        """
        records, reviews = self._clips(), self._current()
        with self._lock:
            order = self._order(reviewer, records, reviews)
            if order:
                self._looking[reviewer] = (order[0], time.monotonic())
        shown = [self._content(records[name], reviewer, reviews) for name in order[:2]]
        return {
            "clip": shown[0] if shown else None,
            "upcoming": shown[1] if len(shown) > 1 else None,
            "counts": _counts(reviewer, records, reviews),
        }

    def clip(self, reviewer: str, key: str) -> dict[str, Any]:
        """Return one clip, as for going back to it.

        Raises:
            RefusedError: There is none.
        """
        record, reviews = self._record(key), self._current()
        return {
            "clip": self._content(record, reviewer, reviews),
            "upcoming": None,
            "counts": _counts(reviewer, self._clips(), reviews),
        }

    def decide(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Record a decision, and return what follows it, as `next_clip`.

        Raises:
            RefusedError: It is not a decision about a clip of this batch.
            ClosefitError: It cannot be recorded.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        record = self._record(str(content.get("clip")))
        given = {**content, "clip": record["name"], "reviewed": now}
        review: Review = typed(given, Review)
        if review.result != result_of(record):
            refuse("this clip was done again meanwhile: look at it once more")
        if review.first is not None and review.last is not None and review.first > review.last:
            refuse("the first frame to keep comes after the last one")
        self.reviews.add(review)
        with self._lock:
            self._looking.pop(review.reviewer, None)
        return self.next_clip(review.reviewer)

    def skip(self, reviewer: str, key: str) -> dict[str, Any]:
        """Put a clip at the end of a reviewer's queue, and return what comes next."""
        name = self._record(key)["name"]
        with self._lock:
            self._skipped.setdefault(reviewer, set()).add(name)
        return self.next_clip(reviewer)

    def file(self, key: str, kind: str) -> Path:
        """Return the path of a file of a clip's results.

        Raises:
            RefusedError: There is none; links that lead out of the batch's folder are none.
        """
        workspace = Workspace(self.folder.results(self._record(key)["name"]))
        found = self._inside(_film(workspace) if kind == "film.mp4" else workspace.report)
        return found or refuse("there is no such file")

    def _inside(self, path: Path) -> Path | None:
        root, real = (os.path.realpath(place) for place in (self.folder.root, path))
        is_own = Path(real).is_relative_to(root) and os.path.isfile(real)
        return Path(real) if is_own else None

    def _record(self, key: str) -> ClipRecord:
        """The clip that the page calls by this key.

        Raises:
            RefusedError: There is none.
        """
        record = self._clips().get(self._names.get(key, ""))
        return record or refuse("there is no such clip")

    def _clips(self) -> dict[str, ClipRecord]:
        """Finished clips by name; the index is read again when it has changed."""
        path = self.folder.index.path
        try:
            status = path.stat()
            stamp: object = (status.st_size, status.st_mtime_ns, status.st_ino)
        except OSError:
            stamp = None
        with self._lock:
            if stamp is None or stamp != self._stamp:
                records, _ = self.folder.records()
                self._records = {n: r for n, r in records.items() if r["status"] == "done"}
                self._names = {_key(name): name for name in self._records}
                self._stamp = stamp
            return self._records

    def _current(self) -> dict[str, dict[str, Review]]:
        """Verdicts about today's results by clip and reviewer."""
        found: dict[str, dict[str, Review]] = {}
        records = self._clips()
        for review in self.reviews.latest():
            record = records.get(review.clip)
            if record is not None and review.verdict and review.result == result_of(record):
                found.setdefault(review.clip, {})[review.reviewer] = review
        return found

    def _order(
        self,
        reviewer: str,
        records: Mapping[str, ClipRecord],
        reviews: Mapping[str, Mapping[str, Review]],
    ) -> list[str]:
        """Names of the clips that a reviewer has not decided about, in order."""
        since = time.monotonic() - LOOKING_S
        others = {
            name for who, (name, at) in self._looking.items() if who != reviewer and at > since
        }
        skipped = self._skipped.get(reviewer, set())
        left = [name for name in records if reviewer not in reviews.get(name, {})]
        return sorted(
            left,
            key=lambda name: (
                name in skipped,
                len(reviews.get(name, {})) + (name in others),
                *doubt_order(records[name]),
            ),
        )

    def _content(
        self,
        record: ClipRecord,
        reviewer: str,
        reviews: Mapping[str, Mapping[str, Review]],
    ) -> dict[str, Any]:
        """What the page shows of a clip; verdicts of others stay hidden until one has decided."""
        name = record["name"]
        workspace, frames = Workspace(self.folder.results(name)), record["frames"] or 1
        fps, problem = _rate(workspace)
        score, mine = score_of(record["quality"]), reviews.get(name, {}).get(reviewer)
        film = _film(workspace)
        return {
            "key": _key(name),
            "name": name,
            "result": result_of(record),
            "frames": frames,
            "fps": fps,
            "stride": stride_of(frames) if film == workspace.film else 1,
            "has_film": self._inside(film) is not None,
            "has_report": self._inside(workspace.report) is not None,
            "problem": problem,
            "video": Path(record["clip"]).name,
            "part_s": [record["start_s"], record["end_s"]],
            "source": record["source"],
            "licence": record["licence"],
            "score": None if score is None else score.value,
            "reasons": [] if score is None else list(score.reasons),
            "good": good_frames_of(record["quality"], frames),
            "doubts": record["warnings"],
            "figures": list(_figures(record["quality"])),
            "reviewed_by": len(reviews.get(name, {})),
            "mine": None
            if mine is None
            else {
                "verdict": mine.verdict,
                "first": mine.first,
                "last": mine.last,
                "identity": mine.identity,
                "note": mine.note,
            },
        }


def _key(name: str) -> str:
    """What addresses call a clip: names may hold bytes that an address cannot."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:20]


def _film(workspace: Workspace) -> Path:
    """The small film where there is one, else the overlay."""
    return workspace.film if workspace.film.is_file() else workspace.overlay


def _rate(workspace: Workspace) -> tuple[float, str | None]:
    """Frames per second of a clip, and what is wrong with its folder."""
    try:
        video = workspace.require_started()["video"]
    except ClosefitError as error:
        return 30.0, f"{error.message}. {error.hint}"
    return float(video["fps"]), None


def _figures(quality: Mapping[str, Any]) -> Iterator[list[str]]:
    for key, label in FIGURES.items():
        value = quality.get(key)
        if value is not None:
            values = value if isinstance(value, list) else [value]
            yield [label, ", ".join(map(_text, values))]


def _text(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.3g}"
    return str(value)


def _counts(
    reviewer: str,
    records: Mapping[str, ClipRecord],
    reviews: Mapping[str, Mapping[str, Review]],
) -> dict[str, int]:
    mine = [review for by in reviews.values() if (review := by.get(reviewer)) is not None]
    return {
        "clips": len(records),
        "mine": len(mine),
        "accepted": sum(review.verdict == "accept" for review in mine),
        "rejected": sum(review.verdict == "reject" for review in mine),
        "reviewed": len(reviews),
    }
