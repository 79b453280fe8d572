"""Checks the structure of files that have no published hash, without running code from them."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from closefit.boundary.files import read_json
from closefit.boundary.refusals import RefusedError

HEAD_BYTES = 512
MAX_JSON_BYTES = 1 << 26


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
    """Return whether a file begins as a login or error page does."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


def _safetensors_problem(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:  # reads the header and compares the sizes
            empty = not file.keys()
    except (SafetensorError, OSError) as error:
        return f"it is not a complete safetensors file: {error}"
    return "it holds no tensors" if empty else None


def _numpy_problem(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith(".npy") for name in archive.namelist()):
                return "it is a zip archive, but not a NumPy archive"
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        return f"it is not a complete zip archive: {error}"
    return None if broken is None else f"its part `{broken}` is broken"


def _json_problem(path: Path) -> str | None:
    try:
        content = read_json(path, MAX_JSON_BYTES)
    except RefusedError as refused:
        return refused.problem
    return None if isinstance(content, dict) else "it holds no settings"


CHECKS: Mapping[str, Callable[[Path], str | None]] = {
    ".safetensors": _safetensors_problem,
    ".npz": _numpy_problem,
    ".json": _json_problem,
}
"""How to check a file, by its suffix."""
