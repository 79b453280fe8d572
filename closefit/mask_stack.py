"""Masks, kept so small that a long clip's fit into memory: each one's packed bits are deflated.

Bits go row by row over the picture, `np.packbits` of the flat mask, and zlib deflates them. A mask
without pixels has no bytes at all.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

LEVEL = 1
"""Fastest; level 6 takes four times as long for a third less."""


def deflate(mask: Bool[np.ndarray, "height width"]) -> bytes:
    """Return the small form of a mask."""
    return zlib.compress(np.packbits(mask), LEVEL) if mask.any() else b""


def inflate(deflated: bytes, shape: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """Return the mask of `shape` (height, width) from its small form.

    Raises:
        ValueError: There is no such mask in these bytes.
    """
    if not deflated:
        return np.zeros(shape, dtype=bool)
    count = shape[0] * shape[1]
    bits = np.frombuffer(_packed_bits(deflated, -(-count // 8)), dtype=np.uint8)
    return np.unpackbits(bits, count=count).reshape(shape).view(bool)


def join(masks: Iterable[bytes]) -> tuple[UInt8[np.ndarray, " byte"], Int[np.ndarray, " mask"]]:
    """Return deflated masks one after the other, and where each one's bytes end."""
    joined, ends = bytearray(), []
    for deflated in masks:
        joined += deflated
        ends.append(len(joined))
    return np.frombuffer(joined, dtype=np.uint8), np.array(ends, dtype=np.int64)


def split(joined: UInt8[np.ndarray, " byte"], ends: Int[np.ndarray, "*mask"]) -> Iterator[bytes]:
    """Yield each deflated mask; the inverse of `join`."""
    start = 0
    for end in ends.ravel().tolist():
        yield joined[start:end].tobytes()
        start = end


def check(
    joined: UInt8[np.ndarray, " byte"],
    ends: Int[np.ndarray, "*mask"],
    pixels: Int[np.ndarray, "*mask"],
) -> None:
    """Check that every mask can be inflated, one at a time.

    Args:
        joined: Deflated masks.
        ends: Where each one's bytes end.
        pixels: How many each one has.

    Raises:
        ValueError: One cannot.
    """
    lengths = np.diff(ends.ravel(), prepend=0)
    if (lengths < 0).any() or lengths.sum() != len(joined):
        raise ValueError("masks end where there are none")
    for deflated, count in zip(split(joined, ends), pixels.ravel().tolist(), strict=True):
        if deflated:
            _packed_bits(deflated, -(-count // 8))


def _packed_bits(deflated: bytes, size: int) -> bytes:
    """Bits of a mask that has `size` bytes of them; more are never made."""
    stream = zlib.decompressobj()
    try:
        bits = stream.decompress(deflated, size + 1)
    except zlib.error as error:
        raise ValueError("these bytes are no mask") from error
    if len(bits) != size or not stream.eof or stream.unused_data:
        raise ValueError("these bytes are a mask of another size, or cut short")
    return bits


@dataclass(frozen=True, eq=False)
class MaskStack:
    """Masks of one size, in any number of axes: one per frame, or per frame and person.

    Attributes:
        joined: The deflated masks, one after the other.
        ends: Where each one's bytes end. The axes of the stack are those of this array.
        size_wh: Width and height.
    """

    joined: UInt8[np.ndarray, " byte"]
    ends: Int[np.ndarray, "*mask"]
    size_wh: tuple[int, int]

    @classmethod
    def of(
        cls, masks: Iterable[bytes], size_wh: tuple[int, int], axes: tuple[int, ...] = (-1,)
    ) -> "MaskStack":
        """Stack deflated masks, which may be a stream; `axes` as `reshape` takes them."""
        joined, ends = join(masks)
        return cls(joined, ends.reshape(axes), size_wh)

    def __len__(self) -> int:
        """Length of the first axis."""
        return len(self.ends)

    def __getitem__(self, key: Any) -> Bool[np.ndarray, "*chosen height width"]:
        """Masks at a place, or at any that numpy can choose from an array of the stack's axes."""
        starts, ends = self._starts[key], self.ends[key]
        width, height = self.size_wh
        masks = np.zeros((*ends.shape, height, width), dtype=bool)
        for place in np.ndindex(ends.shape):
            part = self.joined[starts[place] : ends[place]]
            masks[place] = inflate(part.tobytes(), (height, width))
        return masks

    @property
    def shown(self) -> Bool[np.ndarray, "*mask"]:
        """Masks that have a pixel."""
        shown: Bool[np.ndarray, "*mask"] = self.ends > self._starts
        return shown

    def without(self, dropped: Bool[np.ndarray, "*mask"]) -> "MaskStack":
        """Return the stack with some masks made empty."""
        pairs = zip(split(self.joined, self.ends), dropped.ravel(), strict=True)
        kept = (b"" if is_dropped else deflated for deflated, is_dropped in pairs)
        return MaskStack.of(kept, self.size_wh, self.ends.shape)

    def check(self) -> None:
        """Check that every mask can be inflated.

        Raises:
            ValueError: One cannot.
        """
        width, height = self.size_wh
        if width < 0 or height < 0:
            raise ValueError("masks have an impossible size")
        check(self.joined, self.ends, np.full(self.ends.shape, width * height))

    @cached_property
    def _starts(self) -> Int[np.ndarray, "*mask"]:
        flat = self.ends.ravel()
        return np.concatenate([np.zeros(1, flat.dtype), flat])[:-1].reshape(self.ends.shape)
