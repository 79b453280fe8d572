"""Decisions in the database: none lost, none twice, and a damaged file is named."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from closefit.datasets import reviews as module
from closefit.datasets.reviews import Review, Reviews
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactVersionError,
    OutputFolderError,
)


def review(clip: str = "hug", reviewer: str = "anna", **others: object) -> Review:
    fields = {"result": "1", "verdict": "accept", "reviewed": "2026-11-29T12:00:00+00:00"}
    return Review(clip=clip, reviewer=reviewer, **{**fields, **others})  # type: ignore[arg-type]


def test_the_latest_decision_of_each_reviewer_counts(tmp_path: Path) -> None:
    database = Reviews(tmp_path / "reviews.sqlite")
    assert database.latest() == []
    assert not database.path.exists()
    first = review(note="ünder water", first=3, last=9, identity=True)
    other = review(reviewer="ben", verdict="reject")
    changed = replace(first, verdict=None)
    odd = review(clip=os.fsdecode(b"caf\xe9"))
    for one in (first, other, changed, odd):
        database.add(one)
    assert database.latest() == [other, changed, odd]


@pytest.mark.parametrize(
    ("first", "last", "kept"),
    [(None, None, (0, 9)), (3, None, (3, 9)), (None, 4, (0, 4)), (3, 99, (3, 9)), (50, 60, (9, 9))],
)
def test_what_is_kept_lies_in_the_clip(first: int, last: int, kept: tuple[int, int]) -> None:
    assert review(first=first, last=last).kept(10) == kept


WRITER = """
import sys, time
from pathlib import Path
from closefit.datasets.reviews import Review, Reviews
database, reviewer = Reviews(Path(sys.argv[1])), sys.argv[2]
for number in range(10_000):
    database.add(Review(clip=str(number), result="1", reviewer=reviewer, verdict="accept",
                        reviewed="now"))
    print(number, flush=True)
    time.sleep(0.005)  # SQLite is not fair to those who wait
"""


def test_what_was_confirmed_survives_the_death_of_writers(tmp_path: Path) -> None:
    """Two processes write at once and are killed; whatever they were told is done is there."""
    path = tmp_path / "reviews.sqlite"
    confirmed = {}
    writers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WRITER, path, name], stdout=subprocess.PIPE, text=True
        )
        for name in ("anna", "ben")
    }
    for name, process in writers.items():
        assert process.stdout is not None
        confirmed[name] = [process.stdout.readline() for _ in range(25)]
        process.send_signal(signal.SIGKILL)
        confirmed[name] += process.stdout.readlines()
        process.stdout.close()
        process.wait()
    found = {(one.reviewer, one.clip) for one in Reviews(path).latest()}
    assert {(name, text.strip()) for name, texts in confirmed.items() for text in texts} <= found
    for name in writers:
        numbers = sorted(int(clip) for who, clip in found if who == name)
        assert numbers == list(range(len(numbers)))


def test_a_locked_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    database = Reviews(tmp_path / "reviews.sqlite")
    database.add(review())
    holder = sqlite3.connect(database.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for use in (database.latest, lambda: database.add(review())):
        with pytest.raises(OutputFolderError, match="locked by another program"):
            use()
    holder.execute("ROLLBACK")
    holder.close()
    assert len(database.latest()) == 1


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """The system's limit for files stands for the end of the disk."""
    script = (
        "import resource, signal, sys; from pathlib import Path; "
        "from closefit.datasets.reviews import Review, Reviews; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384)); "
        "[Reviews(Path(sys.argv[1])).add(Review(clip=str(n), result='1', reviewer='anna', "
        "verdict='accept', note='x' * 999, reviewed='now')) for n in range(99)]"
    )
    path = tmp_path / "reviews.sqlite"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert re.search(r"errors\.(DiskFull|OutputFolder)Error", done.stderr), done.stderr
    kept = [int(review.clip) for review in Reviews(path).latest()]
    assert kept == list(range(len(kept)))
    assert kept


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def execute(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("damage", "error", "match"),
    [
        (lambda path: path.write_bytes(b"no database" * 500), ArtifactDamagedError, "not a data"),
        (overwritten, ArtifactDamagedError, "malformed"),
        (
            lambda path: execute(path, "UPDATE reviews SET verdict = 'maybe'"),
            ArtifactDamagedError,
            "does not follow its format",
        ),
        (
            lambda path: execute(path, "PRAGMA application_id = 7"),
            ArtifactDamagedError,
            "no database of closefit's reviews",
        ),
        (
            lambda path: execute(path, "PRAGMA user_version = 9"),
            ArtifactVersionError,
            "layout version `9`",
        ),
        (lambda path: (path.unlink(), path.mkdir()), OutputFolderError, "unable to open"),
        (
            lambda path: (path.rename(path.with_name("x")), path.symlink_to("x")),
            OutputFolderError,
            "is a link",
        ),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(
    tmp_path: Path, damage: object, error: type[Exception], match: str
) -> None:
    database = Reviews(tmp_path / "reviews.sqlite")
    database.add(review())
    damage(database.path)  # type: ignore[operator]
    before = database.path.read_bytes() if database.path.is_file() else None
    with pytest.raises(error, match=match) as raised:
        database.latest()
    assert str(database.path) in raised.value.message
    assert (database.path.read_bytes() if database.path.is_file() else None) == before
