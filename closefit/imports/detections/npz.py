"""Arrays of npz files; one that may be too large to hold is read frame by frame."""

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from closefit.imports.detections.refusals import refuse
from closefit.storage.artifacts import UNREADABLE

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array that is still in its file, to be read once from front to back."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    _read: Callable[[int], bytes]

    def take(self, count: int) -> Shaped[np.ndarray, " value"]:
        """Read the next values, in C order.

        Raises:
            ObservationsError: They are damaged or not there.
        """
        with _readable(self.path):
            content = self._read(count * self.dtype.itemsize)
            values = np.frombuffer(content, self.dtype)
            if len(values) != count:
                raise EOFError("the array ends too early")
        return values

    def rows(self, chosen: slice) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Read some rows of the first axis, one at a time."""
        shape = self.shape[1:]
        for row in range(chosen.stop):
            values = self.take(math.prod(shape))
            if row >= chosen.start:
                yield values.reshape(shape)


@contextmanager
def stored_array(path: Path, key: str) -> Iterator[StoredArray]:
    """Open an array of an npz file.

    Raises:
        ObservationsError: There is none, or it is damaged.
    """
    with ExitStack() as opened:
        with _readable(path):
            archive = opened.enter_context(zipfile.ZipFile(path))
            content = opened.enter_context(archive.open(f"{key}.npy"))
            shape, is_fortran, dtype = HEADERS[np.lib.format.read_magic(content)](content)
            read = content.read
            if is_fortran and 0 not in shape:  # each frame is scattered over the whole file
                whole = np.frombuffer(read(), dtype).reshape(shape, order="F")
                read = io.BytesIO(whole.tobytes()).read
        yield StoredArray(path, shape, dtype, read)


def read_arrays(path: Path, wanted: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """Return those of the wanted arrays that an npz file has.

    Raises:
        ObservationsError: It cannot be read.
    """
    with _readable(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        return {key: content[key] for key in wanted if key in content.files}


def names(path: Path) -> frozenset[str]:
    """Names of the arrays in an npz file.

    Raises:
        ObservationsError: It is none.
    """
    with _readable(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        return frozenset(content.files)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (*UNREADABLE, AttributeError, TypeError):
        refuse(path, "is not a readable npz file")
