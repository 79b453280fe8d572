"""What reviewers decided about the clips of a batch: `DIR/reviews.sqlite`.

Decisions are added and never changed; of each reviewer the latest one about a clip counts. A
decision is on the disk when `add` returns, and any number of processes may add at once.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from closefit import __version__
from closefit.boundary.files import typed
from closefit.boundary.refusals import RefusedError
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactVersionError,
    ClosefitError,
    DiskFullError,
    OutputFolderError,
)

Verdict = Literal["accept", "reject"]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Frame = Annotated[int, Meta(ge=0, le=10**9)]

APPLICATION_ID, VERSION = 0x636C6F73, 1
"""What marks the file as ours (`PRAGMA application_id`), and its layout (`user_version`)."""

PATIENCE_S = 10.0
"""How long another process may write before this one gives up."""

TABLE = """
CREATE TABLE reviews (
    id INTEGER PRIMARY KEY, clip TEXT NOT NULL, result TEXT NOT NULL, reviewer TEXT NOT NULL,
    verdict TEXT, first INTEGER, last INTEGER, identity INTEGER NOT NULL, note TEXT NOT NULL,
    reviewed TEXT NOT NULL
)
"""


@dataclass(frozen=True, kw_only=True)
class Review:
    """One decision of one reviewer about one clip.

    Attributes:
        clip: Name of the clip in the batch.
        result: Which result it is about (`ranking.result_of`): a clip that is done again needs
            another look.
        reviewer: Who decided.
        verdict: None where an earlier verdict is taken back.
        first: First frame to keep; None for that of the clip.
        last: Last frame to keep; None for that of the clip.
        identity: Somewhere the two people are taken for each other.
        note: Free text.
        reviewed: Date and time (UTC).
    """

    clip: str
    result: Name
    reviewer: Name
    verdict: Verdict | None
    first: Frame | None = None
    last: Frame | None = None
    identity: bool = False
    note: Annotated[str, Meta(max_length=10_000)] = ""
    reviewed: Name

    def kept(self, frames: int) -> tuple[int, int]:
        """Return first and last frame to keep of a clip of so many frames; both belong to it."""
        last = frames - 1 if self.last is None else min(self.last, frames - 1)
        return min(self.first or 0, last), last


COLUMNS = ", ".join(field.name for field in fields(Review))
VALUES = ", ".join(f":{field.name}" for field in fields(Review))


class Reviews:
    """The database; it is made with the first decision."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self.path = path

    def add(self, review: Review) -> None:
        """Add a decision; it is on the disk when this returns.

        Raises:
            OutputFolderError: The file is locked for too long, or cannot be written.
            DiskFullError: The disk is full.
            ArtifactError: It is damaged, something else, or of a later version.
        """
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            self._prepare(database)
            database.execute(f"INSERT INTO reviews ({COLUMNS}) VALUES ({VALUES})", _row(review))
            database.execute("COMMIT")

    def latest(self) -> list[Review]:
        """Return the latest decision of each reviewer about each clip, in order of time.

        Raises:
            ClosefitError: As `add`.
        """
        if not self.path.exists():
            return []
        query = (
            f"SELECT {COLUMNS} FROM reviews WHERE id IN "
            "(SELECT max(id) FROM reviews GROUP BY clip, reviewer) ORDER BY id"
        )
        with self._opened() as database:
            if self._is_new(database):
                return []
            rows = database.execute(query).fetchall()
        return [self._review(row) for row in rows]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction.

        Raises:
            ClosefitError: It cannot be used, in one sentence.
        """
        if self.path.is_symlink():
            raise OutputFolderError(
                f"`{self.path}` is a link, through which closefit does not write",
                hint="remove the link, or put the file itself there",
            )
        try:
            connection = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)
            with closing(connection) as database:
                database.row_factory = sqlite3.Row
                database.execute("PRAGMA synchronous = FULL")
                yield database
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _is_new(self, database: sqlite3.Connection) -> bool:
        """Whether there is no table yet; a file of something else is refused."""
        (application,), (version,), (tables,) = (
            database.execute(query).fetchone()
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        if application != APPLICATION_ID:
            if application or version or tables:
                raise self._damaged("it is no database of closefit's reviews")
            return True
        if version != VERSION:
            raise ArtifactVersionError(
                f"`{self.path}` has layout version `{version}`; this closefit ({__version__}) "
                f"reads {VERSION}",
                hint="use the version of closefit that wrote it",
            )
        return False

    def _prepare(self, database: sqlite3.Connection) -> None:
        if self._is_new(database):
            database.execute(TABLE)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")

    def _review(self, row: sqlite3.Row) -> Review:
        content: dict[str, Any] = dict(row)
        content["identity"] = bool(content["identity"])
        if isinstance(content["clip"], bytes):
            content["clip"] = os.fsdecode(content["clip"])
        try:
            review: Review = typed(content, Review)
        except RefusedError as refused:
            raise self._damaged(refused.problem) from refused
        return review

    def _explained(self, error: sqlite3.Error) -> ClosefitError:
        """What went wrong, for the user; Python 3.10 has only SQLite's words."""
        words = str(error)
        if "locked" in words:
            return OutputFolderError(
                f"`{self.path}` is locked by another program for more than {PATIENCE_S:g} s",
                hint="close the program that has it open (a database browser, a backup), then "
                "try again; reviews so far are kept",
            )
        if "full" in words:
            return DiskFullError(
                f"no space left to write `{self.path}`",
                hint="free some space, then try again; reviews so far are kept",
            )
        if "unable to open" in words or "readonly" in words or "disk I/O" in words:
            return OutputFolderError(
                f"`{self.path}` cannot be used: {words}",
                hint="check its rights and the disk, then try again",
            )
        return self._damaged(words)

    def _damaged(self, problem: str) -> ArtifactDamagedError:
        return ArtifactDamagedError(
            f"`{self.path}` cannot be used: {problem}",
            hint=f"`sqlite3 {self.path} .recover` may save reviews from a copy of it; `mv "
            f"{self.path} {self.path}.damaged` starts without",
        )


def _row(review: Review) -> dict[str, Any]:
    """The values of a line; a file's name that is no UTF-8 is kept as bytes."""
    row = asdict(review)
    try:
        row["clip"].encode()
    except UnicodeEncodeError:
        row["clip"] = os.fsencode(row["clip"])
    return row
