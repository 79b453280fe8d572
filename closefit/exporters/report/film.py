"""The video of the page: what of `overlay.mp4` the camera sees, small enough to be sent by mail."""

import math
import tempfile
from pathlib import Path

from closefit import ffmpeg, video
from closefit.boundary.refusals import word
from closefit.errors import ArtifactDamagedError, InputError
from closefit.storage.workspace import Workspace

MAX_FRAMES = 1800
"""A longer clip shows every second, third, ... frame."""

FRAME_BYTES, SECOND_BYTES, MAX_BYTES = 7_000, 210_000, 8_000_000
"""At most so much for a frame, for a second, and in all."""

MAX_HEIGHT_PX = 480
KEY_FRAMES = 8
"""One frame in so many can be reached without decoding others: scrubbing stays quick."""


def stride_of(num_frames: int) -> int:
    """Return which of its frames the page of a clip shows: each first, second, third, ..."""
    return max(1, math.ceil(num_frames / MAX_FRAMES))


def film_options(
    num_frames: int, fps: float, view_xywh: tuple[int, int, int, int] | None = None
) -> list[str]:
    """Return ffmpeg's options for a small H.264 file of the frames that the page shows.

    Args:
        num_frames: Length of the clip.
        fps: Its rate.
        view_xywh: Which part of the picture; None for all of it.
    """
    stride = stride_of(num_frames)
    frames = -(-num_frames // stride)
    per_frame, rate = min(FRAME_BYTES, MAX_BYTES // frames), fps / stride
    kilobits = max(8 * min(per_frame * rate, SECOND_BYTES) / 1000, 50)
    filters = [f"framestep={stride}", f"scale=-2:'min({MAX_HEIGHT_PX},2*trunc(ih/2))'"]
    if view_xywh is not None:
        x, y, width, height = view_xywh
        filters.insert(0, f"crop={width}:{height}:{x}:{y}")
    return [
        *("-vf", ",".join(filters), "-crf", "24", "-bf", "0", "-g", str(KEY_FRAMES)),
        *("-maxrate", f"{kilobits:.0f}k", "-bufsize", f"{kilobits:.0f}k"),
    ]


def film_of(workspace: Workspace) -> bytes | None:
    """Return the film that `export` wrote beside the overlay; None where there is no overlay.

    Where only the overlay is left, all of it is taken.

    Raises:
        ArtifactDamagedError: The overlay cannot be read.
    """
    if not workspace.overlay.is_file():
        return None
    if workspace.film.is_file():
        return workspace.film.read_bytes()
    return _shrunk(workspace.overlay)


def _shrunk(overlay: Path) -> bytes:
    hint = f"run `closefit stage export {word(overlay.parent)}` to write it again"
    try:
        info = video.probe(overlay)
    except InputError as error:
        raise ArtifactDamagedError(f"`{overlay}` cannot be read", hint) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        options = [*film_options(info.num_frames, info.fps), *video.H264]
        done = ffmpeg.run([*ffmpeg.input_of(overlay), "-an", *options, str(path)])
        if done.returncode:
            reason = ffmpeg.last_line(done.stderr.decode(errors="replace"))
            raise ArtifactDamagedError(f"`{overlay}` cannot be read: {reason}", hint)
        return path.read_bytes()
