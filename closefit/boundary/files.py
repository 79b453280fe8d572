"""Opening files from outside: bytes, text, JSON and TOML, within limits of size and depth."""

import json
import lzma
import math
import os
import re
import stat
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import msgspec

from closefit.boundary.refusals import refuse, shown, within

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GB = 1 << 30

_LIMIT = ContextVar("largest content, after decompression, held in memory", default=2 * GB)

MAX_TEXT_BYTES = 1 << 29
"""Text takes several times its size once it is parsed."""

UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
    *(AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError),
    *(OverflowError, RecursionError, RuntimeError, SyntaxError, TypeError, ValueError),
)
"""What libraries raise for a file that is cut short, overwritten or something else."""


def max_bytes() -> int:
    """Largest content of one file, after decompression, that is held in memory at once."""
    return _LIMIT.get()


@contextmanager
def input_limit(gigabytes: float) -> Iterator[None]:
    """Set `max_bytes` for what is read inside the block."""
    token = _LIMIT.set(int(gigabytes * GB))
    try:
        yield
    finally:
        _LIMIT.reset(token)


def refuse_size(what: str, size: int) -> NoReturn:
    """Refuse content that is larger than `max_bytes`."""
    refuse(
        f"{what} takes {size / GB:.3g} GB, more than the {max_bytes() / GB:.3g} GB that are read",
        "if the file is what it should be, allow more with --max-input-size GB",
    )


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a file; anything else (a pipe or a device may never end) is refused.

    Raises:
        RefusedError: It is no file, or cannot be read.
    """
    try:
        # Opening a pipe waits for a writer, unless it is opened so.
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                refuse("it is not a file", "name a file", path)
            yield file
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        refuse(f"it cannot be read: {reason}", "check its name, its rights and the disk", path)


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Return the content of a file of at most `limit` bytes (default: `max_bytes`).

    Raises:
        RefusedError: It is too large, or cannot be read.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > (max_bytes() if limit is None else limit):
            refuse_size("it", size)
        return file.read(size)


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file.

    Raises:
        RefusedError: It is empty, no text, too large, or cannot be read.
    """
    try:
        text = read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError:
        refuse("it is not a text file", path=path)
    if not text.strip():
        refuse("it is empty", path=path)
    return text


def read_json(path: Path, limit: int = MAX_TEXT_BYTES, *, names_files: bool = False) -> Any:
    """Return the content of a JSON file; `names_files` as in `parse_json`.

    Raises:
        RefusedError: It is empty, cut off, nested too deeply, or no JSON.
    """
    text = read_text(path, limit)
    with within(path):
        return parse_json(text, names_files=names_files)


HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
"""What may be one: JSON writes a character beyond U+FFFF as two halves."""


def parse_json(text: str, *, names_files: bool = False) -> Any:
    """Return what a JSON text holds.

    Args:
        text: The text.
        names_files: It may hold the names of files, where lone surrogates stand for bytes that are
            no UTF-8 (`os.fsdecode`).

    Raises:
        RefusedError: It is cut off, nested too deeply, gives a key twice, or is no JSON.
    """
    try:
        content = json.loads(text, object_pairs_hook=_object)
        if HALF_CHARACTER.search(text):
            errors = "surrogateescape" if names_files else "strict"
            json.dumps(content, ensure_ascii=False).encode(errors=errors)
        return content
    except UnicodeEncodeError:
        refuse("it has half a character (a lone surrogate)")
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            refuse(f"it is cut off: its JSON ends in line {error.lineno}", "write it again")
        refuse(f"it is not JSON: {error.msg} in line {error.lineno}, column {error.colno}")
    except RecursionError:
        refuse("its JSON is nested too deeply")
    except ValueError:
        refuse("it has a number with thousands of digits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        refuse(f"`{shown(twice)}` is given twice in one object")
    return found


def to_json(content: Any, **options: Any) -> str:
    """Return `content` as JSON; numbers that JSON does not have (NaN, infinity) become null."""
    return json.dumps(_without_nan(content), allow_nan=False, **options)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a TOML text holds.

    Raises:
        RefusedError: It is no TOML, nested too deeply, or has a number with thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        refuse("its TOML is nested too deeply")
    except ValueError as error:
        refuse(f"it is not TOML: {shown(str(error), 200)}")


def typed(value: Any, kind: Any) -> Any:
    """Return nested data as a declared type, whose annotations give kinds and ranges.

    Raises:
        RefusedError: A part is missing, of another kind or out of range.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        problem = str(error).replace("$.", "").replace("$", "the content")
        refuse(f"it does not follow its format: {shown(problem, 200)}")
