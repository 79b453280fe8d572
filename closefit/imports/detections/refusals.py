"""What every reader of detections refuses in the same words, and how text files are opened."""

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Shaped

from closefit.errors import ObservationsError

HINT = "`docs/importing.md` describes the formats that can be imported, with an example of each"


def refuse(path: Path, problem: str, hint: str = HINT) -> NoReturn:
    """Say what is wrong with the file or folder `path`.

    Raises:
        ObservationsError: Always.
    """
    raise ObservationsError(f"`{path}` {problem}", hint)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ObservationsError: It is empty, no text, or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        refuse(path, "is not a text file")
    except OSError as error:
        refuse(path, f"cannot be read: {error.strerror}", "check its rights and the disk")
    if not text.strip():
        refuse(path, "is empty")
    return text


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ObservationsError: It is empty, cut off, or no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            refuse(path, f"is cut off: its JSON ends in line {error.lineno}", "write it again")
        refuse(path, f"is not JSON: {error.msg} in line {error.lineno}")
    except RecursionError:
        refuse(path, "is not a list of detections: its JSON is nested too deeply")


def numbers(path: Path, values: Any, what: str) -> Shaped[np.ndarray, "..."]:
    """Return nested lists as an array of floats; null is NaN.

    Raises:
        ObservationsError: They hold something else than numbers, or are of several lengths.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        refuse(path, f"has {what} that are not all numbers, or not all of one length")
    return array


def whole_number(path: Path, value: Any, what: str) -> int:
    """Return `value` as an integer.

    Raises:
        ObservationsError: It is none.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int_or_none(value):
        refuse(path, f"has {what} `{value}`, which is not a whole number")
    return int(value)


def int_or_none(value: int | float) -> int | None:
    """Return the integer nearest to zero of a finite number, else None."""
    return int(value) if np.isfinite(value) else None
