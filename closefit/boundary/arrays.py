"""Arrays in npz and npy files: declared type, shape and size are checked before they are read."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from closefit.boundary.files import UNREADABLE, max_bytes, open_plain, refuse_size
from closefit.boundary.values import named, refuse

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array that is still in its file, to be read once from front to back."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _content: Any  # open for reading

    def take(self, count: int) -> Shaped[np.ndarray, " value"]:
        """Read the next `count` values, in C order.

        Raises:
            RefusedError: They are damaged, missing, or too many to hold.
        """
        size = count * self.dtype.itemsize
        if size > max_bytes():
            refuse_size("an array in it", size)
        with _readable():
            content = np.frombuffer(self._content.read(size), np.uint8).copy()
            if len(content) != size:
                raise EOFError
            # Any byte but 0 is true.
            return content != 0 if self.dtype.kind == "b" else content.view(self.dtype)

    def whole(self) -> Shaped[np.ndarray, "..."]:
        """Read all values.

        Raises:
            RefusedError: As `take`.
        """
        return self.take(math.prod(self.shape)).reshape(self.shape)

    def rows(self, chosen: slice) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Read some rows of the first axis, one at a time."""
        for row in range(chosen.stop):
            values = self.take(math.prod(self.shape[1:]))
            if row >= chosen.start:
                yield values.reshape(self.shape[1:])


@Mapping.register
class Npz:
    """The arrays of an npz file, each read and checked at its first use."""

    def __init__(self, path: Path, kinds: str = "biuf") -> None:
        """List the arrays of the file, which may be of the given kinds (`U` is text).

        Raises:
            RefusedError: It is no npz file.
        """
        self._path, self._kinds = path, kinds
        with self._archive() as archive:
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
            RefusedError: It is damaged, too large, or of another kind.
        """
        with self.stored(key) as array:
            return array.whole()

    @contextmanager
    def stored(self, key: str) -> Iterator[StoredArray]:
        """Open an array, to be read piece by piece.

        Raises:
            RefusedError: There is none, it is damaged, or of another kind.
        """
        if key not in self._names:
            refuse(f"`{key}` is missing; it has {named(self._names)}")
        with self._archive() as archive:
            with _readable():
                content = archive.open(f"{key}.npy")
            with content:
                size = archive.getinfo(f"{key}.npy").file_size
                yield _stored(content, size, key, self._kinds)

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        with open_plain(self._path) as file:
            with _readable():
                archive = zipfile.ZipFile(file)
            with archive:
                yield archive


def read_npy(path: Path) -> np.ndarray:
    """Read an npy file of numbers.

    Raises:
        RefusedError: It is damaged, too large, or holds something else.
    """
    with open_plain(path) as file:
        return _stored(file, path.stat().st_size, path.stem, "biuf").whole()


def _stored(content: Any, size: int, key: str, kinds: str) -> StoredArray:
    """Check the header of an array whose entry claims to have `size` bytes."""
    with _readable():
        shape, is_fortran, dtype = HEADERS[np.lib.format.read_magic(content)](content)
    if dtype.kind not in kinds:
        refuse(f"`{key}` holds `{dtype}` instead of numbers")
    if any(type(length) is not int or length < 0 for length in shape):
        refuse(f"`{key}` has shape {shape}")
    if math.prod(shape) * dtype.itemsize > size:
        refuse("it is cut short: it ends within an array")
    array = StoredArray(shape, dtype, content)
    if not is_fortran or not size:
        return array
    # In Fortran order each frame is scattered over the whole file.
    whole = array.take(math.prod(shape)).reshape(shape, order="F")
    return StoredArray(shape, dtype, BytesIO(whole.tobytes()))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        refuse(f"it is cut short, damaged, or no npz file ({type(error).__name__})")
