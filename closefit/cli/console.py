"""Draws events, tables and errors; everything but data goes to stderr."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
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
from typer import Exit

from closefit.boundary.files import to_json
from closefit.boundary.refusals import Printable, printable
from closefit.errors import ClosefitError, file_guard
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
from closefit.interruption import InOrder

PIPED_WIDTH = 160
"""Width of tables that go into a file or another program."""

QUIET_S = 10.0
"""Tasks that take less than this get no lines about their progress."""

TENTH_S, SILENCE_S, LONGEST_SILENCE_S = 5.0, 30.0, 300.0
"""Least time between two lines about a task: the first if another tenth is done, else the second.

The second grows with the time that the task has taken (`SILENCE_SHARE`), up to the third.
"""

SILENCE_SHARE = 0.05


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
        """Yield a listener that draws events: as bars on a terminal, otherwise as lines."""
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

    def line(self, text: str, style: str = "") -> None:
        """Write one line to stderr."""
        self._err.print(Text(printable(text), style=style))

    def error(self, error: ClosefitError) -> None:
        """Write an error and its hint to stderr."""
        self._failure(error.message)
        self._err.print()
        self._err.print(Text.assemble(("hint:", "bold cyan"), " ", printable(error.hint)))

    def bug(self, error: Exception, log: Path | None = None) -> None:
        """Report a failure of closefit itself in one line, and the file that has the details."""
        self._failure(f"internal error: {type(error).__name__}: {error}")
        if log is not None:
            self.line(f"\nhint: please report this bug with `{log}`, which has the details")

    def _failure(self, message: str) -> None:
        self._err.print(Text.assemble(("error:", "bold red"), " ", printable(message)))

    def run_finished(self, out: Path, run_facts: dict[str, Any], as_json: bool) -> None:
        """Report a finished run: `run.json` on stdout, or one line on stderr."""
        if as_json:
            self.data({"out": str(out), **run_facts})
        else:
            self.line(f"results are in `{out}`")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table to stdout; columns after the first that hold numbers align right."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index, title in enumerate(header):
            numeric = index > 0 and all(_is_number(row[index]) for row in rows)
            table.add_column(title, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._out.print(table)

    def check(self, name: str, state: str, found: str, fix: str) -> None:
        """Write the state of a part of the machine to stdout, and how to fix it."""
        style = {"ok": "green", "missing": "yellow"}.get(state, "bold red")
        self._out.print(
            Text.assemble(f"{name:<20} ", (f"{state:<8}", style), printable(found)), soft_wrap=True
        )
        if state != "ok":
            self._out.print(Text(printable(f"{'':<29}-> {fix}")), soft_wrap=True)

    def data(self, content: Any) -> None:
        """Write `content` as JSON to stdout."""
        sys.stdout.write(to_json(content, indent=2) + "\n")


class _Amount(MofNCompleteColumn):
    """Done and total amount of a task: bytes of a file, or steps."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn()

    def render(self, task: Task) -> Text:
        return self._bytes.render(task) if task.fields.get("bytes") else super().render(task)


@dataclass
class _Pace:
    """When and where a task was first seen, and when a line was last written about it."""

    first: int
    started: float
    written: float
    tenth: int
    done: int


class _Lines:
    """Progress as lines: one per stage and file, and regular ones for long tasks."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._reasons: dict[str, str] = {}
        self._tenths: dict[str, int] = {}
        self._paces: dict[str, _Pace] = {}

    def listen(self, event: Event) -> None:
        match event:
            case StageStarted(stage, reason, device):
                self._reasons[stage] = f"{reason}; on {device}"
                self._started(event)
            case StageSkipped(stage, reason):
                self._console.line(f"{stage:<9} {reason}")
            case StageFinished(stage, path, seconds):
                self._finished()
                line = f"{stage:<9} done in {seconds:.1f} s ({self._reasons.get(stage, '')})"
                self._console.line(f"{line} -> {path}", "green")
            case Notice(text, warning):
                label, style = ("warning", "yellow") if warning else ("note", "")
                self._console.line(f"{label}: {text}", style)
            case Transferred():
                self._transferred(event)
            case Step():
                self._step(event)

    def _started(self, event: StageStarted) -> None:
        """A line is written when the stage is done."""

    def _finished(self) -> None:
        self._paces.clear()

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
            line += f", {_duration(left)} left"
        self._console.line(line)

    def _transferred(self, event: Transferred) -> None:
        """Write a line for each complete file, and for each tenth of all files."""
        if not event.total:
            return
        tenth, before = 10 * event.done // event.total, self._tenths.get(event.name, 0)
        self._tenths[event.name] = tenth
        if tenth > before and (tenth == 10 or event.name == ALL_FILES):
            done, total = (f"{size / 1e6:.1f}" for size in (event.done, event.total))
            self._console.line(f"{event.name}: {done} of {total} MB")


class _Bars(_Lines):
    """Progress as a bar per task with the time that is left; a line remains of each stage."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__(console)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def _started(self, event: StageStarted) -> None:
        self._task(event.stage, None, f"{event.stage} ({event.reason}) on {event.device}")

    def _finished(self) -> None:
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()

    def _step(self, event: Step) -> None:
        terms = " ".join(f"{name} {value:.3g}" for name, value in event.terms.items())
        task = self._task(event.task, event.total, event.task)
        text = f"{event.task} {terms}".rstrip()
        self._bars.update(task, completed=event.done, total=event.total, description=text)

    def _transferred(self, event: Transferred) -> None:
        """Draw a bar per file and one for all; the bar of a complete file goes."""
        task = self._task(event.name, event.total, event.name, bytes=True)
        self._bars.update(task, completed=event.done, total=event.total)
        if event.done == event.total and event.name != ALL_FILES:
            self._bars.remove_task(self._tasks.pop(event.name))

    def _task(self, name: str, total: int | None, description: str, **facts: bool) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(printable(description), total=total, **facts)
        return self._tasks[name]


@contextmanager
def session(verbose: bool, folder: Path) -> Iterator[tuple[Console, Emit]]:
    """Show progress, errors and on request the log of a command that works on `folder`."""
    console, log = Console(), folder / "log.txt"
    handler = logging.StreamHandler()
    handler.setFormatter(Printable("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("closefit")
    if verbose:
        logger.addHandler(handler)
    try:
        with InOrder(), console.progress() as emit, file_guard(folder):
            yield console, emit
    except ClosefitError:
        if verbose:
            traceback.print_exc()
        raise
    except Exception as error:
        if verbose or not log.is_file():
            raise
        console.bug(error, log)
        raise Exit(1) from error
    finally:
        logger.removeHandler(handler)


def _duration(seconds: float) -> str:
    """Write a time span as h:mm:ss, without the hours where there are none."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _is_number(text: str) -> bool:
    return text.strip("-+").replace(".", "", 1).isdigit() or text in ("", "-")
