"""Values from files of other tools: read once into numbers of a known kind, shape and range.

Everything that cannot be used ends in a `RefusedError`, which holds one clause about the problem;
functions that read or check a file can all raise it. Each entry point turns it into an error for
the user with `refusals_as`.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from closefit.boundary.refusals import RefusedError as RefusedError
from closefit.boundary.refusals import entry as entry
from closefit.boundary.refusals import named as named
from closefit.boundary.refusals import printable as printable
from closefit.boundary.refusals import refusals_as as refusals_as
from closefit.boundary.refusals import refuse as refuse
from closefit.boundary.refusals import shown as shown
from closefit.boundary.refusals import within as within

MAX_WHOLE = 2**53
"""Whole numbers up to this one are exact as floats, too."""

MAX_LIST_VALUES = 20_000_000
"""More numbers in nested lists are refused; lists of a pickle may contain each other."""

NUMERIC_KINDS = "fiu"


def numbers(
    value: object,
    name: str,
    *shape: int | None,
    limit: float = 1e6,
    unknown: bool = False,
) -> Float[np.ndarray, "..."]:
    """Return an array or nested lists as float64.

    Args:
        value: An array of numbers, one number, or lists of numbers as deep as `shape` is long.
        name: What to call it in a message.
        shape: Size of each axis; None stands for any size.
        limit: Largest absolute value.
        unknown: Whether null and NaN are allowed; both become NaN.
    """
    if isinstance(value, np.ndarray | np.generic):
        found = np.asarray(value)
        if found.dtype.kind not in NUMERIC_KINDS:
            refuse(f"`{name}` holds `{found.dtype}` instead of numbers")
    else:
        found = _from_lists(value, name, len(shape))
    fits = found.ndim == len(shape) and all(
        want in (None, size) for want, size in zip(shape, found.shape, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
        refuse(f"`{name}` has shape {found.shape} instead of {wanted}")
    result: np.ndarray = found.astype(np.float64)
    wrong = ~(np.abs(result) <= limit) & ~(np.isnan(result) & unknown)
    if wrong.any():
        where = f" in row {np.argwhere(wrong)[0][0]}" if result.ndim else ""
        worst = result[wrong].ravel()[0]
        if math.isnan(worst):
            refuse(f"`{name}` has a value that is not a number{where}")
        refuse(f"`{name}` has the value {worst:g}{where}, which cannot be right")
    return result


def _from_lists(value: object, name: str, depth: int) -> np.ndarray:
    """Lists of `depth` levels as an array. Every level is checked before it is put together."""
    shape: list[int] = []
    level: list[Any] = [value]
    for _ in range(depth):
        lengths = {len(part) if isinstance(part, list | tuple) else -1 for part in level}
        if lengths == {-1}:
            break
        if len(lengths) > 1 or -1 in lengths:
            refuse(f"`{name}` is not a rectangular array of numbers")
        shape.append(lengths.pop())
        if len(level) * shape[-1] > MAX_LIST_VALUES:
            refuse(f"`{name}` has more than {MAX_LIST_VALUES} values")
        level = [item for part in level for item in part]
    for kind in {type(item) for item in level} - {int, float, type(None)}:
        worst = next(item for item in level if type(item) is kind)
        refuse(f"`{name}` holds `{shown(worst)}` instead of numbers")
    try:
        return np.array(level, dtype=np.float64).reshape(shape)
    except OverflowError:
        refuse(f"`{name}` has a value that is larger than any number here can be")


def whole_numbers(
    value: object, name: str, *shape: int | None, low: int = 0, high: int = MAX_WHOLE
) -> np.ndarray:
    """Return an array or nested lists as int64 between `low` and `high`."""
    given = numbers(value, name, *shape, limit=math.inf)
    wrong = (given != np.floor(given)) | (given < low) | (given > high)
    if wrong.any():
        refuse(f"`{name}` has `{given[wrong][0]:g}`, which is not {_range(low, high)}")
    return given.astype(np.int64)


def whole_number(value: object, name: str, low: int = 0, high: int = MAX_WHOLE) -> int:
    """Return one whole number between `low` and `high`; a list of one counts as that one."""
    given = _single(value)
    fits = type(given) in (int, float) and low <= given <= high and given == int(given)
    if not fits:
        refuse(f"`{name}` is `{shown(given)}`, which is not {_range(low, high)}")
    return int(given)


def number(value: object, name: str, low: float, high: float) -> float:
    """Return one number between `low` and `high`; a list of one counts as that one."""
    given = _single(value)
    if type(given) not in (int, float) or not low <= given <= high:
        refuse(f"`{name}` is `{shown(given)}`, which is not a number from {low:g} to {high:g}")
    return float(given)


def _single(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        return value.item()
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _range(low: int, high: int) -> str:
    upper = "" if high == MAX_WHOLE else f" to {high}"
    return f"a whole number from {low}{upper}"
