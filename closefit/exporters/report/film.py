"""The video of the page: input and overlay from `overlay.mp4`, small enough to be sent by mail."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closefit import ffmpeg, video
from closefit.errors import ArtifactDamagedError, InputError
from closefit.exporters.overlay import WIDE

FRAME_BYTES, MAX_BYTES = 7_000, 8_000_000
"""At most so much for a frame, and in all."""

MAX_HEIGHT_PX = 480
KEY_FRAMES = 8
"""One frame in so many can be reached without decoding others: scrubbing stays quick."""


def front_panels(run: Mapping[str, Any]) -> str:
    """Return ffmpeg's filter for the two panels of a run's overlay that look through the camera."""
    width, height = (run.get("video", {}).get(side, 1) for side in ("width", "height"))
    return "crop=iw:ih/2:0:0" if width > WIDE * height else "crop=iw/2:ih:0:0"


def film_of(overlay: Path, crop: str, stride: int) -> bytes:
    """Return a small H.264 file of every `stride`-th frame.

    Raises:
        ArtifactDamagedError: The overlay cannot be read.
    """
    hint = f"run `closefit stage export {overlay.parent}` to write it again"
    try:
        info = video.probe(overlay)
    except InputError as error:
        raise ArtifactDamagedError(f"`{overlay}` cannot be read", hint) from error
    frames = -(-info.num_frames // stride)
    per_frame = min(FRAME_BYTES, MAX_BYTES // frames)
    kilobits = max(8 * per_frame * info.fps / stride / 1000, 50)
    filters = f"{crop},framestep={stride},scale=-2:'min({MAX_HEIGHT_PX},2*trunc(ih/2))'"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        arguments = [
            *ffmpeg.input_of(overlay),
            *("-an", "-vf", filters, "-c:v", "libx264", "-preset", "veryfast", "-crf", "24"),
            *("-maxrate", f"{kilobits:.0f}k", "-bufsize", f"{kilobits:.0f}k", "-bf", "0"),
            *("-g", str(KEY_FRAMES), "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)),
        ]
        done = ffmpeg.run(arguments)
        if done.returncode:
            reason = ffmpeg.last_line(done.stderr.decode(errors="replace"))
            raise ArtifactDamagedError(f"`{overlay}` cannot be read: {reason}", hint)
        return path.read_bytes()
