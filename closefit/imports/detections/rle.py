"""COCO's run-length encoding of masks: runs of 0 and 1 in turn, down the columns."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from closefit.boundary.values import refuse, shown, whole_numbers


def size_of(encoded: Any) -> tuple[int, int]:
    """Return height and width of `{"size": [height, width], "counts": ...}`."""
    if not isinstance(encoded, dict) or not {"size", "counts"} <= encoded.keys():
        refuse("it has a mask that is not run-length encoded (`size`, `counts`)")
    size = encoded["size"]
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)):
        refuse(f"it has a mask that has size `{shown(size)}` instead of [height, width]")
    height, width = whole_numbers(size, "size", 2, low=1, high=1 << 16).tolist()
    return height, width


def decode(encoded: Any, size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """Return the mask of `{"size": [height, width], "counts": ...}`.

    Args:
        encoded: `counts` is a list of run lengths, or the text into which COCO's tools compress it.
        size: Its `size_of`, which the caller has found reasonable.
    """
    (height, width), counts = size, encoded["counts"]
    is_text = isinstance(counts, str)
    runs = _decompress(counts) if is_text else whole_numbers(counts, "counts", None)
    fits = (runs >= 0).all() and (runs <= height * width).all()
    if not fits or int(runs.sum()) != height * width:
        refuse(f"it has a mask that does not fill its {width}x{height} pixels; it may be cut off")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _decompress(text: str) -> Int[np.ndarray, " run"]:
    """Undo the compression of run lengths into text.

    Each character holds five bits, the lowest first, and whether more follow; the last one's
    highest bit is the sign. From the fourth number on, it is the difference to the one two before.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 40:
            refuse("it has a mask whose `counts` are not a compressed mask")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        refuse("it has a mask whose `counts` are cut off")
    return np.array(runs, dtype=np.int64)
