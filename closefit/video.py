"""Video files: facts, frames and new clips, through the ffmpeg program.

Time is counted from the first frame. A video of varying rate is read frame by frame with its real
time stamps, which come from the packets; nothing is dropped or doubled. Pictures are upright and
have square pixels; they stream through a pipe, scaled on the way, and are never all in memory.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float, UInt8

from closefit import ffmpeg, lens_metadata
from closefit.errors import (
    DiskFullError,
    FileMissingError,
    NoFramesError,
    NotAVideoError,
    NoVideoStreamError,
    OutputFolderError,
    TruncatedVideoError,
)
from closefit.records import VideoInfo
from closefit.storage.hashing import sha256_of

Image = UInt8[np.ndarray, "height width 3"]

H264 = (
    *("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"),
    *("-movflags", "+faststart", "-f", "mp4"),
)
"""How ffmpeg encodes every video file."""

DISCARD_FLAG = 0x4
"""Packet flag of frames that are decoded but, by the file's edit list, never shown."""

SEEK_BACK_S = 5.0
"""Seek this far before the requested part: index tables of some formats point a little late."""

MISSING_SHARE = 0.02
"""Share of frames that may fail to decode at the end; the last picture stands in for them."""

STAMP_SLACK_S = 5e-4
"""Formats round time stamps to a millisecond."""

NO_STAMP = -(2**63)
FALLBACK_RATE = 25.0

CONVERT_HINT = "convert it with `ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4` and use that"
COPY_HINT = "copy or download the file again"
REPAIR_HINT = f"{COPY_HINT}, or keep what is there: `ffmpeg -i INPUT -c copy OUTPUT.mp4`"
PART_HINT = f"{COPY_HINT}, or choose an intact part with --end SECONDS"


@dataclass(frozen=True)
class _Demuxed:
    """Facts from the packets of the video stream, without decoding them.

    Attributes:
        times_s: From the first frame on.
        first_s: The file's own time stamp of the first frame; None if the file has no stamps.
        messages: Warnings of ffmpeg.
    """

    times_s: Float[np.ndarray, " frame"]
    first_s: float | None
    messages: str


def probe(path: Path) -> VideoInfo:
    """Return the facts of a video.

    Raises:
        FileMissingError: There is no such file.
        NotAVideoError: ffmpeg cannot read it.
        NoVideoStreamError: It holds sound only.
        NoFramesError: Its video stream is empty.
        TruncatedVideoError: It is shorter than its header states.
    """
    _require_file(path)
    described = _describe(path)
    demuxed = _demuxed(str(path))
    times = demuxed.times_s
    if "partial file" in demuxed.messages or "File ended prematurely" in demuxed.messages:
        raise TruncatedVideoError(
            f"`{path}` is cut off: its pictures end after {times[-1] if len(times) else 0:.2f} s",
            hint=REPAIR_HINT,
        )
    if len(times) == 0:
        raise NoFramesError(f"`{path}` holds no frame", hint="choose another video")
    width, height = _upright_size(path)
    fps = _rate(times, _nominal_rate(described))
    return VideoInfo(
        path=str(path),
        width=width,
        height=height,
        fps=fps,
        num_frames=len(times),
        duration_s=len(times) / fps,
        rotation_deg=_rotation_deg(described),
        variable_frame_rate=bool(np.abs(times - np.arange(len(times)) / fps).max() > 0.5 / fps),
        content_sha256=sha256_of(path),
        focal_px=lens_metadata.focal_px(path, described, (width, height)),
    )


def frame_times(
    info: VideoInfo, start_s: float = 0.0, end_s: float | None = None
) -> Float[np.ndarray, " frame"]:
    """Time stamps of the frames from `start_s` up to, not including, `end_s`, in seconds.

    Raises:
        NoFramesError: There is no frame in this part.
    """
    times = _demuxed(info.path).times_s
    last_s = np.inf if end_s is None else end_s
    chosen = times[(times >= start_s - STAMP_SLACK_S) & (times < last_s - STAMP_SLACK_S)]
    if len(chosen) == 0:
        until = "its end" if end_s is None else f"{end_s:g} s"
        raise NoFramesError(
            f"`{info.path}` has no frame between {start_s:g} s and {until}: it is "
            f"{info.duration_s:.2f} s long",
            hint="choose the part with --start and --end, in seconds",
        )
    return chosen


def frames(
    info: VideoInfo,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    size_wh: tuple[int, int] | None = None,
    crop_xyxy: tuple[int, int, int, int] | None = None,
) -> Iterator[Image]:
    """Yield the upright RGB pictures of a part of a video, one for each of `frame_times`.

    Args:
        info: From `probe`.
        start_s: First moment, in seconds from the first frame.
        end_s: Last moment (not included), or None for all.
        size_wh: Scale to this width and height.
        crop_xyxy: Cut out this part first, in pixels of the upright video.

    Raises:
        NoFramesError: There is no frame in this part.
        TruncatedVideoError: Decoding ends well before the packets do.
    """
    times = frame_times(info, start_s, end_s)
    x0, y0, x1, y1 = crop_xyxy or (0, 0, info.width, info.height)
    width, height = size_wh or (x1 - x0, y1 - y0)
    options, trims = _selection(info, times)
    filters = [
        *trims,
        f"scale={info.width}:{info.height}",  # does nothing unless pixels are not square
        f"crop={x1 - x0}:{y1 - y0}:{x0}:{y0}:exact=1",
        f"scale={width}:{height}:flags=area",
    ]
    arguments = [
        *(*options, *ffmpeg.input_of(info.path), "-map", "0:V:0", "-vf", ",".join(filters)),
        *("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
    ]
    _check_unchanged(info)
    with ffmpeg.decoder(arguments) as stream:
        yield from _pictures(info, stream, (height, width, 3), times)
    _check_unchanged(info)


def _check_unchanged(info: VideoInfo) -> None:
    """Notice that a video was replaced or is still being written.

    Raises:
        NotAVideoError: It is not the one that was probed.
    """
    if sha256_of(Path(info.path)) != info.content_sha256:
        raise NotAVideoError(
            f"`{info.path}` has changed since closefit began to read it",
            hint="run the same command again once the file is complete",
        )


def write(
    path: Path,
    images: Iterable[Image],
    fps: float,
    also: tuple[Path, Sequence[str]] | None = None,
) -> None:
    """Write RGB pictures of one size as an H.264 file; odd sizes are padded to even ones.

    The files appear complete or not at all. `also` is a second file, with ffmpeg's options for it.

    Raises:
        NoFramesError: There are no pictures.
        DiskFullError: The disk is full.
        OutputFolderError: The folder cannot be written to.
    """
    iterator = iter(images)
    first = next(iterator, None)
    if first is None:
        raise NoFramesError(f"there are no pictures to write to `{path}`", hint="check the input")
    height, width, _ = first.shape
    whole = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-crf", "18"]
    outputs = [(path, whole), *([] if also is None else [also])]
    arguments = ["-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    arguments += ["-r", f"{fps:.6f}", "-i", "-"]
    for file, options in outputs:
        arguments += [*options, *H264, ffmpeg.url(_partial(file))]
    try:
        for file, _ in outputs:  # never through a link that somebody has put there
            _partial(file).unlink(missing_ok=True)
        _encode(arguments, first, iterator, path)
        for file, _ in outputs:
            _partial(file).replace(file)
    finally:
        for file, _ in outputs:
            _partial(file).unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".closefit-partial-{path.name}")


def _encode(arguments: Sequence[str], first: Image, rest: Iterator[Image], path: Path) -> None:
    """Feed an encoder; turn its messages into errors about `path`."""
    with tempfile.TemporaryFile() as messages:
        command = ffmpeg.command(arguments)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=messages)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # its messages give the reason
                for image in chain([first], rest):
                    if image.shape != first.shape:
                        raise ValueError(f"frame of shape {image.shape} among {first.shape}")
                    process.stdin.write(np.ascontiguousarray(image))
                process.stdin.close()
            process.wait()
        finally:
            process.kill()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        messages.seek(0)
        text = messages.read().decode(errors="replace")
    if process.returncode == 0:
        return
    if "No space left" in text or "Disk quota exceeded" in text:
        raise DiskFullError(
            f"the disk is full: `{path}` could not be written",
            hint="free some space, then run the same command again",
        )
    raise OutputFolderError(
        f"`{path}` could not be written: {ffmpeg.last_line(text)}",
        hint="choose another folder with --out",
    )


def _pictures(
    info: VideoInfo,
    stream: IO[bytes],
    shape: tuple[int, int, int],
    times: Float[np.ndarray, " frame"],
) -> Iterator[Image]:
    """Cut a raw stream into pictures, as many as there are time stamps."""
    image: Image | None = None
    for number in range(len(times)):
        following: Image = np.empty(shape, dtype=np.uint8)
        if stream.readinto(memoryview(following).cast("B")) == following.nbytes:  # type: ignore[attr-defined]
            image = following
        elif image is None or len(times) - number > max(1, MISSING_SHARE * len(times)):
            raise TruncatedVideoError(
                f"`{info.path}` cannot be decoded beyond frame {number} of {len(times)} "
                f"({times[number]:.2f} s)",
                hint=PART_HINT,
            )
        yield image.copy() if image is not following else image


def _selection(info: VideoInfo, times: Float[np.ndarray, " frame"]) -> tuple[list[str], list[str]]:
    """Input options and filters that keep exactly the frames at `times`.

    Cuts lie just before a frame, so that rounding to any unit of time falls on that frame.
    """
    demuxed = _demuxed(info.path)
    first = int(np.searchsorted(demuxed.times_s, times[0]))
    last = first + len(times)
    if demuxed.first_s is None:
        return [], [f"trim=start_frame={first}:end_frame={last}"]
    before_s = demuxed.first_s + demuxed.times_s[1:] - np.diff(demuxed.times_s) / 4.0
    options, filters = ["-copyts"], []
    if first > 0:
        filters.append(f"trim=start={before_s[first - 1]:.6f}")
    if last < info.num_frames:
        filters.append(f"trim=end={before_s[last - 1]:.6f}")
    if times[0] > SEEK_BACK_S:
        seconds = f"{demuxed.first_s + times[0] - SEEK_BACK_S:.6f}"
        options += ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", seconds]
    return options, filters


def _demuxed(name: str) -> _Demuxed:
    path = Path(name)
    _require_file(path)
    status = path.stat()
    return _demux(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _demux(path: Path, size: int, mtime_ns: int) -> _Demuxed:
    """Read the time stamps of all shown frames; remembered while the file does not change."""
    del size, mtime_ns  # they distinguish the states of a file in the cache
    arguments = [*ffmpeg.input_of(path), "-map", "0:V:0", "-c", "copy"]
    arguments += ["-copyts", "-f", "framecrc", "-"]
    done = ffmpeg.run(arguments, verbosity="warning")
    messages = done.stderr.decode(errors="replace")
    lines = done.stdout.decode().splitlines()
    stamps = np.sort(np.array([stamp for line in lines for stamp in _shown_at(line)], np.int64))
    if NO_STAMP in stamps:
        times = np.arange(len(stamps)) / (_nominal_rate(_describe(path)) or FALLBACK_RATE)
        return _Demuxed(times, None, messages)
    unit = next((line.split()[-1] for line in lines if line.startswith("#tb 0:")), "1/1")
    numerator, denominator = map(int, unit.split("/"))
    seconds = stamps * (numerator / denominator)
    first_s = float(seconds[0]) if len(seconds) else 0.0
    return _Demuxed(seconds - first_s, first_s, messages)


def _shown_at(line: str) -> list[int]:
    """Time stamp of a packet in ffmpeg's list, unless its frame is never shown."""
    if line.startswith("#"):
        return []
    fields = [field.strip() for field in line.split(",")]
    flags = next((int(field[2:], 16) for field in fields if field.startswith("F=")), 0)
    return [] if flags & DISCARD_FLAG else [int(fields[2])]


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise NotAVideoError(f"`{path}` is a folder, not a video", hint="name a video file")
    if not path.is_file():
        raise FileMissingError(f"there is no file `{path}`", hint="check the path of the video")


def _describe(path: Path) -> str:
    """Return ffmpeg's description of a file that has a video stream."""
    text = ffmpeg.run(ffmpeg.input_of(path), verbosity="info").stderr.decode(errors="replace")
    if re.search(r"Stream #\d+:\d+.*: Video: (?!.*\(attached pic\))", text):
        return text
    if "Stream #" in text:
        raise NoVideoStreamError(
            f"`{path}` holds sound but no video", hint="name the file that has the pictures"
        )
    with open(path, "rb") as file:
        begins_like_mp4 = file.read(12)[4:8] == b"ftyp"
    if begins_like_mp4 and "moov atom not found" in text:
        raise TruncatedVideoError(
            f"`{path}` is cut off: its index, which comes last, is missing", hint=COPY_HINT
        )
    raise NotAVideoError(f"`{path}` is not a video that ffmpeg can read", hint=CONVERT_HINT)


def _upright_size(path: Path) -> tuple[int, int]:
    """Decode one frame; width and height after rotation, with square pixels."""
    done = ffmpeg.run(
        [*ffmpeg.input_of(path), "-map", "0:V:0", "-frames:v", "1", "-f", "framecrc", "-"]
    )
    text = done.stdout.decode()
    size = re.search(r"^#dimensions 0: (\d+)x(\d+)", text, re.MULTILINE)
    if size is None or not re.search(r"^0,", text, re.MULTILINE):
        reason = ffmpeg.last_line(done.stderr.decode(errors="replace"))
        raise NotAVideoError(f"`{path}` cannot be decoded: {reason}", hint=CONVERT_HINT)
    aspect = re.search(r"^#sar 0: (\d+)/(\d+)", text, re.MULTILINE)
    wide, high = (int(n) for n in aspect.groups()) if aspect else (1, 1)
    pixel_aspect = wide / high if wide > 0 and high > 0 else 1.0
    return round(int(size[1]) * pixel_aspect), int(size[2])


def _rotation_deg(described: str) -> int:
    """Rotation from the metadata, counter-clockwise, as one of 0, 90, 180, 270."""
    found = re.search(r"rotation of (-?\d+(?:\.\d+)?) degrees", described)
    return round(float(found[1])) % 360 if found else 0


def _nominal_rate(described: str) -> float:
    found = re.search(r"Video: .* ([\d.]+)(k?) tbr", described)
    return float(found[1]) * (1000.0 if found[2] else 1.0) if found else 0.0


def _rate(times: Float[np.ndarray, " frame"], nominal: float) -> float:
    """Frames per second: the header's where the stamps agree with it up to their rounding."""
    if len(times) < 2 or times[-1] <= 0:
        return nominal or FALLBACK_RATE
    mean = float((len(times) - 1) / times[-1])
    rounding = 2.0 * STAMP_SLACK_S / float(times[-1])
    return nominal if abs(nominal / mean - 1.0) <= rounding + 1e-4 else mean
