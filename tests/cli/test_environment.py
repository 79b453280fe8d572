"""The real program where its surroundings are odd: streams, locale, home, threads, a full disk."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from closefit import system
from closefit.models import weights
from closefit.storage.workspace import Workspace
from tests.clips import make_video

PROGRAM = (sys.executable, "-c", "from closefit.cli.main import main; main()")
FRAMES = 8

Finished = subprocess.CompletedProcess[str]


def closefit(*arguments: object, shell: str = '"$@"', **environment: str | None) -> Finished:
    """Call the program in a shell, which may redirect its streams; None unsets a variable."""
    variables = {k: v for k, v in {**os.environ, **environment}.items() if v is not None}
    command = ["bash", "-c", shell, "bash", *PROGRAM, *map(str, arguments)]
    return subprocess.run(
        command, env=variables, capture_output=True, encoding="utf-8", errors="replace", check=False
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video and detections, under a name outside of ASCII."""
    folder = tmp_path_factory.mktemp("clip") / "ü字"
    folder.mkdir()
    make_video(folder / "clip.mp4", FRAMES, (96, 64))
    boxes = np.tile([[20.0, 10, 40, 60], [50, 10, 70, 60]], (FRAMES, 1, 1))
    keypoints = np.full((FRAMES, 2, 17, 3), 0.9)
    keypoints[..., :2] = boxes[:, :, None, :2] + 10
    masks = np.zeros((FRAMES, 64, 96), bool)
    masks[:, 10:60, 20:70] = True
    np.savez(
        folder / "seen.npz",
        boxes=boxes,
        keypoints=keypoints,
        union_masks=np.packbits(masks),
        union_masks_shape=masks.shape,
        width=96,
        height=64,
        fps=30.0,
    )
    return folder


def track(clip: Path, out: Path, **how: str | None) -> Finished:
    options = ("--observations", clip / "seen.npz", "--until", "track", "--set", "device=cpu")
    return closefit("run", clip / "clip.mp4", "--out", out, *options, **how)


@pytest.fixture(scope="module")
def tracked(clip: Path) -> Path:
    done = track(clip, clip / "out")
    assert done.returncode == 0, done.stderr
    return clip / "out"


@pytest.mark.parametrize(
    ("redirected", "exit_code"),
    [
        ('"$@" >&-', 0),
        ('"$@" 2>&-', 0),
        ('"$@" <&- >&- 2>&-', 0),
        ('"$@" >/dev/full', 10),
        ('{ "$@"; echo $? >&2; } | true', 141),
    ],
)
def test_streams_that_are_closed_full_or_not_read(
    tracked: Path, redirected: str, exit_code: int
) -> None:
    done = closefit("status", tracked, shell=redirected)
    code = int(done.stderr.split()[-1]) if "|" in redirected else done.returncode
    assert code == exit_code
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_progress_that_nobody_reads_ends_the_run_as_an_interrupt(
    clip: Path, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    track(clip, tmp_path / "out", shell=f'{{ "$@" 2>&1; echo $? >"{code}"; }} | true')
    assert code.read_text().strip() in ("0", "141")


def test_no_home_no_unicode_no_temporary_folder_and_odd_threads(clip: Path, tmp_path: Path) -> None:
    odd = {"HOME": None, "XDG_CACHE_HOME": None, "TMPDIR": "/nonexistent", "OMP_NUM_THREADS": "4,2"}
    odd |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = track(clip, tmp_path / "ä", **odd)
    assert done.returncode == 0, done.stderr
    assert "on cpu (4 threads)" in done.stderr
    shown = closefit("status", tmp_path / "ä", "--json", **odd)
    assert shown.stdout == closefit("status", tmp_path / "ä", "--json").stdout
    assert '"up_to_date": true' in shown.stdout


def test_a_user_without_a_home_can_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(weights.ConfigError, match="no home folder"):
        weights.download_folder(None)
    assert weights.download_folder("models") == Path("models")
    assert weights.find(weights.PRIOR) is not None


@pytest.mark.parametrize(
    ("text", "threads"),
    [("3", 3), ("4,2", 4), (" 2 ", 2), ("9" * 5, system.MOST_THREADS)]
    + [(text, system.available_cores()) for text in ("", "0", "x", "-1", "9" * 30, "1.5")],
)
def test_numbers_of_threads(text: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert system.num_threads() == threads


@pytest.mark.parametrize("fallocate", [True, False])
def test_allocated_files_keep_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fallocate: bool
) -> None:
    """With the system call, and on systems that lack it."""
    if not fallocate:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    path = tmp_path / "array.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(3, 10**6))
    system.allocate(path)
    array[:, 0] = 7
    array.flush()
    assert path.stat().st_blocks * 512 >= 3 * 10**6
    assert np.load(path).sum() == 21
    (tmp_path / "empty").touch()
    system.allocate(tmp_path / "empty")


def test_signals_and_links_of_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no SIGHUP, no `poll` and no affinity of processes."""
    import importlib
    import select
    import signal

    with monkeypatch.context() as windows:
        windows.delattr(signal, "SIGHUP")
        windows.delattr(os, "O_NOFOLLOW")
        windows.delattr(os, "sched_getaffinity")
        windows.delattr(select, "poll")
        importlib.reload(system)
        assert system.ENDING_SIGNALS == (signal.SIGINT, signal.SIGTERM)
        assert system.NO_LINKS == 0
        assert system.available_cores() == os.cpu_count()
        assert not system.reader_is_gone(1)
    importlib.reload(system)


@pytest.fixture(scope="session")
def small_disk() -> Callable[[Path, int], str]:
    """Shell code that puts a disk of so many KiB at a folder before it runs the program."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no user mount a disk (`unshare -rm` fails)")
    return lambda folder, kib: (
        f'unshare -rm bash -c \'mount -t tmpfs -o size={kib}k none "{folder}" && "$@"; code=$?; '
        f'find "{folder}" -name ".closefit-*"; exit $code\' bash "$@"'
    )


@pytest.mark.parametrize("kib", [4, 16])
def test_a_small_disk_ends_in_a_sentence(
    clip: Path, tmp_path: Path, small_disk: Callable[[Path, int], str], kib: int
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = track(clip, folder / "out", shell=small_disk(folder, kib))
    assert done.returncode == 10, done.stderr
    assert "hint: free some space" in done.stderr
    assert done.stdout == "", "partial files are left"


def test_pixels_that_find_no_room_on_the_disk(
    tmp_path: Path, small_disk: Callable[[Path, int], str]
) -> None:
    """A mapped file with holes would end the process with a bus error at the first write."""
    program = (
        "import sys, pathlib\n"
        "from closefit.errors import disk_full_guard, DiskFullError\n"
        "from closefit.stages.crops import _new_on_disk\n"
        "try:\n"
        "    with disk_full_guard('crops'):\n"
        "        _new_on_disk(pathlib.Path(sys.argv[-1]) / 'a.npy', (100, 100, 100))[:] = 1\n"
        "except DiskFullError as error:\n"
        "    sys.exit(error.exit_code)\n"
    )
    command = ["bash", "-c", small_disk(tmp_path, 500), "bash", sys.executable, "-c", program]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 10, done.stderr
    assert not Workspace(tmp_path).artifacts.exists()
