"""`run --offline` opens no socket: the kernel ends a process that tries to."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import make_video
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

GUARDED = """
import ctypes, platform, struct, sys
SOCKET, MACHINE = {"x86_64": (41, 0xC000003E), "aarch64": (198, 0xC00000B7)}[platform.machine()]
def instruction(code, yes, no, value):
    return struct.pack("HBBI", code, yes, no, value)
filter_program = b"".join([
    instruction(0x20, 0, 0, 4), instruction(0x15, 0, 3, MACHINE),  # of this machine?
    instruction(0x20, 0, 0, 0), instruction(0x15, 0, 1, SOCKET),   # a call of socket()?
    instruction(0x06, 0, 0, 0x80000000), instruction(0x06, 0, 0, 0x7FFF0000),  # end it; allow
])
code = ctypes.create_string_buffer(filter_program, len(filter_program))
program = struct.pack("HxxxxxxP", 6, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
"""
PROGRAM = f"{GUARDED}\nfrom closefit.cli.main import main\nmain()"
ENDED_BY_THE_KERNEL = -31


def guarded(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)


def test_the_guard_sees_a_socket() -> None:
    attempt = guarded(f"{GUARDED}\nimport socket\nsocket.socket()")
    assert attempt.returncode == ENDED_BY_THE_KERNEL, attempt.stderr


@pytest.mark.parametrize("perception", ["yolo", "lite"])
def test_detectors_that_are_here(tmp_path: Path, shared: Path, perception: str) -> None:
    video = make_video(tmp_path / "clip.mp4", 4, (96, 64))
    found = guarded(
        *(PROGRAM, "run", video, "--out", tmp_path / "out", "--offline"),
        *("--perception", perception, "--weights", shared / "weights"),
    )
    assert found.returncode == 9, found.stderr  # it looked, and there was nobody


def test_detectors_that_are_not_here(tmp_path: Path) -> None:
    video = make_video(tmp_path / "clip.mp4", 4, (96, 64))
    found = guarded(
        *(PROGRAM, "run", video, "--out", tmp_path / "out", "--offline", "--perception", "full")
    )
    assert found.returncode == 5, found.stderr


@pytest.mark.slow
def test_a_whole_run(tmp_path: Path) -> None:
    clip = demo_clip(tmp_path / "clip", 8)
    options = [option for setting in QUICK for option in ("--set", setting)]
    done = guarded(
        *(PROGRAM, "run", clip.video, "--out", tmp_path / "out", "--offline"),
        *("--observations", clip.observations, *options),
    )
    assert done.returncode == 0, done.stderr
