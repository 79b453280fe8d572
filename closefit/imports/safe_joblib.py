"""Reading what `joblib.dump` or `pickle.dump` wrote without running anything from the file.

joblib writes a pickle in which the raw bytes of each array follow a small wrapper object, all of it
often compressed. Only arrays, PyTorch tensors (which become arrays) and plain containers can come
out; any other name in the file ends the reading. joblib itself would run code from the file.
"""

import bz2
import gzip
import io
import lzma
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from closefit.body.files import Array
from closefit.imports.safe_pickle import PICKLE_ERRORS, allowed_names


class RefusedContentError(pickle.UnpicklingError):
    """The file holds what closefit does not read from pickles; the message says what."""


READING_ERRORS = (
    *PICKLE_ERRORS,
    AssertionError,  # python's own unpickler checks some opcodes so
    RuntimeError,
    OSError,
    zlib.error,
    lzma.LZMAError,
)
"""What a damaged or hostile file can make the reading raise."""

BLOCK_BYTES = 1 << 24

_COMPRESSED: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress),
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ", lzma.decompress),
    (b"\x5d\x00", lzma.decompress),
    (b"\x78", zlib.decompress),
)
"""First bytes of each compression that joblib offers from the standard library."""


class _WrappedArray:
    """Stand-in for joblib's wrapper: says what array the bytes after it hold."""

    state: dict[str, Any]

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}

    def read(self, file: io.BytesIO, nested: Callable[[], Any]) -> Array:
        """Take the array from where `file` stands; `nested` unpickles an array of objects."""
        dtype, shape = self.state["dtype"], tuple(int(size) for size in self.state["shape"])
        if not isinstance(dtype, np.dtype) or any(size < 0 for size in shape):
            raise RefusedContentError("the file has an array of no known type")
        if dtype.hasobject:
            return cast(Array, nested())
        if self.state.get("numpy_array_alignment_bytes") is not None:
            file.read(file.read(1)[0])
        data = _read_exactly(file, int(np.prod(shape, dtype=object)) * dtype.itemsize)
        flat: Array = np.frombuffer(data, dtype=dtype)
        return flat.reshape(shape, order="F" if self.state["order"] == "F" else "C")


_PythonUnpickler: Any = pickle._Unpickler


class _ResultUnpickler(_PythonUnpickler):  # type: ignore[misc]
    """Python's own unpickler, which the wrapped arrays need; only allowed names exist to it."""

    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin1")
        self._opened = file
        self._names = {**allowed_names(), **_more_names()}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise RefusedContentError(f"it asks for `{module}.{name}`, which closefit never runs")
        return self._names[module, name]

    def load_build(self) -> None:
        """Put the array in the place of its wrapper; nothing but arrays takes on a state."""
        if not isinstance(self.stack[-2], np.ndarray | np.dtype | _WrappedArray):
            raise RefusedContentError(f"it sets up a `{type(self.stack[-2]).__name__}`")
        super().load_build()
        if isinstance(self.stack[-1], _WrappedArray):
            wrapper = self.stack.pop()
            self.stack.append(wrapper.read(self._opened, _ResultUnpickler(self._opened).load))

    dispatch[pickle.BUILD[0]] = load_build


def load_pickled(path: Path) -> Any:
    """Return what a file of joblib or pickle holds.

    Raises:
        Exception: One of `READING_ERRORS`, when the file is damaged or holds anything but arrays,
            tensors and plain containers.
    """
    content = path.read_bytes()
    for first_bytes, decompress in _COMPRESSED:
        if content.startswith(first_bytes):
            content = decompress(content)
            break
    return _ResultUnpickler(io.BytesIO(content)).load()


def _read_exactly(file: io.BytesIO, count: int) -> bytes:
    """Read piece by piece: a damaged file may claim more bytes than there are."""
    pieces = []
    while count > 0:
        piece = file.read(min(count, BLOCK_BYTES))
        if not piece:
            raise EOFError("the file ends inside an array")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _more_names() -> dict[tuple[str, str], object]:
    """Names of results beyond those of body models: containers, wrapped arrays, tensors."""
    names: dict[tuple[str, str], object] = {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _WrappedArray,
        ("numpy", "memmap"): np.ndarray,
        ("collections", "OrderedDict"): _ordered,
        ("collections", "defaultdict"): _default_dict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor_as_array,
        ("torch.storage", "_load_from_bytes"): _storage,
    }
    for builtin in (dict, list, set, tuple, int, float, bool, str):
        names["builtins", builtin.__name__] = builtin
    return names


def _ordered() -> dict[Any, Any]:
    """Stand in for `OrderedDict`, which any dictionary is by now."""
    return {}


def _default_dict(factory: object = None) -> dict[Any, Any]:
    """Stand in for `defaultdict`; what it would add by itself is not wanted."""
    del factory
    return {}


def _storage(content: bytes) -> Any:
    """Numbers of a tensor, which PyTorch puts into a pickle as a file of its own."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor_as_array(
    storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *others: object
) -> Array:
    """Stand in for PyTorch's builder of tensors."""
    del others
    import torch

    if not isinstance(storage, torch.storage.TypedStorage):
        raise RefusedContentError("it has a tensor without numbers")
    empty = torch.empty(0, dtype=storage.dtype)
    tensor = empty.set_(storage._untyped_storage, offset, size, stride)
    array: Array = tensor.detach().float().numpy() if tensor.is_floating_point() else tensor.numpy()
    return array
