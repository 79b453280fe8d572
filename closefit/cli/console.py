"""Draws events, tables and errors; everything but data goes to stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from closefit.errors import ClosefitError
from closefit.events import (
    ALL_FILES,
    Emit,
    Event,
    Notice,
    StageFinished,
    StageSkipped,
    StageStarted,
    Step,
    Transferred,
)

PIPED_WIDTH = 160
"""Width of tables that go into a file or another program."""

QUIET_S = 10.0
"""Work that is over sooner needs no lines about how far it is."""

TENTH_S, SILENCE_S, LONGEST_SILENCE_S = 5.0, 30.0, 300.0
"""A line follows another after the first of these if one more tenth is done, and else after the
second; a task of hours lets them thin out, up to the third."""

SILENCE_SHARE = 0.05
"""Of the time that a task has taken so far."""


class Console:
    """The terminal of one command: progress while it runs, tables and errors."""

    def __init__(self) -> None:
        """Attach to the current stdout and stderr."""
        self._err = Terminal(stderr=True, highlight=False, soft_wrap=True)
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        self._out = Terminal(highlight=False, width=width)
        self._live = self._err.is_terminal and "NO_COLOR" not in os.environ

    @contextmanager
    def progress(self) -> Iterator[Emit]:
        """Yield a listener that draws the events it is told."""
        if not self._live:
            yield _Lines(self).listen
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            _Amount(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._err, transient=True) as bars:
            yield _Bars(self, bars).listen

    def say(self, text: str, style: str = "") -> None:
        """Write one line to stderr."""
        self._err.print(Text(text, style=style))

    def error(self, error: ClosefitError) -> None:
        """Write what happened and what to do about it to stderr."""
        self._failure(error.message)
        self._err.print()
        self._err.print(Text.assemble(("hint:", "bold cyan"), " ", error.hint))

    def bug(self, error: Exception, log: Path | None = None) -> None:
        """Say in one line that closefit itself failed, and in which file the details are."""
        self._failure(f"internal error: {type(error).__name__}: {error}")
        if log is not None:
            self.say(f"\nhint: please report this bug with `{log}`, which has the details")

    def _failure(self, message: str) -> None:
        self._err.print(Text.assemble(("error:", "bold red"), " ", message))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table to stdout; columns after the first that hold numbers align right."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index, title in enumerate(header):
            numeric = index > 0 and all(_is_number(row[index]) for row in rows)
            table.add_column(title, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._out.print(table)

    def check(self, name: str, state: str, found: str, fix: str) -> None:
        """Write one line about a part of the machine to stdout, and how to mend it."""
        style = {"ok": "green", "missing": "yellow"}.get(state, "bold red")
        self._out.print(
            Text.assemble(f"{name:<20} ", (f"{state:<8}", style), found), soft_wrap=True
        )
        if state != "ok":
            self._out.print(Text(f"{'':<29}-> {fix}"), soft_wrap=True)

    def data(self, content: Any) -> None:
        """Write `content` as JSON to stdout."""
        sys.stdout.write(json.dumps(content, indent=2) + "\n")


class _Amount(MofNCompleteColumn):
    """How much of a task is done: in bytes where it is a file, else in steps."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn()

    def render(self, task: Task) -> Text:
        return self._bytes.render(task) if task.fields.get("bytes") else super().render(task)


@dataclass
class _Pace:
    """How far a task was when it was first heard of, and when a line was last written about it."""

    first: int
    started: float
    told: float
    tenth: int
    heard: int


class _Lines:
    """Lines for files and for terminals without colour: per stage and file, and for long work."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._reasons: dict[str, str] = {}
        self._tenths: dict[str, int] = {}
        self._paces: dict[str, _Pace] = {}

    def listen(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._reasons[event.stage] = f"{event.reason}; on {event.device}"
        elif isinstance(event, StageFinished):
            self._paces.clear()
            self._console.say(finished_line(event, self._reasons.get(event.stage, "")))
        elif isinstance(event, Transferred):
            self._transferred(event)
        elif isinstance(event, Step):
            self._step(event)
        else:
            _say_plainly(self._console, event)

    def _step(self, event: Step) -> None:
        """Write how much of a long task is done and how long the rest will take."""
        if event.total <= 0:
            return
        now, tenth = self._clock(), 10 * event.done // event.total
        pace = self._paces.get(event.task)
        if pace is None or event.done < pace.heard:  # a task of the same name begins anew
            self._paces[event.task] = _Pace(event.done, now, now, tenth, event.done)
            return
        pace.heard = event.done
        taken, silent = now - pace.started, now - pace.told
        longest = min(max(SILENCE_S, SILENCE_SHARE * taken), LONGEST_SILENCE_S)
        due = silent >= longest or (tenth > pace.tenth and silent >= TENTH_S)
        if taken < QUIET_S or not due:
            return
        pace.told, pace.tenth = now, tenth
        line = f"{event.task}: {event.done} of {event.total}"
        if event.done > pace.first:
            left = taken / (event.done - pace.first) * (event.total - event.done)
            line += f", {_duration(left)} left"
        self._console.say(line)

    def _transferred(self, event: Transferred) -> None:
        """Write a line for each file that is complete, and for each tenth of all of them."""
        if not event.total:
            return
        tenth = 10 * event.done // event.total
        before = self._tenths.get(event.name, 0)
        self._tenths[event.name] = tenth
        if tenth > before and (tenth == 10 or event.name == ALL_FILES):
            done, total = (f"{size / 1e6:.1f}" for size in (event.done, event.total))
            self._console.say(f"{event.name}: {done} of {total} MB")


class _Bars:
    """A bar per task with the time that is left; a line remains of each stage."""

    def __init__(self, console: Console, bars: Progress) -> None:
        self._console = console
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._reasons: dict[str, str] = {}

    def listen(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._reasons[event.stage] = event.reason
            self._task(event.stage, None, f"{event.stage} ({event.reason}) on {event.device}")
        elif isinstance(event, Step):
            task = self._task(event.task, event.total, event.task)
            terms = " ".join(f"{name} {value:.3g}" for name, value in event.terms.items())
            self._bars.update(
                task,
                completed=event.done,
                total=event.total,
                description=f"{event.task} {terms}".rstrip(),
            )
        elif isinstance(event, Transferred):
            self._transferred(event)
        elif isinstance(event, StageFinished):
            for task in self._tasks.values():
                self._bars.remove_task(task)
            self._tasks.clear()
            self._console.say(finished_line(event, self._reasons.get(event.stage, "")), "green")
        else:
            _say_plainly(self._console, event)

    def _transferred(self, event: Transferred) -> None:
        """Draw a bar per file and one for all; a complete file needs none any more."""
        task = self._task(event.name, event.total, event.name, bytes=True)
        self._bars.update(task, completed=event.done, total=event.total)
        if event.done == event.total and event.name != ALL_FILES:
            self._bars.remove_task(self._tasks.pop(event.name))

    def _task(self, name: str, total: int | None, description: str, **facts: bool) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(description, total=total, **facts)
        return self._tasks[name]


def finished_line(event: StageFinished, reason: str) -> str:
    """Return what remains on the screen of a stage that has run."""
    return f"{event.stage:<9} done in {event.seconds:.1f} s ({reason}) -> {event.path}"


def _duration(seconds: float) -> str:
    """Write a time span as h:mm:ss, without the hours where there are none."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _say_plainly(console: Console, event: Event) -> None:
    if isinstance(event, StageSkipped):
        console.say(f"{event.stage:<9} {event.reason}")
    elif isinstance(event, Notice):
        label, style = ("warning", "yellow") if event.warning else ("note", "")
        console.say(f"{label}: {event.text}", style)


def _is_number(text: str) -> bool:
    return text.strip("-+").replace(".", "", 1).isdigit() or text in ("", "-")


def score_rows(
    scores: Mapping[str, Mapping[str, float | int | None]], labels: Mapping[str, tuple[str, str]]
) -> tuple[list[str], list[list[str]]]:
    """Arrange scores by stage (or by run) as a table: a row per measure, a column per stage.

    With several stages, one more column says by how much the last differs from the first.

    Returns:
        Header and rows for `Console.table`.
    """
    several = len(scores) > 1
    rows = []
    for name, (label, unit) in labels.items():
        found = [stage_scores.get(name) for stage_scores in scores.values()]
        change = [_change(found[0], found[-1])] if several else []
        rows.append([label, *map(_number, found), *change, unit])
    return ["measure", *scores, *["change (%)"] * several, "unit"], rows


def _change(before: float | int | None, after: float | int | None) -> str:
    """Say by how many percent a measure has changed; counts of frames have no such figure."""
    if not isinstance(before, float) or not isinstance(after, float) or before == 0:
        return "-"
    return f"{100.0 * (after / before - 1.0):+.1f}"


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return (
        str(value) if isinstance(value, int) else f"{value:.3f}" if value < 10 else f"{value:.1f}"
    )
