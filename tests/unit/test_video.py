import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from closefit import ffmpeg, video
from closefit.errors import (
    DiskFullError,
    FileMissingError,
    NoFramesError,
    NotAVideoError,
    NoVideoStreamError,
    OutputFolderError,
    TruncatedVideoError,
)
from tests.clips import (
    cut_short,
    make_audio,
    make_video,
    number_in,
    numbered_picture,
    remux,
    run_ffmpeg,
)

HALF_SPEED = ("-vf", "setpts='if(lt(N,30),N,2*N-30)/30/TB'", "-fps_mode", "vfr")


def numbers(path: Path, start_s: float = 0.0, end_s: float | None = None) -> list[int]:
    return [number_in(picture) for picture in video.frames(video.probe(path), start_s, end_s)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """Seven seconds with sound; long enough for reading to start with a jump."""
    return make_video(folder / "clip.mp4", 210, audio=True, options=["-g", "50"])


def test_probe_returns_the_facts(clip: Path) -> None:
    info = video.probe(clip)
    assert (info.width, info.height, info.num_frames) == (96, 64, 210)
    assert info.fps == 30.0
    assert info.duration_s == 7.0
    assert info.rotation_deg == 0
    assert not info.variable_frame_rate
    assert len(info.content_sha256) == 64


@pytest.mark.parametrize("name", ["10:32.mp4", "http:one.mp4", "-i.mp4", "a b%03d.mp4"])
def test_any_name_is_a_file_to_read_and_to_write(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    here = Path(name)
    here.write_bytes(clip.read_bytes())
    assert numbers(here, 0.0, 0.2) == list(range(6))
    here.unlink()
    video.write(here, iter([numbered_picture(3, 96, 64)] * 4), 30.0)
    assert video.probe(here).num_frames == 4


@pytest.mark.parametrize("suffix", ["mkv", "mov", "ts"])
def test_any_part_of_any_format_has_exactly_its_frames(
    clip: Path, folder: Path, suffix: str
) -> None:
    path = remux(clip, folder / f"same.{suffix}")
    assert video.probe(path).num_frames == 210
    assert video.probe(path).fps == 30.0
    assert numbers(path, 0.0, 0.5) == list(range(15))
    assert numbers(path, 0.4, 1.0) == list(range(12, 30))
    assert numbers(path, 6.1, 6.6) == list(range(183, 198))
    assert numbers(path, 6.8) == list(range(204, 210))


@pytest.mark.parametrize(
    ("suffix", "options"), [("webm", ("-c:v", "libvpx")), ("avi", ()), ("gif", ())]
)
def test_other_codecs(folder: Path, suffix: str, options: tuple[str, ...]) -> None:
    path = make_video(folder / f"other.{suffix}", 30, fps=10.0, options=options)
    assert video.probe(path).fps == pytest.approx(10.0)
    assert numbers(path, 1.0, 1.5) == list(range(10, 15))


def test_a_stream_without_time_stamps_is_read_by_number(clip: Path, folder: Path) -> None:
    path = remux(clip, folder / "raw.h264", after=["-an"])
    info = video.probe(path)
    assert info.num_frames == 210
    start_s, end_s = 40 / info.fps, 50 / info.fps
    assert numbers(path, start_s, end_s) == list(range(40, 50))


def test_frames_hidden_by_an_edit_list_do_not_exist(clip: Path, folder: Path) -> None:
    path = remux(clip, folder / "cut.mp4", before=["-ss", "1.23"])
    shown = numbers(path)
    assert shown == list(range(37, 210))
    assert video.probe(path).num_frames == len(shown)


def test_video_that_starts_after_the_sound_starts_at_zero(clip: Path, folder: Path) -> None:
    path = remux(
        clip,
        folder / "late.mkv",
        before=["-itsoffset", "0.7", "-i", str(clip)],
        after=["-map", "0:v", "-map", "1:a"],
    )
    assert video.frame_times(video.probe(path))[0] == 0.0
    assert numbers(path, 0.4, 1.0) == list(range(12, 30))


def test_variable_rate_keeps_every_frame_and_its_time(folder: Path) -> None:
    path = make_video(folder / "vfr.mp4", 60, options=HALF_SPEED)
    info = video.probe(path)
    assert info.variable_frame_rate
    assert info.num_frames == 60
    expected = np.where(np.arange(60) < 30, np.arange(60), 2 * np.arange(60) - 30) / 30
    np.testing.assert_allclose(video.frame_times(info), expected, atol=1e-4)
    assert numbers(path, 1.0, 2.0) == list(range(30, 45))


def test_ntsc_rate_survives_millisecond_stamps(folder: Path) -> None:
    path = make_video(folder / "ntsc.mkv", 60, fps=30000 / 1001)
    info = video.probe(path)
    assert info.fps == pytest.approx(29.97)
    assert not info.variable_frame_rate


def test_rotation_metadata_is_applied(clip: Path, folder: Path) -> None:
    path = remux(clip, folder / "rotated.mp4", before=["-display_rotation", "90"])
    info = video.probe(path)
    assert (info.width, info.height, info.rotation_deg) == (64, 96, 90)
    picture = next(video.frames(info))
    assert picture.shape == (96, 64, 3)
    assert number_in(np.rot90(picture, -1)) == 0


def test_odd_sizes_and_portrait(folder: Path) -> None:
    path = make_video(folder / "odd.mp4", 10, size=(65, 97))
    info = video.probe(path)
    assert (info.width, info.height) == (65, 97)
    assert next(video.frames(info)).shape == (97, 65, 3)
    assert numbers(path) == list(range(10))


def test_pixels_become_square(folder: Path) -> None:
    path = make_video(folder / "anamorphic.mp4", 5, options=["-aspect", "2:1"])
    info = video.probe(path)
    assert (info.width, info.height) == (128, 64)
    assert next(video.frames(info)).shape == (64, 128, 3)


def test_size_and_crop_are_applied_on_the_way(clip: Path) -> None:
    info = video.probe(clip)
    whole = next(video.frames(info)).astype(float)
    crop = next(video.frames(info, crop_xyxy=(11, 5, 51, 45))).astype(float)
    assert np.abs(crop - whole[5:45, 11:51]).mean() < 2.0
    half = next(video.frames(info, size_wh=(48, 32))).astype(float)
    assert np.abs(half - whole.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))).mean() < 3.0


def test_times_belong_to_the_frames(clip: Path) -> None:
    info = video.probe(clip)
    times = video.frame_times(info, 0.4, 1.0)
    np.testing.assert_allclose(times, np.arange(12, 30) / 30.0, atol=1e-6)
    assert len(list(video.frames(info, 0.4, 1.0))) == len(times)


def test_a_part_without_frames(clip: Path) -> None:
    info = video.probe(clip)
    with pytest.raises(NoFramesError, match=r"no frame between 9 s and its end: it is 7\.00 s"):
        video.frame_times(info, 9.0)
    with pytest.raises(NoFramesError, match=r"between 1\.01 s and 1\.02 s"):
        next(video.frames(info, 1.01, 1.02))


def test_leaving_early_ends_the_decoder(clip: Path) -> None:
    before = _children()
    stream = video.frames(video.probe(clip))
    next(stream)
    assert _children() != before
    stream.close()
    assert _children() == before


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_written_frames_come_back(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    pictures = [numbered_picture(number, width, height) for number in range(12)]
    path = tmp_path / "out.mp4"
    video.write(path, iter(pictures), 25.0)
    info = video.probe(path)
    assert (info.width, info.height) == (width + width % 2, height + height % 2)
    assert (info.fps, info.num_frames) == (25.0, 12)
    assert numbers(path) == list(range(12))
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_writing_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoFramesError, match="no pictures"):
        video.write(tmp_path / "out.mp4", iter([]), 25.0)


def test_a_failed_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")

    def broken():
        yield numbered_picture(0, 64, 48)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        video.write(path, broken(), 25.0)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_writing_into_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputFolderError, match="could not be written"):
        video.write(tmp_path / "nowhere" / "out.mp4", [numbered_picture(0, 64, 48)], 25.0)


def test_writing_to_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tmp_path / "ffmpeg"
    encoder.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdin.buffer.read(10)\n"
        "sys.exit('av_interleaved_write_frame(): No space left on device')\n"
    )
    encoder.chmod(0o755)
    monkeypatch.setattr(ffmpeg, "program", lambda: str(encoder))
    pictures = (numbered_picture(number, 640, 480) for number in range(20))
    with pytest.raises(DiskFullError, match=r"disk is full: .*out\.mp4"):
        video.write(tmp_path / "out.mp4", pictures, 25.0)


class TestBadInput:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileMissingError, match=r"no file `.*nothing\.mp4`"):
            video.probe(tmp_path / "nothing.mp4")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(NotAVideoError, match="is a folder"):
            video.probe(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"hello\n" * 100, bytes(4000)])
    def test_not_a_video(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "text.mp4"
        path.write_bytes(content)
        with pytest.raises(NotAVideoError, match="not a video"):
            video.probe(path)

    def test_sound_only(self, tmp_path: Path) -> None:
        with pytest.raises(NoVideoStreamError, match="sound but no video"):
            video.probe(make_audio(tmp_path / "sound.mp4"))

    def test_sound_with_a_cover_picture(self, tmp_path: Path) -> None:
        cover = make_video(tmp_path / "cover.png", 1)
        sound = make_audio(tmp_path / "sound.mp3")
        song = tmp_path / "song.mp3"
        run_ffmpeg(
            [
                *("-i", str(sound), "-i", str(cover), "-map", "0", "-map", "1"),
                *("-c", "copy", "-disposition:v", "attached_pic", str(song)),
            ]
        )
        with pytest.raises(NoVideoStreamError, match="sound but no video"):
            video.probe(song)

    def test_no_frames(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.avi"
        run_ffmpeg(["-f", "lavfi", "-i", "color=s=64x48", "-frames:v", "0", str(path)])
        with pytest.raises(NoFramesError, match="holds no frame"):
            video.probe(path)

    def test_index_cut_off(self, clip: Path, tmp_path: Path) -> None:
        with pytest.raises(TruncatedVideoError, match="cut off: its index"):
            video.probe(cut_short(clip, tmp_path / "half.mp4"))

    @pytest.mark.parametrize(
        ("suffix", "options"), [("mp4", ("-movflags", "+faststart")), ("mkv", ())]
    )
    def test_pictures_cut_off(
        self, clip: Path, tmp_path: Path, suffix: str, options: tuple[str, ...]
    ) -> None:
        whole = remux(clip, tmp_path / f"whole.{suffix}", after=options)
        half, kept = cut_short(whole, tmp_path / f"half.{suffix}"), tmp_path / f"kept.{suffix}"
        with pytest.raises(TruncatedVideoError, match=r"pictures end after \d+\.\d\d s") as refused:
            video.probe(half)
        command = re.search("`ffmpeg (.*)`", refused.value.hint)  # the advice works
        assert command is not None
        run_ffmpeg(command[1].replace("INPUT", str(half)).replace("OUTPUT.mp4", str(kept)).split())
        assert 1 <= video.probe(kept).num_frames < video.probe(whole).num_frames

    def test_pictures_that_cannot_be_decoded(self, clip: Path, tmp_path: Path) -> None:
        whole = remux(clip, tmp_path / "whole.mp4", after=["-movflags", "+faststart", "-an"])
        content = bytearray(whole.read_bytes())
        start = content.index(b"mdat") + len(content) // 3
        content[start:] = bytes(len(content) - start)
        path = tmp_path / "zeros.mp4"
        path.write_bytes(content)
        with pytest.raises(TruncatedVideoError, match="cannot be decoded beyond frame"):
            list(video.frames(video.probe(path)))


def test_no_terminal_input_is_taken(clip: Path) -> None:
    """A decoder that reads the terminal would eat the user's typing."""
    code = f"from closefit import video; video.probe(__import__('pathlib').Path({str(clip)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code + "; print(input())"],
        input="typed\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "typed"
