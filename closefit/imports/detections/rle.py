"""COCO's run-length encoding of masks: runs of 0 and 1 in turn, down the columns."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

MAX_PIXELS = 1 << 28
"""A larger mask is a mistake in the file, not a picture."""


def decode(encoded: Any) -> Bool[np.ndarray, "height width"]:
    """Return the mask of `{"size": [height, width], "counts": ...}`.

    `counts` is a list of run lengths, or the text into which COCO's tools compress it.

    Raises:
        ValueError: It is none; the message says why, to follow "has a mask that".
    """
    if not isinstance(encoded, dict) or not {"size", "counts"} <= encoded.keys():
        raise ValueError("is not run-length encoded (`size`, `counts`)")
    size, counts = encoded["size"], encoded["counts"]
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)):
        raise ValueError(f"has size `{size}` instead of [height, width]")
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"has size `{size}`")
    if isinstance(counts, str):
        runs = _decompress(counts)
    elif isinstance(counts, list) and all(type(n) is int for n in counts):
        runs = np.array(counts, dtype=np.int64)
    else:
        raise ValueError("has `counts` that are neither text nor whole numbers")
    if (runs < 0).any() or (runs > MAX_PIXELS).any() or int(runs.sum()) != height * width:
        raise ValueError(f"does not fill its {width}x{height} pixels; it may be cut off")
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
            raise ValueError("has `counts` that are not a compressed mask")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("is cut off")
    return np.array(runs, dtype=np.int64)
