"""The ffmpeg program of `imageio-ffmpeg`: how it is called, and what it may open."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

CONTAINERS = (
    "mov,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegtsraw,mpegvideo,m4v,h264,hevc,av1,obu,ivf,ogg,mxf,"
    "dv,nut,gif,apng,rm,wtv,mjpeg,swf,yuv4mpegpipe,nsv,bink,roq,vc1,png_pipe,jpeg_pipe,webp_pipe,"
    "bmp_pipe,tiff_pipe,wav,mp3,flac,aac,ac3,aiff,amr,caf,w64"
)
"""What ffmpeg may take a file for. Playlists (concat, HLS, DASH) would open other files."""


@contextmanager
def decoder(arguments: Sequence[str]) -> Iterator[IO[bytes]]:
    """Run ffmpeg and hand out its output; it ends with the block, however that is left."""
    silent = subprocess.DEVNULL
    with subprocess.Popen(command(arguments), stdout=subprocess.PIPE, stderr=silent) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def run(arguments: Sequence[str], verbosity: str = "error") -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end."""
    return subprocess.run(command(arguments, verbosity), capture_output=True, check=False)


def command(arguments: Sequence[str], verbosity: str = "error") -> list[str]:
    """The whole command line."""
    return [program(), "-hide_banner", "-nostdin", "-v", verbosity, *arguments]


def input_of(path: Path | str) -> list[str]:
    """Name a file that ffmpeg reads: only as a container of video or sound, never as a playlist."""
    return ["-format_whitelist", CONTAINERS, "-protocol_whitelist", "file", "-i", url(path)]


def url(path: Path | str) -> str:
    """Name a file for ffmpeg, to which `10:32.mp4` would be a protocol."""
    return f"file:{path}"


def program() -> str:
    """Path of the ffmpeg program."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def last_line(text: str) -> str:
    """What ffmpeg gives as its reason: the end of its messages."""
    return (text.strip().splitlines() or ["ffmpeg gave no reason"])[-1].strip()
