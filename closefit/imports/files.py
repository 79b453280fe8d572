"""Opening files of other tools: text, JSON and npz, within limits of size and depth."""

import json
import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from closefit.imports.checks import named, refuse

MAX_BYTES = 2 << 30
"""Largest content, after decompression, that is held in memory at once."""

MAX_TEXT_BYTES = 1 << 29
"""Text takes several times its size once it is parsed."""

UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
    *(AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError),
    *(OverflowError, RecursionError, RuntimeError, SyntaxError, TypeError, ValueError),
)
"""What libraries raise for a file that is cut short, overwritten or something else."""

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a file."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                refuse(f"it has {size} bytes; at most {limit} are read", "split the file", path)
            return file.read(size)
    except OSError as error:
        refuse(f"it cannot be read: {error.strerror}", "check its rights and the disk", path)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        RefusedError: It is empty, no text, too large, or cannot be read.
    """
    try:
        text = read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        refuse("it is not a text file", path=path)
    if not text.strip():
        refuse("it is empty", path=path)
    return text


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        RefusedError: It is empty, cut off, nested too deeply, or no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            refuse(f"it is cut off: its JSON ends in line {error.lineno}", "write it again", path)
        refuse(f"it is not JSON: {error.msg} in line {error.lineno}", path=path)
    except RecursionError:
        refuse("its JSON is nested too deeply", path=path)
    except ValueError:
        refuse("it has a number with thousands of digits", path=path)


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array of numbers that is still in its file, to be read once from front to back."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _read: Callable[[int], bytes]

    def take(self, count: int) -> Shaped[np.ndarray, " value"]:
        """Read the next `count` values, in C order.

        Raises:
            RefusedError: They are damaged, missing, or too many to hold.
        """
        size = count * self.dtype.itemsize
        if size > MAX_BYTES:
            refuse(f"it has an array of {size} bytes; at most {MAX_BYTES} are held at once")
        with _readable():
            values = np.frombuffer(self._read(size), self.dtype)
            if len(values) != count:
                raise EOFError
        return values

    def rows(self, chosen: slice) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Read some rows of the first axis, one at a time."""
        for row in range(chosen.stop):
            values = self.take(math.prod(self.shape[1:]))
            if row >= chosen.start:
                yield values.reshape(self.shape[1:])


@Mapping.register
class Npz:
    """The arrays of an npz file, each read and checked at its first use."""

    def __init__(self, path: Path) -> None:
        """List the arrays of the file.

        Raises:
            RefusedError: It is no npz file.
        """
        self._path = path
        with _readable(), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        self._names = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]

    def __iter__(self) -> Iterator[str]:
        """Names of the arrays."""
        return iter(self._names)

    def __len__(self) -> int:
        """Number of arrays."""
        return len(self._names)

    def __contains__(self, key: object) -> bool:
        """Whether there is such an array."""
        return key in self._names

    def __getitem__(self, key: str) -> np.ndarray:
        """Read a whole array.

        Raises:
            RefusedError: It is damaged, too large, or does not hold numbers.
        """
        with self.stored(key) as array:
            return array.take(math.prod(array.shape)).reshape(array.shape)

    @contextmanager
    def stored(self, key: str) -> Iterator[StoredArray]:
        """Open an array, to be read piece by piece.

        Raises:
            RefusedError: There is none, it is damaged, or does not hold numbers.
        """
        if key not in self._names:
            refuse(f"`{key}` is missing; it has {named(self._names)}")
        with _readable():
            archive = zipfile.ZipFile(self._path)
        with archive:
            with _readable():
                content = archive.open(f"{key}.npy")
            with content:
                with _readable():
                    shape, is_fortran, dtype = HEADERS[np.lib.format.read_magic(content)](content)
                if dtype.kind not in "biuf":
                    refuse(f"`{key}` holds `{dtype}` instead of numbers")
                if any(type(size) is not int or size < 0 for size in shape):
                    refuse(f"`{key}` has shape {shape}")
                size = math.prod(shape) * dtype.itemsize
                if size > archive.getinfo(f"{key}.npy").file_size:
                    refuse("it is not a readable npz file: it ends within an array")
                array = StoredArray(shape, dtype, content.read)
                yield _in_c_order(array) if is_fortran and size else array


def _in_c_order(array: StoredArray) -> StoredArray:
    """Read an array in Fortran order, in which each frame is scattered over the whole file."""
    whole = array.take(math.prod(array.shape)).reshape(array.shape, order="F")
    return StoredArray(array.shape, array.dtype, BytesIO(whole.tobytes()).read)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        refuse(f"it is not a readable npz file ({type(error).__name__})")
