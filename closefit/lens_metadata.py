"""The focal length that a camera wrote into its video file.

Phones note it as the 35 mm equivalent: the focal length at which a picture 36 mm wide shows as
much. Apple's is QuickTime metadata of the video track or of the file (boxes `keys` and `ilst`);
other programs write tags that ffmpeg lists.
"""

import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

FILM_WIDTH_MM = 36.0
"""The longer side of the picture to which a 35 mm equivalent refers."""

PLAUSIBLE_MM = (8.0, 1200.0)
"""Lenses from the widest fisheye to the longest telephoto lens."""

MOST_BYTES = 1 << 26
"""Largest index of a file (box `moov`) that is searched: hours of video."""

MOST_BOXES = 4096
"""Largest number of boxes of one box that are looked at."""

APPLE = b"com.apple.quicktime.camera.focal_length.35mm_equivalent"
TAG = re.compile(
    r"^\s*\S*focal_?length\S*35_?mm\S*\s*:\s*([0-9.]{1,12})\s*(?:mm)?\s*$", re.I | re.M
)

NUMBERS = {
    **{1: "text", 23: ">f", 24: ">d", 21: "signed", 22: "unsigned"},
    **dict.fromkeys((65, 66, 67, 74), "signed"),
    **dict.fromkeys((75, 76, 77, 78), "unsigned"),
}
"""How QuickTime's well-known types are read."""

Box = tuple[bytes, bytes]
"""Name and content."""


def focal_px(path: Path, described: str, size_wh: tuple[int, int]) -> float | None:
    """Return the focal length in pixels of the upright video; None where the file has none.

    Args:
        path: The video.
        described: What ffmpeg prints about it.
        size_wh: Its width and height.
    """
    equivalent_mm = _apple(path) or _tag(described)
    return None if equivalent_mm is None else equivalent_mm / FILM_WIDTH_MM * max(size_wh)


def _tag(described: str) -> float | None:
    found = TAG.search(described)
    return None if found is None else _plausible(lambda: float(found[1]))


def _apple(path: Path) -> float | None:
    """The value of the video track, else the file's."""
    index = _index(path)
    tracks = [track for name, track in _boxes(index) if name == b"trak" and _is_video(track)]
    for holder in (*tracks, index):
        for meta in _metadata(holder):
            value = _value(meta)
            if value is not None:
                return value
    return None


def _index(path: Path) -> bytes:
    """Content of the box `moov`; nothing if there is none."""
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size
        for _ in range(MOST_BOXES):
            head = file.read(8)
            if len(head) < 8:
                break
            size, used = int.from_bytes(head[:4], "big"), 8
            if size == 1:
                size, used = int.from_bytes(file.read(8), "big"), 16
            if head[4:] == b"moov":
                return file.read(size - used) if used <= size <= MOST_BYTES else b""
            if not used <= size <= left:
                break
            file.seek(size - used, 1)
            left -= size
    return b""


def _boxes(content: bytes) -> Iterator[Box]:
    """The boxes that a box holds."""
    place = 0
    for _ in range(MOST_BOXES):
        size = int.from_bytes(content[place : place + 4], "big")
        if size < 8 or place + size > len(content):
            return
        yield content[place + 4 : place + 8], content[place + 8 : place + size]
        place += size


def _inner(content: bytes, *path: bytes) -> bytes:
    """Content of the first box of these names, one within the other."""
    for name in path:
        content = next((inner for found, inner in _boxes(content) if found == name), b"")
    return content


def _is_video(track: bytes) -> bool:
    return _inner(track, b"mdia", b"hdlr")[8:12] == b"vide"


def _metadata(holder: bytes) -> Iterator[bytes]:
    """The boxes `meta` of a file or track; those of MP4 begin with a version."""
    for path in ((b"meta",), (b"udta", b"meta")):
        meta = _inner(holder, *path)
        yield meta
        yield meta[4:]


def _value(meta: bytes) -> float | None:
    """The focal length among the items of a box `meta`."""
    names = [name for _, name in _boxes(_inner(meta, b"keys")[8:])]
    if APPLE not in names:
        return None
    number = (names.index(APPLE) + 1).to_bytes(4, "big")
    data = _inner(meta, b"ilst", number, b"data")
    kind, value = NUMBERS.get(int.from_bytes(data[:4], "big")), data[8:]
    if kind == "text":
        return _plausible(lambda: float(value.decode("ascii")))
    if kind in ("signed", "unsigned"):
        return _plausible(lambda: float(int.from_bytes(value[:8], "big", signed=kind == "signed")))
    return None if kind is None else _plausible(lambda: float(struct.unpack(kind, value)[0]))


def _plausible(read: Callable[[], float]) -> float | None:
    try:
        value = read()
    except (ValueError, struct.error):
        return None
    low, high = PLAUSIBLE_MM
    return value if low <= value <= high else None
