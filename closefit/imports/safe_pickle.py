"""Reading arrays out of a pickle file without running anything from it.

SMPL is published as Python 2 pickles of numpy arrays, scipy sparse matrices and `chumpy` objects.
Here a pickle can only build numpy arrays and inert stand-ins for the other two; any other name
in the file ends the reading. `chumpy` is never imported.
"""

import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy import sparse

from closefit.body.files import Array

PICKLE_ERRORS = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What a damaged or hostile pickle can make the unpickler raise."""


class _Inert:
    """Stand-in for a class of the file: keeps the state it would have been given, does nothing."""

    state: Mapping[str, Any]

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}

    def array(self) -> Array:
        """Return the values as a dense array."""
        raise NotImplementedError


class _ChumpyArray(_Inert):
    """`chumpy.ch.Ch`: a plain array `x`."""

    def array(self) -> Array:
        return dense(self.state["x"])


class _ChumpySelection(_Inert):
    """`chumpy.reordering.Select`: chosen entries of another array, which slicing gives."""

    def array(self) -> Array:
        entries: Array = dense(self.state["a"]).ravel()[dense(self.state["idxs"])]
        return entries.reshape(self.state.get("preferred_shape", entries.shape))


class _ColumnSparse(_Inert):
    """A scipy matrix in compressed columns."""

    compressed: Callable[..., Any] = staticmethod(sparse.csc_array)

    def array(self) -> Array:
        shape = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        parts = tuple(dense(self.state[key]) for key in ("data", "indices", "indptr"))
        matrix = self.compressed(parts, shape=tuple(shape))
        # scipy's own check is partial, and compiled code would write outside the array.
        matrix.check_format(full_check=True)
        return np.asarray(matrix.toarray(), dtype=np.float64)


class _RowSparse(_ColumnSparse):
    """A scipy matrix in compressed rows."""

    compressed: Callable[..., Any] = staticmethod(sparse.csr_array)


def _new_instance(cls: object, base: object, state: object) -> _Inert:
    """Stand in for `copyreg._reconstructor`, for the inert classes only."""
    if isinstance(cls, type) and issubclass(cls, _Inert) and base is object and state is None:
        return cls()
    raise pickle.UnpicklingError(f"the file builds a `{cls}`")


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for `_codecs.encode`, which old protocols use to write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the file encodes bytes as `{encoding}`")
    return text.encode("latin1")


def _from_buffer(
    buffer: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any
) -> Array:
    """Stand in for numpy's `_frombuffer`, which protocol 5 uses."""
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def allowed_names() -> dict[tuple[str, str], object]:
    """Return what each name in a file stands for; names not listed are refused."""
    names: dict[tuple[str, str], object] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("__builtin__", "object"): object,
        ("builtins", "object"): object,
        ("copy_reg", "_reconstructor"): _new_instance,
        ("copyreg", "_reconstructor"): _new_instance,
        ("_codecs", "encode"): _latin1,
        ("chumpy.ch", "Ch"): _ChumpyArray,
        ("chumpy", "Ch"): _ChumpyArray,
        ("chumpy.reordering", "Select"): _ChumpySelection,
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = np.zeros(0).__reduce__()[0]
        names[f"{core}.multiarray", "scalar"] = np.float64(0).__reduce__()[0]
        names[f"{core}.numeric", "_frombuffer"] = _from_buffer
    for letter, stand_in in (("c", _ColumnSparse), ("r", _RowSparse)):
        for module in (f"scipy.sparse.cs{letter}", f"scipy.sparse._cs{letter}"):
            names[module, f"cs{letter}_matrix"] = stand_in
            names[module, f"cs{letter}_array"] = stand_in
    return names


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler to which only the names of `allowed_names` exist."""

    def __init__(self, file: BinaryIO) -> None:
        # Python 2 strings, among them the raw bytes of arrays, survive only as latin1.
        super().__init__(file, encoding="latin1")
        self._names = allowed_names()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise pickle.UnpicklingError(f"the file asks for `{module}.{name}`")
        return self._names[module, name]


def read_pickled_dict(path: Path) -> dict[str, object]:
    """Return the dictionary that a pickle file holds; get its arrays with `dense`.

    Raises:
        Exception: One of `PICKLE_ERRORS`, when the file is damaged or holds anything else.
    """
    with path.open("rb") as file:
        content = _ArrayUnpickler(file).load()
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"the file holds a `{type(content).__name__}`")
    return content


def dense(value: object) -> Array:
    """Return a value of the file as a dense array of numbers.

    Raises:
        Exception: One of `PICKLE_ERRORS`, when it is something else.
    """
    array = value.array() if isinstance(value, _Inert) else value
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise pickle.UnpicklingError(f"the file has a `{type(array).__name__}` for numbers")
    return array
