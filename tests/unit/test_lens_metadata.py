"""The focal length that cameras write into real video files, and files that only look like it."""

import struct
from pathlib import Path

import numpy as np
import pytest

from closefit import lens_metadata, video
from tests.clips import make_video

KEY = lens_metadata.APPLE.decode()
WIDTH, HEIGHT = 96, 64
AS_WRITTEN = 26.0 / 36.0 * WIDTH


def box(name: bytes, *content: bytes) -> bytes:
    joined = b"".join(content)
    return struct.pack(">I", 8 + len(joined)) + name + joined


def apple_metadata(value: bytes, kind: int, version: bytes = b"") -> bytes:
    """A box `meta` as phones write it, with another item before the focal length."""
    names = (b"com.apple.quicktime.make", KEY.encode())
    keys = box(b"keys", struct.pack(">II", 0, 2), *(box(b"mdta", name) for name in names))
    make = box(struct.pack(">I", 1), box(b"data", struct.pack(">II", 1, 0), b"Apple"))
    focal = box(struct.pack(">I", 2), box(b"data", struct.pack(">II", kind, 0), value))
    handler = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    return box(b"meta", version, handler, keys, box(b"ilst", make, focal))


def with_box_in_track(path: Path, inner: bytes) -> Path:
    """Add a box to the first track of a file whose index comes last."""
    content = path.read_bytes()
    moov, trak = content.rindex(b"moov") - 4, content.index(b"trak") - 4
    grown = bytearray(content)
    for place in (moov, trak):
        (size,) = struct.unpack_from(">I", grown, place)
        struct.pack_into(">I", grown, place, size + len(inner))
    (size,) = struct.unpack_from(">I", content, trak)
    grown[trak + size : trak + size] = inner
    path.write_bytes(grown)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mov", 4, (WIDTH, HEIGHT))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"26", 1),
        (struct.pack(">h", 26), 21),
        (struct.pack(">q", 26), 74),
        (struct.pack(">B", 26), 75),
        (struct.pack(">f", 26.0), 23),
        (struct.pack(">d", 26.0), 24),
    ],
)
@pytest.mark.parametrize("version", [b"", bytes(4)], ids=["QuickTime", "MP4"])
def test_in_the_video_track(clip: Path, value: bytes, kind: int, version: bytes) -> None:
    found = video.probe(with_box_in_track(clip, apple_metadata(value, kind, version)))
    assert found.focal_px == pytest.approx(AS_WRITTEN)
    assert found.num_frames == 4


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mov", ["-movflags", "use_metadata_tags", "-metadata", f"{KEY}=26"]),
        ("clip.mp4", ["-movflags", "use_metadata_tags", "-metadata", f"{KEY}=26"]),
        ("clip.mkv", ["-metadata", "FocalLengthIn35mmFormat=26 mm"]),
    ],
)
def test_of_the_file(tmp_path: Path, name: str, options: list[str]) -> None:
    path = make_video(tmp_path / name, 4, (WIDTH, HEIGHT), options=options)
    assert video.probe(path).focal_px == pytest.approx(AS_WRITTEN)


def test_of_a_turned_phone(tmp_path: Path) -> None:
    """The longer side is what counts, whichever way up."""
    path = make_video(tmp_path / "clip.mov", 4, (HEIGHT, WIDTH))
    found = video.probe(with_box_in_track(path, apple_metadata(b"26", 1)))
    assert found.focal_px == pytest.approx(AS_WRITTEN)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"", 1), (b"nan", 1), (b"1e300", 1), ("²".encode(), 1), (b"0", 1), (b"-26", 1),
        (b"26", 99), (struct.pack(">f", np.nan), 23), (b"26", 23), (b"\xff" * 8, 74),
    ],
)  # fmt: skip
def test_what_is_no_focal_length_is_left_out(clip: Path, value: bytes, kind: int) -> None:
    assert video.probe(with_box_in_track(clip, apple_metadata(value, kind))).focal_px is None


def test_other_files_have_none(clip: Path) -> None:
    assert video.probe(clip).focal_px is None


def test_damaged_metadata_is_no_error(clip: Path, tmp_path: Path) -> None:
    content = with_box_in_track(clip, apple_metadata(b"26", 1)).read_bytes()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.mov"
    for _ in range(300):
        changed = bytearray(content)
        start = rng.integers(content.rindex(b"moov") - 4, len(content) - 8)
        changed[start : start + 4] = rng.bytes(4)
        damaged.write_bytes(changed[: rng.integers(start, len(changed))])
        found = lens_metadata.focal_px(damaged, "", (WIDTH, HEIGHT))
        assert found is None or 20.0 < found < 4000.0
