"""Signals through the real program: what it saves, and the exit code from the first moment on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from closefit.events import ignore
from closefit.interruption import InOrder, Interrupted
from closefit.pipeline import runner
from closefit.pipeline.runner import Selection
from closefit.settings import build_config
from closefit.storage.workspace import Workspace
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

PROGRAM = (sys.executable, "-c", "from closefit.cli.main import main; main()")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that is done as far as `init`."""
    folder = tmp_path_factory.mktemp("begun")
    clip = demo_clip(folder / "clip", 8)
    given = (*QUICK, "optimize.passes=200", f"track.observations={clip.observations}")
    config = build_config(assignments=given)
    runner.run(clip.video, folder / "out", config, ignore, Selection(last="init"))
    return folder


@pytest.fixture
def optimizing(begun: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `run` without any setting, and wait until a step of `optimize` is done."""

    def begin(out: Path) -> subprocess.Popen[str]:
        if not out.exists():
            shutil.copytree(begun / "out", out)
        process = start("run", begun / "clip" / "video.mp4", "--out", out, "--set", "device=cpu")
        assert process.stderr is not None
        for line in process.stderr:
            if "LPIPS is off" in line:  # the last message before the first step
                break
        return process

    return begin


@pytest.mark.slow
def test_each_interrupt_saves_what_was_done(optimizing, tmp_path: Path) -> None:
    steps = []
    for number in (signal.SIGINT, signal.SIGTERM):
        process = optimizing(tmp_path / "out")
        time.sleep(0.5)
        process.send_signal(number)
        _, printed = process.communicate(timeout=120)
        assert process.returncode == 128 + number, printed
        assert "stopped; run the same command again" in printed
        assert "Traceback" not in printed
        (saved,) = [line for line in printed.splitlines() if line.startswith("note: saved at step")]
        steps.append(int(saved.split()[4]))
        run = Workspace(tmp_path / "out").read_run()
        assert run["status"] == "interrupted"
        assert run["settings"]["optimize.passes"] == 200
    assert sorted(set(steps)) == steps, "a later run did not go on from an earlier one"
    assert not list((tmp_path / "out").rglob("crop_*"))


def test_a_second_signal_ends_a_held_block_at_once() -> None:
    program = (
        "import os, signal\n"
        "from closefit import interruption\n"
        "interruption.install()\n"
        "with interruption.InOrder(), interruption.Held():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('held', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('survived', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 130
    assert done.stdout == b"held\n"
    assert b"once more stops at once" in done.stderr


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_modules_are_imported(number: int) -> None:
    """Handlers come first: each line of the program's own code after them may be interrupted."""
    program = (
        "import os, signal, sys, builtins\n"
        "real, left = builtins.__import__, int(sys.argv.pop())\n"
        "def imported(*arguments, **named):\n"
        "    global left\n"
        f"    if left == 0 and signal.getsignal({number}) != signal.SIG_DFL:\n"
        f"        os.kill(os.getpid(), {number})\n"
        "    left -= 1\n"
        "    return real(*arguments, **named)\n"
        "from closefit.cli.main import main\n"
        "builtins.__import__ = imported\n"
        "main()\n"
    )
    for place in (0, 300, 1500):
        command = [sys.executable, "-c", program, "status", "nothing", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 128 + number, done.stderr
        assert done.stderr.splitlines()[-1].startswith("stopped")
        assert "Traceback" not in done.stderr


def test_an_interrupt_before_the_handlers_prints_no_traceback() -> None:
    """Sent by the first import of the program after its first line."""
    program = (
        "import os, signal, sys\n"
        "class Sender:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'closefit.interruption':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Sender())\n"
        "from closefit.cli.main import main\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert done.stderr == b""


def test_an_ignored_signal_stays_ignored() -> None:
    """As under `nohup`."""
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from closefit import interruption\n"
        "interruption.install()\n"
        "with interruption.InOrder(), interruption.Held():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_held_signal_takes_effect_at_the_end_of_its_block() -> None:
    program = (
        "import os, signal\n"
        "from closefit.interruption import Held\n"
        "try:\n"
        "    with Held() as held:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print(held.came)\n"
        "except KeyboardInterrupt:\n"
        "    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [b"True", b"True"]


def test_an_error_after_a_signal_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Native modules turn an interrupt of their import into an ImportError."""
    monkeypatch.setattr("closefit.interruption._State.received", signal.SIGTERM)
    with pytest.raises(Interrupted) as error, InOrder():
        raise ImportError
    assert error.value.exit_code == 143
