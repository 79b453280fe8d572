"""Progress of long work where it goes into a file or another program."""

import itertools
import re

import pytest

from closefit.cli.console import Console
from closefit.cli.progress import Lines
from closefit.events import StageFinished, Step


class Clock:
    """Time that passes when a test sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(
    capsys: pytest.CaptureFixture[str], total: int, step_s: float, first: int = 1
) -> list[tuple[float, str]]:
    """Lines about a task whose steps take equally long, and when they were written."""
    clock = Clock()
    lines = Lines(Console().line, clock)
    found = []
    for done in range(first, total + 1):
        clock.now += step_s
        lines.listen(Step("train-prior", done, total))
        text = capsys.readouterr().err
        found += [(clock.now - 100.0, line) for line in text.splitlines()]
    return found


def test_short_work_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(capsys, total=90, step_s=0.1) == []


def test_every_tenth_is_reported_with_the_time_that_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = lines_of(capsys, total=100, step_s=1.0)
    assert [line for _, line in lines][:2] == [
        "train-prior: 11 of 100, 1:29 left",
        "train-prior: 20 of 100, 1:20 left",
    ]
    assert len(lines) == 10
    assert lines[-1][1] == "train-prior: 100 of 100, 0:00 left"


def test_slow_work_is_heard_of_every_half_minute_and_hours_of_it_less_often(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = lines_of(capsys, total=36_000, step_s=1.0)
    times = [when for when, _ in lines]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] <= 31.0
    assert max(gaps[:5]) <= 31.0
    assert max(gaps) <= 301.0
    assert len(lines) < 200
    assert re.fullmatch(r"train-prior: \d+ of 36000, 9:\d\d:\d\d left", lines[1][1])


def test_work_that_goes_on_counts_only_what_it_has_seen_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = lines_of(capsys, total=100, step_s=1.0, first=81)
    assert lines[0][1] == "train-prior: 91 of 100, 0:09 left"


def test_a_task_that_begins_anew_is_a_new_task(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(Console().line, clock)
    for start in (0.0, 1000.0):
        for done in (1, 50, 100):
            clock.now = start + done
            lines.listen(Step("contacts", done, 100))
    assert capsys.readouterr().err.splitlines() == [
        "contacts: 50 of 100, 0:50 left",
        "contacts: 100 of 100, 0:00 left",
    ] * 2  # fmt: skip


def test_lines_of_stages_stay(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(Console().line).listen(StageFinished("track", "out/track.npz", 1.0))
    assert capsys.readouterr().err.startswith("track     done in 1.0 s")
