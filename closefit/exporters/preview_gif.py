"""`preview.gif`: three seconds of the overlay, small enough for a chat or a README."""

import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from closefit import ffmpeg
from closefit.boundary.refusals import word
from closefit.errors import ArtifactDamagedError
from closefit.storage.artifacts import atomic_write

LENGTH_S = 3.0
MAX_BYTES = 3_000_000
GIF_FPS = 12.5
SIDES_PX = (480, 400, 320, 240, 160)
"""Longer side; the first with which the file is small enough is taken."""

COLOURS = 128
NEARNESS_WEIGHT = 1e-3
"""Without contact, and among stretches with as much of it, the one with nearer people is taken."""


def best_stretch(
    touching: Bool[np.ndarray, " frame"], gap_m: Float[np.ndarray, " frame"], fps: float
) -> range:
    """Return three seconds of a clip in which the two touch most.

    `gap_m` is the distance between them in each frame.
    """
    length = min(len(touching), max(1, round(LENGTH_S * fps)))
    worth = touching + NEARNESS_WEIGHT / (1.0 + gap_m)
    sums = np.convolve(worth, np.ones(length), mode="valid")
    first = int(np.argmax(np.round(sums, 6)))
    return range(first, first + length)


def write_preview_gif(
    path: Path, overlay: Path, view_xywh: tuple[int, int, int, int], frames: range, fps: float
) -> None:
    """Write frames of a part of `overlay` as a GIF that repeats, all or nothing.

    Raises:
        ArtifactDamagedError: The overlay cannot be read.
        DiskFullError: The disk is full.
    """
    x, y, width, height = view_xywh
    rate = min(fps, GIF_FPS) if len(frames) >= fps else fps
    counted = "diff" if len(frames) > 1 else "full"  # one frame differs from nothing
    with tempfile.TemporaryDirectory() as folder:
        gif = Path(folder) / "preview.gif"
        for side in SIDES_PX:
            scale = min(1.0, side / max(width, height))
            size = f"{max(1, round(width * scale))}:{max(1, round(height * scale))}"
            filters = (
                f"crop={width}:{height}:{x}:{y},fps={rate:.6f},"
                f"scale={size}:flags=area,split[a][b];"
                f"[a]palettegen=max_colors={COLOURS}:stats_mode={counted}[colours];"
                "[b][colours]paletteuse=dither=bayer:bayer_scale=5:diff_mode=rectangle"
            )
            done = ffmpeg.run(
                [
                    *("-y", "-ss", f"{max(0.0, frames.start - 0.5) / fps:.6f}"),
                    *("-t", f"{len(frames) / fps:.6f}", *ffmpeg.input_of(overlay)),
                    *("-filter_complex", filters, "-loop", "0", str(gif)),
                ]
            )
            if done.returncode:
                reason = ffmpeg.last_line(done.stderr.decode(errors="replace"))
                hint = f"run `closefit stage export {word(overlay.parent)}` to write it again"
                raise ArtifactDamagedError(f"`{overlay}` cannot be read: {reason}", hint)
            if gif.stat().st_size <= MAX_BYTES:
                break
        with atomic_write(path) as file:
            file.write(gif.read_bytes())
