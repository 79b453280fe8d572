"""Arrays of motion files, checked as they are taken out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from closefit.boundary.arrays import Npz
from closefit.boundary.values import entry, numbers, refusals_as, refuse
from closefit.errors import InputError

MIN_FPS, MAX_FPS = 1.0, 100_000.0
"""Frames a second; a lower rate would make millions of frames at 30 a second."""

Shape = tuple[int | None, ...]
"""Sizes of axes; None stands for any size, the same one for all such first axes of a file."""


def take(
    arrays: Mapping[str, Any] | Npz, name: str, shapes: Sequence[Shape], origin: Path | str
) -> np.ndarray:
    """Return the array `name`, of one of `shapes`, as float64.

    Raises:
        InputError: It is missing, of another shape, or holds no finite numbers.
    """
    with refusals_as(InputError, Path(origin), "see docs/motions.md for the layout"):
        value = entry(arrays, name)
        found = getattr(value, "shape", None)
        fitting = [shape for shape in shapes if found is None or _fits(found, shape)]
        if not fitting:
            expected = " or ".join(f"({', '.join(map(_axis, shape))})" for shape in shapes)
            refuse(f"`{name}` has shape {found}; expected {expected}")
        return numbers(value, name, *fitting[0])


def same_length(arrays: Mapping[str, np.ndarray], origin: Path | str) -> int:
    """Return the number of frames, the first axis of all arrays.

    Raises:
        InputError: They differ, or there is no frame.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or not min(lengths.values()):
        found = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        raise InputError(
            f"arrays in `{origin}` do not have one number of frames: {found}",
            hint="fetch the file again, or cut it so that all have the same frames",
        )
    return next(iter(lengths.values()))


def rate(arrays: Mapping[str, Any] | Npz, name: str, origin: Path | str) -> float:
    """Return a number of frames a second.

    Raises:
        InputError: It is missing, or cannot be one.
    """
    fps = float(take(arrays, name, [()], origin))
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(
            f"`{name}` in `{origin}` is {fps:g}", hint="write the true number of frames a second"
        )
    return fps


def _fits(found: tuple[int, ...], shape: Shape) -> bool:
    return len(found) == len(shape) and all(
        want in (None, size) for want, size in zip(shape, found, strict=True)
    )


def _axis(size: int | None) -> str:
    return "frame" if size is None else str(size)
