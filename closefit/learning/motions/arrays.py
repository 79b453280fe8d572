"""Arrays of motion files, checked as they are taken out."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from closefit.errors import InputError
from closefit.storage.artifacts import UNREADABLE

Shape = tuple[int | None, ...]
"""Sizes of axes; None stands for any size, the same one for all such first axes of a file."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an `.npz`; objects, which AMASS has for text, are left out.

    Raises:
        InputError: The file is damaged.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                if not _is_object(archive, name):
                    arrays[name] = archive[name]
    except (*UNREADABLE, AttributeError, TypeError) as error:
        raise damaged(path) from error
    return arrays


def _is_object(archive: Any, name: str) -> bool:
    """Whether an entry would have to be unpickled."""
    archived: zipfile.ZipFile = archive.zip
    with archived.open(name + ".npy") as entry:
        version = np.lib.format.read_magic(entry)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        return bool(read(entry)[2].hasobject)


def take(
    arrays: Mapping[str, Any], name: str, shapes: Sequence[Shape], origin: Path | str
) -> np.ndarray:
    """Return the array `name`, of one of `shapes`, as float64.

    Raises:
        InputError: It is missing, of another shape, or holds no numbers.
    """
    if name not in arrays:
        raise InputError(
            f"`{origin}` lacks `{name}`", hint=f"it has {', '.join(sorted(map(str, arrays)))}"
        )
    try:
        array = np.asarray(arrays[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{name}` in `{origin}` does not hold numbers", hint="see docs/motions.md"
        ) from error
    for shape in shapes:
        if len(shape) == array.ndim and all(
            size in (None, found) for size, found in zip(shape, array.shape, strict=True)
        ):
            return array
    expected = " or ".join(f"({', '.join(map(_axis, shape))})" for shape in shapes)
    raise InputError(
        f"`{name}` in `{origin}` has shape {array.shape}; expected {expected}",
        hint="see docs/motions.md for the layout",
    )


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


def damaged(path: Path) -> InputError:
    """Error about a file that cannot be read at all."""
    return InputError(
        f"cannot read `{path}`: it is cut short or something else", hint="fetch the file again"
    )


def _axis(size: int | None) -> str:
    return "frame" if size is None else str(size)
