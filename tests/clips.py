"""Makes small real video files, in which every picture shows its own number."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from closefit import ffmpeg

BITS = 8


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """Vertical stripes: black and white for the bits of `number`, a grey ramp down each."""
    bits = (number >> np.arange(BITS)) & 1
    stripes = bits[np.arange(width) * BITS // width] * 160 + 40
    ramp = np.linspace(0, 40, height)[:, None]
    return np.repeat((stripes[None] + ramp)[..., None], 3, axis=2).astype(np.uint8)


def number_in(picture: np.ndarray) -> int:
    """Read the number back."""
    width = picture.shape[1]
    centres = (np.arange(BITS) + 0.5) * width / BITS
    values = picture[:, centres.astype(int)].mean(axis=(0, 2))
    return int(((values > 140) << np.arange(BITS)).sum())


def make_video(
    path: Path,
    frames: int = 30,
    size: tuple[int, int] = (96, 64),
    fps: float = 30.0,
    *,
    audio: bool = False,
    options: Sequence[str] = (),
) -> Path:
    """Write `frames` numbered pictures; the file's suffix chooses the format."""
    width, height = size
    # YUV 4:4:4 keeps odd sizes, which 4:2:0 cannot hold.
    odd = width % 2 or height % 2
    sound = ("-f", "lavfi", "-i", f"sine=duration={frames / fps:.3f}") if audio else ()
    arguments = [
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps)),
        *("-i", "-", *sound, "-pix_fmt", "yuv444p" if odd else "yuv420p"),
        *options,
        str(path),
    ]
    pictures = (numbered_picture(number, width, height).tobytes() for number in range(frames))
    run_ffmpeg(arguments, b"".join(pictures))
    return path


def remux(source: Path, path: Path, before: Sequence[str] = (), after: Sequence[str] = ()) -> Path:
    """Copy the streams of `source` into another file without encoding again."""
    run_ffmpeg([*before, "-i", str(source), "-c", "copy", *after, str(path)])
    return path


def make_audio(path: Path) -> Path:
    """Write one second of sound without pictures."""
    run_ffmpeg(["-f", "lavfi", "-i", "sine=duration=1", str(path)])
    return path


def cut_short(source: Path, path: Path, share: float = 0.5) -> Path:
    """Keep the first part of a file's bytes."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def run_ffmpeg(arguments: Sequence[str], stdin: bytes = b"") -> None:
    command = [ffmpeg.program(), "-v", "error", "-y", *arguments]
    subprocess.run(command, input=stdin, check=True, capture_output=True)
