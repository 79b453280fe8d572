"""Why something from outside cannot be used, in one clause; loads in no time, unlike numpy."""

import logging
import reprlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from closefit.errors import ClosefitError


class RefusedError(Exception):
    """A file, or a value in it, cannot be used.

    Attributes:
        problem: A clause such as "it is empty".
        hint: What to do about it; None where the entry point has a general hint.
        path: The file in question, where it is one of several.
    """

    def __init__(self, problem: str, hint: str | None = None, path: Path | None = None) -> None:
        """Keep the problem."""
        super().__init__(problem)
        self.problem, self.hint, self.path = problem, hint, path


def refuse(problem: str, hint: str | None = None, path: Path | None = None) -> NoReturn:
    """Raise a `RefusedError`."""
    raise RefusedError(problem, hint, path)


@contextmanager
def refusals_as(error: type[ClosefitError], path: Path, hint: str) -> Iterator[None]:
    """Turn a refusal into an error for the user, with the name of the file.

    Raises:
        ClosefitError: Of the given type, when something is refused.
    """
    try:
        yield
    except RefusedError as refused:
        message = f"`{refused.path or path}` cannot be used: {refused.problem}"
        raise error(message, refused.hint or hint) from refused


@contextmanager
def within(path: Path) -> Iterator[None]:
    """Refusals inside are about this file of a folder."""
    try:
        yield
    except RefusedError as refused:
        refused.path = refused.path or path
        raise


def shown(value: object, most: int = 60) -> str:
    """Return a value from outside for a message: short, printable, of limited depth."""
    try:
        text = value[:most] if isinstance(value, str) else reprlib.repr(value)
    except ValueError:
        text = "a number with thousands of digits"
    return printable(text)


def printable(text: str) -> str:
    """Return the text with escape codes for what a terminal would obey, line feeds aside."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def word(path: object) -> str:
    """Return a path as one word of a command line, for a hint that is pasted into a shell."""
    return shlex.quote(str(path))


def sentence(text: str, most: int = 800) -> str:
    """Return a message as one line; names of files may hold line feeds and thousands of letters."""
    line = printable(text).replace("\n", "\\n")
    return line if len(line) <= most else f"{line[: most // 2]}...{line[-most // 4 :]}"


def named(keys: Iterable[object], most: int = 6) -> str:
    """Return some of the keys for a message."""
    every = list(keys)
    names = ", ".join(f"`{shown(key)}`" for key in every[:most]) or "nothing"
    return names + (", ..." if len(every) > most else "")


def entry(content: object, key: str) -> Any:
    """Return `content[key]`.

    Raises:
        RefusedError: `content` is no dictionary or has no such key.
    """
    if not isinstance(content, Mapping):
        refuse(f"it has a `{type(content).__name__}` where a dictionary with `{key}` belongs")
    if key not in content:
        refuse(f"it has no `{key}`, only {named(content)}")
    return content[key]


class Printable(logging.Formatter):
    """Escapes what a terminal would obey when somebody reads the log."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or several where there is a traceback."""
        return printable(super().format(record))
