"""What a user sees of files that are on their way."""

import os
import pty
import subprocess
import sys

from closefit.cli.console import Console
from closefit.events import ALL_FILES, Transferred

MB = 1_000_000


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
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, stderr=theirs, env={**environment, "TERM": "xterm"})
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert result.returncode == 0
    assert "3.0/10.0 MB" in shown
    assert "3.0/20.0 MB" in shown
