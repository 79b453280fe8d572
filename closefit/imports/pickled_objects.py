"""What names in pickles stand for: arrays of numpy, joblib, scipy, chumpy and PyTorch, containers.

Arrays are put together from bytes whose number is checked, of the kinds bool, integer and float
alone. Arrays of other kinds (text, dates, objects) can be in a file, but come out as `FOREIGN`;
one without axes, into which `numpy.save` puts a dictionary, as its only object.
"""

import math
import re
import struct
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from closefit.boundary.values import refuse
from closefit.imports.pickle_machine import Interpreter, Name, Unbuilt

Array = np.ndarray

NUMERIC = re.compile(r"(b1|[iu][1248]|f[248])$")
FOREIGN_KINDS = re.compile(r"([cfSUmM]\d{1,6}|O8?)$")

MAX_AXES = 32

TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a storage inside a pickle: the magic number of PyTorch's older format."""


class Foreign:
    """An array, or something else, that has no numbers for closefit."""

    def __repr__(self) -> str:
        """Return what a message calls it."""
        return "an array of text or objects"


FOREIGN = Foreign()


@dataclass(frozen=True)
class _ForeignType:
    """Type of an array whose values are passed over; objects are a pickle of their own."""

    itemsize: int
    is_object: bool


@dataclass(eq=False)
class _Storage:
    """Values of a tensor in a row; None until they are read."""

    dtype: str
    data: bytes | None

    def values(self, machine: Interpreter) -> Array:
        """Return the values; bfloat16 becomes float32."""
        if self.dtype != "bfloat16":
            return _array(machine, self.data, np.dtype(self.dtype), None)
        halves = _array(machine, self.data, np.dtype("<u2"), None)
        machine.budget.spend(4 * halves.size)
        return (halves.astype(np.uint32) << 16).view(np.float32)


def _array(machine: Interpreter, data: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    """Bytes as an array, whose shape must fit exactly; None is a shape of one axis."""
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | memoryview):
        refuse("it has an array of no known type")
    sizes = _sizes((len(data) // dtype.itemsize,) if shape is None else shape)
    if math.prod(sizes) * dtype.itemsize != len(data):
        refuse(f"it has an array of shape {sizes} with {len(data)} bytes")
    flat: Array = np.frombuffer(data, dtype) if len(data) else np.zeros(0, dtype)
    if dtype.kind == "b":  # any byte but 0 is true
        machine.budget.spend(len(data))
        flat = flat.view(np.uint8) != 0
    return flat.reshape(sizes, order="F" if order == "F" else "C")


def _sizes(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape)
    if len(sizes) > MAX_AXES or not all(type(size) is int and size >= 0 for size in sizes):
        refuse("it has an array of no possible shape")
    return sizes


def _type(_machine: Interpreter, code: Any, *_: Any) -> Unbuilt:
    """`numpy.dtype`, whose byte order follows as its state."""
    if not isinstance(code, str) or not (NUMERIC.match(code) or FOREIGN_KINDS.match(code)):
        refuse("it has an array of records or of an unknown type")

    def build(_machine: Interpreter, state: Any) -> Any:
        if NUMERIC.match(code):
            return np.dtype(code).newbyteorder(">" if state[1] == ">" else "<")
        return _ForeignType(np.dtype(code).itemsize, is_object=code.startswith("O"))

    return Unbuilt(build)


def _numpy_array(*_: Any) -> Unbuilt:
    """Numpy's `_reconstruct`, after which the array follows as its state."""

    def build(machine: Interpreter, state: Any) -> Any:
        _, shape, dtype, is_fortran, data = state
        if isinstance(dtype, _ForeignType):
            is_one = dtype.is_object and shape == () and isinstance(data, list) and len(data) == 1
            return data[0] if is_one else FOREIGN
        return _array(machine, _bytes(machine, data), dtype, shape, "F" if is_fortran else "C")

    return Unbuilt(build)


def _bytes(machine: Interpreter, data: Any, *_: Any) -> Any:
    """`_codecs.encode`: bytes that Python 2 or old protocols wrote as text."""
    if not isinstance(data, str):
        return data
    machine.budget.spend(len(data))
    return data.encode("latin1")


def _encoded(machine: Interpreter, text: Any, encoding: Any) -> Any:
    if encoding != "latin1":
        refuse("it encodes bytes in an unknown way")
    return _bytes(machine, text)


def _scalar(machine: Interpreter, dtype: Any, data: Any = b"") -> Any:
    if isinstance(dtype, _ForeignType):
        return FOREIGN
    return _array(machine, _bytes(machine, data), dtype, ()).item()


def _from_buffer(machine: Interpreter, data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """Numpy's `_frombuffer`, which protocol 5 uses."""
    if isinstance(dtype, _ForeignType):
        return FOREIGN
    return _array(machine, data, dtype, shape, order)


def _joblib_array(_machine: Interpreter) -> Unbuilt:
    """Joblib's wrapper, after whose state the bytes of the array follow in the file."""

    def build(machine: Interpreter, state: Any) -> Any:
        dtype, sizes = state["dtype"], _sizes(state["shape"])
        if isinstance(dtype, _ForeignType) and dtype.is_object:
            nested = machine.inside(machine.content)
            nested.stream = machine.stream
            nested.run()
            return FOREIGN
        stream = machine.stream
        if state.get("numpy_array_alignment_bytes") is not None:
            stream.seek(stream.read(1)[0], 1)
        start, count = stream.tell(), math.prod(sizes) * dtype.itemsize
        data = memoryview(machine.content)[start : start + count]
        if len(data) < count:
            raise EOFError
        stream.seek(start + count)
        if isinstance(dtype, _ForeignType):
            return FOREIGN
        return _array(machine, data, dtype, sizes, state["order"])

    return Unbuilt(build)


def _sparse(*_: Any, by_rows: bool) -> Unbuilt:
    """A scipy matrix in compressed columns or rows, as a dense one."""

    def build(machine: Interpreter, state: Any) -> Any:
        rows, columns = _sizes(state["_shape"] if "_shape" in state else state["shape"])
        values, minor, starts = (state[key] for key in ("data", "indices", "indptr"))
        if any(not isinstance(a, Array) or a.ndim != 1 for a in (values, minor, starts)):
            refuse("it has a sparse matrix without numbers")
        counts = np.diff(starts.astype(np.int64))
        lines, across = (rows, columns) if by_rows else (columns, rows)
        is_whole = minor.dtype.kind in "iu" and starts.dtype.kind in "iu"
        fits = len(counts) == lines and len(values) == len(minor) and is_whole
        if not (fits and starts[0] == 0 and starts[-1] == len(minor) and (counts >= 0).all()):
            refuse("it has a sparse matrix whose parts do not fit together")
        if len(minor) and not (minor.min() >= 0 and minor.max() < across):
            refuse("it has a sparse matrix with entries outside of itself")
        machine.budget.spend(8 * rows * columns)
        dense = np.zeros((lines, across))
        np.add.at(dense, (np.repeat(np.arange(lines), counts), minor), values)
        return dense if by_rows else dense.T

    return Unbuilt(build)


def _chumpy_array(_machine: Interpreter) -> Unbuilt:
    """`chumpy.ch.Ch`: a plain array `x`."""
    return Unbuilt(lambda _, state: state["x"])


def _chumpy_selection(_machine: Interpreter) -> Unbuilt:
    """`chumpy.reordering.Select`: chosen entries of another array, which slicing gives."""

    def build(machine: Interpreter, state: Any) -> Any:
        source, places = state["a"], state["idxs"]
        if not isinstance(source, Array) or not isinstance(places, Array):
            refuse("it selects from something else than an array")
        if places.dtype.kind not in "iu":
            refuse("it selects entries by something else than whole numbers")
        machine.budget.spend(places.size * source.itemsize + source.nbytes)
        chosen = source.ravel()[places]
        return chosen.reshape(_sizes(state.get("preferred_shape", chosen.shape)))

    return Unbuilt(build)


def _instance(machine: Interpreter, cls: Any, base: Any, state: Any) -> Any:
    """`copyreg._reconstructor`, for the classes of this module only."""
    known = isinstance(cls, Name) and cls.is_class and cls.call is not None
    if not known or base is not NAMES["builtins", "object"] or state is not None:
        refuse(f"it builds a `{cls.text if isinstance(cls, Name) else type(cls).__name__}`")
    return cls.call(machine)


def _storage_inside(machine: Interpreter, content: Any) -> _Storage:
    """`torch.storage._load_from_bytes`: a storage in a file of its own within the pickle."""
    if not isinstance(content, bytes) or not content.startswith(TORCH_MAGIC):
        refuse("it has a tensor in an unknown form")
    inner = machine.inside(content, lambda _: None)
    inner.stream.seek(len(TORCH_MAGIC))
    _version, _system, storage, _keys = (inner.run() for _ in range(4))
    if not isinstance(storage, _Storage):
        refuse("it has a tensor without numbers")
    (count,) = struct.unpack("<q", inner.stream.read(8))
    storage.data = inner.stream.read()
    if storage.values(machine).size != count:
        raise EOFError
    return storage


def _tensor(
    machine: Interpreter,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    _grad: Any = None,
    _hooks: Any = None,
    metadata: Any = None,
) -> Array:
    """`torch._utils._rebuild_tensor_v2`: a view of a storage, checked to lie within it."""
    if not isinstance(storage, _Storage) or metadata:
        refuse("it has a tensor of an unknown kind")
    values = storage.values(machine)
    sizes, strides, (start,) = _sizes(size), _sizes(stride), _sizes((offset,))
    if len(sizes) != len(strides):
        refuse("it has a tensor of no possible shape")
    if 0 in sizes:
        return np.zeros(sizes, values.dtype) if max(sizes) < 1 << 32 else np.zeros(0)
    last = start + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if last >= len(values):
        refuse("it has a tensor that reaches beyond its values")
    machine.budget.spend(math.prod(sizes) * values.itemsize)
    steps = [step * values.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(values[start:], sizes, steps, writeable=False).copy()


def _list_of(machine: Interpreter, items: Any = ()) -> list[Any]:
    """`set`: which members it has is enough."""
    if not isinstance(items, list | tuple):
        refuse("it has a set of something else")
    machine.budget.spend(8 * len(items))
    return list(items)


STORAGES = {
    **{"Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "bfloat16", "Bool": "|b1"},
    **{"Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "|i1", "Byte": "|u1"},
}


def _names() -> dict[tuple[str, str], Name]:
    names: dict[tuple[str, str], Name] = {}

    def add(module: str, name: str, call: Any = None, *, is_class: bool = False) -> None:
        names[module, name] = Name(f"{module}.{name}", call, is_class)

    for builtin in ("object", "dict", "list", "tuple", "int", "float", "bool", "str"):
        names["builtins", builtin] = names["__builtin__", builtin] = Name(f"builtins.{builtin}")
    for module in ("builtins", "__builtin__"):
        add(module, "set", _list_of)
        add(module, "bytes", lambda _: b"")
    add("collections", "OrderedDict", lambda _: {})
    add("collections", "defaultdict", lambda *_: {})
    add("copy_reg", "_reconstructor", _instance)
    add("copyreg", "_reconstructor", _instance)
    add("_codecs", "encode", _encoded)
    add("numpy", "ndarray")
    add("numpy", "memmap")
    add("numpy", "dtype", _type)
    for core in ("numpy.core", "numpy._core"):
        add(f"{core}.multiarray", "_reconstruct", _numpy_array)
        add(f"{core}.multiarray", "scalar", _scalar)
        add(f"{core}.numeric", "_frombuffer", _from_buffer)
    add("joblib.numpy_pickle", "NumpyArrayWrapper", _joblib_array, is_class=True)
    for letter, by_rows in (("c", False), ("r", True)):
        for module in (f"scipy.sparse.cs{letter}", f"scipy.sparse._cs{letter}"):
            for kind in ("matrix", "array"):
                call = partial(_sparse, by_rows=by_rows)
                add(module, f"cs{letter}_{kind}", call, is_class=True)
    add("chumpy.ch", "Ch", _chumpy_array, is_class=True)
    add("chumpy", "Ch", _chumpy_array, is_class=True)
    add("chumpy.reordering", "Select", _chumpy_selection, is_class=True)
    add("torch._utils", "_rebuild_tensor_v2", _tensor)
    add("torch._utils", "_rebuild_parameter", lambda _, data, *_rest: data)
    add("torch.storage", "_load_from_bytes", _storage_inside)
    for name, dtype in STORAGES.items():
        add("torch", f"{name}Storage", lambda _, data, dtype=dtype: _Storage(dtype, data))
    return names


NAMES = _names()
"""Everything that a pickle may name; nothing else is read."""
