"""100 fixed cases of the campaign: no traceback, crash, hang, bomb, wrong result or left-over."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.campaign import forkserver

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fixed_cases(tmp_path: Path) -> None:
    """After each kind of input in turn without any rights."""
    if shutil.which("unshare") is None:
        pytest.skip("needs Linux")
    command = [sys.executable, "-m", "benchmarks.campaign", "--light", "--cases", "100", "--locked"]
    done = subprocess.run(
        [*command, "--jobs", "1", "--fresh", "0", "--seed", "7", "--out", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    locked = [line.split("\t")[2] for line in done.stdout.splitlines() if line.count("\t") == 3]
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 100 cases in" in done.stdout
    assert len(locked) > 15
    assert set(locked) == {"clean error"}


def test_a_case_is_alone(tmp_path: Path) -> None:
    """It cannot write but in its folder, reach no network, and read nothing without the rights."""
    if not forkserver.can_isolate():
        pytest.skip("this machine lets no process have namespaces of its own")
    mine, outside = tmp_path / "case", tmp_path / "outside"
    mine.mkdir()
    outside.write_text("")
    (mine / "locked").touch(mode=0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempts = (
            lambda: (mine / "written").write_text("x"),
            lambda: outside.write_text("x"),
            lambda: (mine / "locked").read_bytes(),
            lambda: socket.create_connection(server.getsockname(), timeout=5).close(),
        )
        child = os.fork()
        if child == 0:
            done = 0
            try:
                forkserver.isolate(mine)
                forkserver.obey_permissions()
                for number, attempt in enumerate(attempts):
                    try:
                        attempt()
                    except OSError:
                        continue
                    done |= 1 << number
            finally:
                os._exit(done)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0b0001
    assert outside.read_text() == ""
