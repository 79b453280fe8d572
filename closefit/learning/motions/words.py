"""Numbers in the text of motion files (BVH, Acclaim), each checked once."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.boundary.files import MAX_TEXT_BYTES, max_bytes, read_bytes, refuse_size
from closefit.boundary.refusals import refuse, shown

MAX_JOINTS = 1000
MAX_FRAMES = 10_000_000
MAX_VALUE = 1e7
"""Of angles in degrees, and of lengths in any unit."""

BYTES_PER_JOINT = 400
"""What a joint takes in a frame at most, while rotations are put together."""

AXES = frozenset("XYZ")


def read_motion_text(path: Path) -> str:
    """Return the text of a file; other characters than ASCII become question marks.

    Raises:
        RefusedError: It is no file, too large, or cannot be read.
    """
    return read_bytes(path, min(MAX_TEXT_BYTES, max_bytes())).decode("ascii", errors="replace")


def finite(words: Sequence[str], name: str, count: int | None = None) -> list[float]:
    """Return words as numbers, `count` of them if it is given.

    Raises:
        RefusedError: They are not so many, no numbers, or too large.
    """
    if count is not None and len(words) != count:
        refuse(f"`{shown(name)}` has {len(words)} numbers instead of {count}")
    try:
        values = [float(word) for word in words]
    except ValueError:
        refuse(f"`{shown(name)}` holds `{shown(' '.join(words))}` instead of numbers")
    for value in values:
        if not abs(value) <= MAX_VALUE:
            refuse(f"`{shown(name)}` has the value `{value:g}`, which cannot be right")
    return values


def whole(word: str, name: str, low: int, high: int) -> int:
    """Return a word as a whole number from `low` to `high`.

    Raises:
        RefusedError: It is none.
    """
    text = word.strip()
    if len(text) > 20 or not text.removeprefix("-").isdecimal() or not low <= int(text) <= high:
        refuse(f"`{shown(name)}` is `{shown(text)}`, not a whole number from {low} to {high}")
    return int(text)


def table(words: Sequence[str], frames: int, columns: int) -> Float[np.ndarray, "frame column"]:
    """Return words as a table of numbers.

    Raises:
        RefusedError: They are not so many, no numbers, or too large.
    """
    if len(words) != frames * columns:
        refuse(f"it holds {len(words)} values, not {frames} frames of {columns}")
    try:
        values = np.array(words, dtype=np.float64).reshape(frames, columns)
    except ValueError as error:
        refuse(f"its motion holds something else than numbers: {shown(str(error))}")
    if not (np.abs(values) <= MAX_VALUE).all():
        refuse("its motion has a value that is not a number, or too large")
    return values


def require_size(frames: int, joints: int) -> None:
    """Refuse what would not fit into memory once every joint is placed in every frame.

    Raises:
        RefusedError: There are too many joints, too many frames, or none.
    """
    if not 1 <= joints <= MAX_JOINTS:
        refuse(f"it has {joints} joints; 1 to {MAX_JOINTS} are read")
    if not 1 <= frames <= MAX_FRAMES:
        refuse(f"it has {frames} frames; 1 to {MAX_FRAMES} are read")
    if frames * joints * BYTES_PER_JOINT > max_bytes():
        refuse_size("the motion of all its joints", frames * joints * BYTES_PER_JOINT)


def require_turns(axes: str, name: str) -> None:
    """Check axes of rotations that follow each other: at most three, no two of them the same.

    Raises:
        RefusedError: They are others.
    """
    again = any(one == other for one, other in itertools.pairwise(axes))
    if len(axes) > 3 or again or not set(axes.upper()) <= AXES:
        refuse(f"`{shown(name)}` turns about `{shown(axes)}`, which are no axes of one rotation")


def positive(value: float, name: str) -> float:
    """Return a number above 0, whose inverse is one too.

    Raises:
        RefusedError: It is another.
    """
    if not 1.0 / MAX_VALUE <= value <= MAX_VALUE or not math.isfinite(value):
        refuse(f"`{shown(name)}` is `{value:g}`, which cannot be right")
    return value
