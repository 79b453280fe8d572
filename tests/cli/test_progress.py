"""What a user sees of work that is on its way, and what a shell completes."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from closefit.cli.console import Console
from closefit.events import ALL_FILES, Transferred

MB = 1_000_000
PROGRAM = "from closefit.cli.main import main; main()"


def test_without_a_terminal_a_line_per_file_and_per_tenth(capsys) -> None:
    with Console().progress() as emit:
        for done in range(11):
            emit(Transferred("a.bin", done * MB, 10 * MB))
            emit(Transferred(ALL_FILES, done * MB, 20 * MB))
        emit(Transferred("b.bin", 3 * MB, None))
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("a.bin: 10.0 of 10.0 MB") == 1
    totals = [line for line in lines if line.startswith("all files: ")]
    assert totals == [f"all files: {done}.0 of 20.0 MB" for done in (2, 4, 6, 8, 10)]
    assert len(lines) == len(totals) + 1


def test_on_a_terminal_a_bar_per_file_in_bytes() -> None:
    script = (
        "from closefit.cli.console import Console\n"
        "from closefit.events import ALL_FILES, Transferred\n"
        "with Console().progress() as emit:\n"
        "    emit(Transferred('a.bin', 3_000_000, 10_000_000))\n"
        "    emit(Transferred(ALL_FILES, 3_000_000, 20_000_000))\n"
        "    emit(Transferred('b.bin', 5, 5))\n"
    )
    shown = on_a_terminal(script, 100)
    assert "3.0/10.0 MB" in shown
    assert "3.0/20.0 MB" in shown


def on_a_terminal(script: str, columns: int) -> str:
    """What a Python script writes to a terminal of this width."""
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment |= {"TERM": "xterm", "COLUMNS": str(columns)}
    ours, theirs = pty.openpty()
    result = subprocess.run([sys.executable, "-c", script], stderr=theirs, env=environment)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert result.returncode == 0
    return shown


@pytest.mark.parametrize(
    ("columns", "verbose"), [(60, False), (60, True), (80, False), (110, True)]
)
def test_a_stage_has_one_live_line_that_fits(columns: int, verbose: bool) -> None:
    script = (
        "import time\n"
        "from closefit.cli.console import Console\n"
        "from closefit.events import StageFinished, StageStarted, Step\n"
        f"with Console().progress({verbose}) as emit:\n"
        "    emit(StageStarted('optimize', 'missing', 'cpu'))\n"
        "    time.sleep(0.15)\n"
        "    terms = {f'loss term {number}': 123.456 for number in range(9)}\n"
        "    for done in range(1, 9):\n"
        "        time.sleep(0.15)\n"
        "        emit(Step('optimize', 1200 + done, 12345, terms))\n"
        "    emit(StageFinished('optimize', 'out/optimize.npz', 1.2))\n"
    )
    shown = on_a_terminal(script, columns)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    drawn = [line for line in re.split(r"[\r\n]+", plain) if "12345" in line]
    assert all(len(line.rstrip()) <= columns for line in drawn)
    assert re.fullmatch(r"optimize\s+\S+\s+120\d/12345\s+\S+ left.*", drawn[-1].strip())
    assert ("loss term 0" in drawn[-1]) == (columns == 110)
    assert "?" not in plain
    assert all(re.search(r"\d\d left", line) for line in plain.split("\r") if " left" in line)
    assert "\x1b[1A" not in shown  # never a second line
    assert "optimize  done in 0:01" in plain


@pytest.mark.parametrize("columns", [60, 80])
def test_what_a_run_found_is_not_cut_within_words(tmp_path: Path, columns: int) -> None:
    run = {"quality": {"optimize": {"optimize_status": "step limit"}}}
    script = (
        "from pathlib import Path\n"
        "from closefit.cli.console import Console\n"
        f"Console().run_finished(Path({str(tmp_path)!r}), {run}, as_json=False, exported=True)\n"
    )
    lines = on_a_terminal(script, columns).split("\r\n")[1:]
    told = next(number for number, line in enumerate(lines) if line.startswith("  doubtful "))
    assert all(len(line) <= columns for line in lines)
    assert "reached its step limit before it settled" in " ".join(
        line.strip() for line in lines[told : told + 3]
    )


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        ("closefit sta", {"stage", "status"}),
        ("closefit stage ", {"track", "init", "optimize", "export"}),
        ("closefit run video.mp4 --preset d", {"draft", "default"}),
    ],
)
def test_the_shell_completes(words: str, answers: set[str]) -> None:
    asked = {
        "_CLOSEFIT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | asked, capture_output=True, text=True
    )
    assert set(result.stdout.split()) == answers, result.stderr


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_a_shell_without_completion_is_named(
    invoke, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: None)
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: None, raising=False)
    failed = invoke(option)
    assert failed.exit_code == 4
    assert "error: this shell has no completion" in failed.stderr


def test_completion_that_cannot_be_set_up_ends_in_a_sentence(tmp_path: Path) -> None:
    home = tmp_path / "a file"
    home.write_text("")
    # Otherwise Typer looks for the shell that the tests were started from, which may be any.
    shell_as_named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--install-completion", "bash"],
        env=os.environ | shell_as_named | {"HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 3
    assert "cannot be used" in result.stderr
    assert "Traceback" not in result.stderr
