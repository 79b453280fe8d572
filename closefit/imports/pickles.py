"""Reading pickles (plain, of joblib, of PyTorch, of SMPL) without running anything from them."""

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from closefit.boundary.arrays import HEADERS
from closefit.boundary.files import UNREADABLE, max_bytes, open_plain, read_bytes, refuse_size
from closefit.boundary.values import refuse
from closefit.imports.pickle_machine import Budget, Interpreter
from closefit.imports.pickled_objects import NAMES

BLOCK_BYTES = 1 << 20

MAX_XZ_BYTES = 1 << 28
"""Memory for the dictionary of xz; its own highest level takes 64 MiB."""


def load_pickle(path: Path) -> Any:
    """Return what a pickle holds, also one of joblib or SMPL and a compressed one.

    Raises:
        RefusedError: It is damaged, too large, or holds anything but numbers and containers.
    """
    with _refused_if_damaged():
        return Interpreter(_decompressed(read_bytes(path)), NAMES, Budget()).run()


def load_npy(path: Path) -> Any:
    """Return the object that `numpy.save` wrote, for example a dictionary of arrays.

    Raises:
        RefusedError: It is damaged, too large, an array, or holds anything but numbers and
            containers.
    """
    content = read_bytes(path)
    with _refused_if_damaged():
        header = BytesIO(content)
        shape, _, dtype = HEADERS[np.lib.format.read_magic(header)](header)
        if shape != () or not dtype.hasobject:
            refuse("it holds an array where a dictionary belongs")
        return Interpreter(content[header.tell() :], NAMES, Budget()).run()


def load_torch(path: Path) -> Any:
    """Return what a file of `torch.save` holds, with arrays for tensors.

    Raises:
        RefusedError: It is damaged, too large, or holds anything but tensors and containers.
    """
    budget = Budget()
    with _refused_if_damaged(), open_plain(path) as file, zipfile.ZipFile(file) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))

        def read(name: str) -> bytes:
            budget.spend(archive.getinfo(name).file_size)
            return archive.read(name)

        folder = pickled.removesuffix(".pkl")
        return Interpreter(read(pickled), NAMES, budget, lambda key: read(f"{folder}/{key}")).run()


@contextmanager
def _refused_if_damaged() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        refuse(f"it is damaged, or something else ({type(error).__name__})")


def _decompressed(content: bytes) -> bytes:
    """Undo any of the standard library's compressions, of which joblib offers all."""
    decompressor: Any
    if content.startswith((b"\x1f\x8b", b"\x78")):
        decompressor = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
    elif content.startswith(b"BZh"):
        decompressor = bz2.BZ2Decompressor()
    elif content.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        decompressor = lzma.LZMADecompressor(memlimit=MAX_XZ_BYTES)
    else:
        return content
    result, start = bytearray(), 0
    while not decompressor.eof:
        waiting = getattr(decompressor, "unconsumed_tail", b"")
        if not waiting and getattr(decompressor, "needs_input", True):
            waiting = content[start : start + BLOCK_BYTES]
            start += BLOCK_BYTES
        piece = decompressor.decompress(waiting, BLOCK_BYTES)
        if not piece and not waiting and start >= len(content):
            raise EOFError
        result += piece
        if len(result) > max_bytes():
            refuse_size("its content, once it is decompressed,", len(result))
    return bytes(result)
