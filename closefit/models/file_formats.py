"""Whether a file can be what its name says, told from its structure and without loading it.

This is what is left to check where nobody has published a file's hash. Nothing here runs code from
a file: a PyTorch file is looked at as the zip archive that it is, never unpickled.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 512

TFLITE_MAGIC = slice(4, 8), b"TFL3"
"""Where a FlatBuffer names its kind, and TensorFlow Lite's name."""

ONNX_GRAPH_FIELD = 7
"""Number of the field `graph` in ONNX's `ModelProto`."""

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""

MAX_VARINT_BYTES = 10


def format_problem(path: Path) -> str | None:
    """Return why `path` cannot be a file of the kind that its suffix names, or None."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "it is empty"
    if is_web_page(head):
        return "it is a web page"
    check = CHECKS.get(path.suffix)
    return None if check is None else check(path)


def is_web_page(head: bytes) -> bool:
    """Tell a login or error page from a model by the file's first bytes."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


def _safetensors_problem(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:  # reads the header and compares the sizes
            empty = not file.keys()
    except (SafetensorError, OSError) as error:
        return f"it is not a complete safetensors file: {error}"
    return "it holds no tensors" if empty else None


def _torch_problem(path: Path) -> str | None:
    return _zip_problem(path, "/data.pkl", "a PyTorch file")


def _numpy_problem(path: Path) -> str | None:
    return _zip_problem(path, ".npy", "a NumPy archive")


def _zip_problem(path: Path, member_end: str, kind: str) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith(member_end) for name in archive.namelist()):
                return f"it is a zip archive, but not {kind}"
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        return f"it is not a complete zip archive: {error}"
    return None if broken is None else f"its part `{broken}` is broken"


def _tflite_problem(path: Path) -> str | None:
    where, magic = TFLITE_MAGIC
    with path.open("rb") as file:
        found = file.read(where.stop)[where]
    return None if found == magic else "it is not a TensorFlow Lite file"


def _onnx_problem(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            fields = set(_protobuf_fields(file, path.stat().st_size))
    except ValueError:
        return "it is not a complete ONNX file"
    return None if ONNX_GRAPH_FIELD in fields else "it is not an ONNX file"


def _protobuf_fields(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield the numbers of a message's fields, stepping over their contents.

    Raises:
        ValueError: The message is cut short, or is none.
    """
    while file.tell() < size:
        number, wire_type = divmod(_varint(file), 8)
        if wire_type == VARINT:
            _varint(file)
        elif wire_type in (FIXED64, FIXED32):
            file.seek(8 if wire_type == FIXED64 else 4, 1)
        elif wire_type == LENGTH_DELIMITED:
            length = _varint(file)
            file.seek(length, 1)
        else:
            raise ValueError("no such wire type")
        if file.tell() > size:
            raise ValueError("a field reaches beyond the end")
        yield number


def _varint(file: BinaryIO) -> int:
    value = 0
    for position in range(MAX_VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << (7 * position)
        if byte[0] < 0x80:
            return value
    raise ValueError("a number is cut short")


def _json_problem(path: Path) -> str | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return f"it is not JSON: {error}"
    return None if isinstance(content, dict) else "it holds no settings"


CHECKS: Mapping[str, Callable[[Path], str | None]] = {
    ".safetensors": _safetensors_problem,
    ".pt": _torch_problem,
    ".pth": _torch_problem,
    ".npz": _numpy_problem,
    ".tflite": _tflite_problem,
    ".onnx": _onnx_problem,
    ".json": _json_problem,
}
"""How to check a file, by its suffix."""
