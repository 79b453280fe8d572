"""Draws the progress of long work: a live line per stage on a terminal, otherwise plain lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console as Terminal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from closefit.boundary.refusals import printable
from closefit.events import (
    ALL_FILES,
    Emit,
    Event,
    Notice,
    Planned,
    StageFinished,
    StageSkipped,
    StageStarted,
    Step,
    Transferred,
)

NAME_WIDTH, BAR_WIDTH = 20, 12
"""With amount and time, a live line fits into 60 columns."""

QUIET_S = 10.0
"""Tasks that take less than this get no lines about their progress."""

TENTH_S, SILENCE_S, LONGEST_SILENCE_S = 5.0, 30.0, 300.0
"""Least time between two lines about a task: the first if another tenth is done, else the second.

The second grows with the time that the task has taken (`SILENCE_SHARE`), up to the third.
"""

SILENCE_SHARE = 0.05

Write = Callable[[str, str], None]
"""Writes one line in a style."""


@contextmanager
def bars(terminal: Terminal, write: Write, verbose: bool) -> Iterator[Emit]:
    """Yield a listener that draws live lines; the terms of a loss only if `verbose`."""
    columns = [
        TextColumn("{task.description}", table_column=Column(width=NAME_WIDTH, no_wrap=True)),
        BarColumn(BAR_WIDTH),
        _Amount(table_column=Column(no_wrap=True)),
        _TimeLeft(table_column=Column(no_wrap=True)),
    ]
    if verbose:
        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        columns.append(TextColumn("{task.fields[terms]}", table_column=rest))
    with Progress(*columns, console=terminal, transient=True, expand=verbose) as progress:
        yield Bars(write, progress).listen


@dataclass
class _Pace:
    """When and where a task was first seen, and when a line was last written about it."""

    first: int
    started: float
    written: float
    tenth: int
    done: int


class Lines:
    """Progress as lines: one per stage and file, and regular ones for long tasks."""

    def __init__(self, write: Write, clock: Callable[[], float] = time.monotonic) -> None:
        """Write with `write`; `clock` gives seconds."""
        self._write = write
        self._clock = clock
        self._reasons: dict[str, str] = {}
        self._tenths: dict[str, int] = {}
        self._paces: dict[str, _Pace] = {}

    def listen(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case Planned():
                for line in _work_ahead(event):
                    self._write(line, "")
            case StageStarted(stage, reason, device):
                self._reasons[stage] = f"{reason}; on {device}"
                self._started(event)
            case StageSkipped(stage, reason):
                self._write(f"{stage:<9} {reason}", "")
            case StageFinished():
                self._finished(event)
            case Notice(text, warning):
                label, style = ("warning", "yellow") if warning else ("note", "")
                self._write(f"{label}: {text}", style)
            case Transferred():
                self._transferred(event)
            case Step():
                self._step(event)

    def _started(self, event: StageStarted) -> None:
        """A line is written when the stage is done."""

    def _finished(self, event: StageFinished) -> None:
        self._paces.clear()
        line = f"{event.stage:<9} done in {event.seconds:.1f} s"
        self._write(f"{line} ({self._reasons.get(event.stage, '')}) -> {event.path}", "green")

    def _step(self, event: Step) -> None:
        """Write how much of a long task is done and how long the rest will take."""
        if event.total <= 0:
            return
        now, tenth = self._clock(), 10 * event.done // event.total
        pace = self._paces.get(event.task)
        if pace is None or event.done < pace.done:  # a task of the same name starts again
            self._paces[event.task] = _Pace(event.done, now, now, tenth, event.done)
            return
        pace.done = event.done
        taken, silent = now - pace.started, now - pace.written
        longest = min(max(SILENCE_S, SILENCE_SHARE * taken), LONGEST_SILENCE_S)
        due = silent >= longest or (tenth > pace.tenth and silent >= TENTH_S)
        if taken < QUIET_S or not due:
            return
        pace.written, pace.tenth = now, tenth
        line = f"{event.task}: {event.done} of {event.total}"
        if event.done > pace.first:
            left = taken / (event.done - pace.first) * (event.total - event.done)
            line += f", {duration(left)} left"
        self._write(line, "")

    def _transferred(self, event: Transferred) -> None:
        """Write a line for each complete file, and for each tenth of all files."""
        if not event.total:
            return
        tenth, before = 10 * event.done // event.total, self._tenths.get(event.name, 0)
        self._tenths[event.name] = tenth
        if tenth > before and (tenth == 10 or event.name == ALL_FILES):
            done, total = (f"{size / 1e6:.1f}" for size in (event.done, event.total))
            self._write(f"{event.name}: {done} of {total} MB", "")


class Bars(Lines):
    """Progress as one live line per stage with the time that is left; a plain line remains."""

    def __init__(self, write: Write, progress: Progress) -> None:
        """Draw into `progress`, and what remains with `write`."""
        super().__init__(write)
        self._progress = progress
        self._stage: str | None = None
        self._tasks: dict[str, TaskID] = {}

    def _started(self, event: StageStarted) -> None:
        self._stage = event.stage
        self._task(event.stage, None)

    def _finished(self, event: StageFinished) -> None:
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()
        self._stage = None
        self._write(f"{event.stage:<9} done in {duration(event.seconds)}", "green")

    def _step(self, event: Step) -> None:
        line = self._stage or event.task
        shown = line if event.task in line else f"{line}: {event.task}"
        task = self._task(line, event.total)
        if self._progress.tasks[self._progress.task_ids.index(task)].description != shown:
            self._progress.reset(task, total=event.total, description=printable(shown))
        terms = " ".join(f"{name} {value:.3g}" for name, value in event.terms.items())
        self._progress.update(task, completed=event.done, total=event.total, terms=terms)

    def _transferred(self, event: Transferred) -> None:
        """Draw a bar per file and one for all; the bar of a complete file goes."""
        task = self._task(event.name, event.total, bytes=True)
        self._progress.update(task, completed=event.done, total=event.total)
        if event.done == event.total and event.name != ALL_FILES:
            self._progress.remove_task(self._tasks.pop(event.name))

    def _task(self, name: str, total: int | None, **facts: bool) -> TaskID:
        if name not in self._tasks:
            description = printable(name)
            self._tasks[name] = self._progress.add_task(description, total=total, terms="", **facts)
        return self._tasks[name]


class _Amount(MofNCompleteColumn):
    """Done and total amount of a task: bytes of a file, or steps once their number is known."""

    def __init__(self, table_column: Column) -> None:
        super().__init__(table_column=table_column)
        self._bytes = DownloadColumn()

    def render(self, task: Task) -> Text:
        if task.fields.get("bytes"):
            return self._bytes.render(task)
        return Text() if task.total is None else super().render(task)


class _TimeLeft(TimeRemainingColumn):
    """The time that a task still takes; nothing as long as that is unknown."""

    def __init__(self, table_column: Column) -> None:
        super().__init__(compact=True, table_column=table_column)

    def render(self, task: Task) -> Text:
        if task.total is None or task.time_remaining is None:
            return Text()
        return Text.assemble(super().render(task), (" left", "progress.remaining"))


def duration(seconds: float) -> str:
    """Write a time span as h:mm:ss, without the hours where there are none."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _work_ahead(event: Planned) -> Iterator[str]:
    """The clip, which stages run, and roughly how long they take."""
    yield event.clip
    if not event.stages:
        yield "to do: nothing, all is up to date"
        return
    yield f"to do: {', '.join(event.stages)}"
    how = f"with preset {event.preset} on {event.device}"
    if event.seconds is None:
        yield f"how long: not known with this detector {how}"
    else:
        yield f"how long: {'at most' if event.continues else 'about'} {_rough(event.seconds)} {how}"


def _rough(seconds: float) -> str:
    """A time span no more exact than a forecast is."""
    for unit, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 1.5 * unit:
            amount = seconds / unit
            return f"{amount:.0f} {name}" if amount >= 10 else f"{round(2 * amount) / 2:g} {name}"
    return f"{max(5, 5 * round(seconds / 5))} seconds"
