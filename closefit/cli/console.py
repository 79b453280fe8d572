"""Draws events, tables and errors; everything but data goes to stderr."""

import logging
import os
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text
from typer import Exit

from closefit.boundary.files import to_json
from closefit.boundary.refusals import Printable, printable, sentence
from closefit.cli.progress import Lines, bars
from closefit.cli.summary import summary
from closefit.errors import ClosefitError, file_guard
from closefit.events import Emit
from closefit.interruption import InOrder

PIPED_WIDTH = 160
"""Width of tables that go into a file or another program."""


class Console:
    """The terminal of one command: progress while it runs, tables and errors."""

    def __init__(self) -> None:
        """Attach to the current stdout and stderr."""
        self._err = Terminal(stderr=True, highlight=False, soft_wrap=True)
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        self._out = Terminal(highlight=False, width=width)
        is_capable = self._err.is_terminal and not self._err.is_dumb_terminal
        self._live = is_capable and "NO_COLOR" not in os.environ

    @property
    def is_live(self) -> bool:
        """Whether lines on stderr can be drawn again."""
        return self._live

    @property
    def terminal(self) -> Terminal:
        """Stderr, for what is drawn elsewhere."""
        return self._err

    @contextmanager
    def progress(self, verbose: bool = False) -> Iterator[Emit]:
        """Yield a listener that draws events: live on a terminal, otherwise as lines."""
        if not self._live:
            yield Lines(self.line).listen
            return
        with bars(self._err, self.line, verbose) as listen:
            yield listen

    def line(self, text: str, style: str = "") -> None:
        """Write one line to stderr."""
        self._err.print(Text(printable(text), style=style))

    def error(self, error: ClosefitError) -> None:
        """Write an error and its hint to stderr."""
        self._failure(error.message)
        self._err.print()
        self._err.print(Text.assemble(("hint:", "bold cyan"), " ", sentence(error.hint)))

    def bug(self, error: Exception, log: Path | None = None) -> None:
        """Report a failure of closefit itself in one line, and the file that has the details."""
        self._failure(f"internal error: {type(error).__name__}: {error}")
        if log is not None:
            self.line(f"\nhint: please report this bug with `{log}`, which has the details")

    def _failure(self, message: str) -> None:
        self._err.print(Text.assemble(("error:", "bold red"), " ", sentence(message)))

    def run_finished(
        self, out: Path, run_facts: dict[str, Any], as_json: bool, exported: bool
    ) -> None:
        """Report a finished run: `run.json` on stdout, or lines on stderr.

        `exported`: all files are of this run.
        """
        if as_json:
            self.data({"out": str(out), **run_facts})
            return
        self.line(f"results are in `{out}`")
        for label, text in summary(out, run_facts) if exported else ():
            self.line(self._hanging(f"  {label:<13}", text))

    def _hanging(self, label: str, text: str) -> str:
        """Text behind a label, on a terminal in lines that end between words."""
        if not self._err.is_terminal:
            return label + text
        width = max(self._err.width, 2 * len(label))
        lines = textwrap.wrap(
            text, width - len(label), break_long_words=False, break_on_hyphens=False
        )
        return label + f"\n{'':<{len(label)}}".join(lines)

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


@contextmanager
def session(verbose: bool, folder: Path) -> Iterator[tuple[Console, Emit]]:
    """Show progress, errors and on request the log of a command that works on `folder`."""
    console, log = Console(), folder / "log.txt"
    try:
        with InOrder(), console.progress(verbose) as emit, _log_shown(verbose), file_guard(folder):
            yield console, emit
    except ClosefitError:
        if verbose:
            sys.stderr.write(printable(traceback.format_exc()))
        raise
    except Exception as error:
        if verbose or not log.is_file():
            raise
        console.bug(error, log)
        raise Exit(1) from error


@contextmanager
def _log_shown(verbose: bool) -> Iterator[None]:
    """Write the log to stderr as well, if `verbose`: above live lines, where there are some."""
    handler = logging.StreamHandler()
    handler.setFormatter(Printable("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("closefit")
    if verbose:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _is_number(text: str) -> bool:
    return text.strip("-+").replace(".", "", 1).isdigit() or text in ("", "-")
