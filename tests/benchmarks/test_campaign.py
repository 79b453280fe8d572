"""300 fixed cases of the campaign: no traceback, crash, hang, bomb, wrong result or left-over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fixed_cases(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.campaign", "--light", "--cases", "300"]
    done = subprocess.run(
        [*command, "--jobs", "1", "--fresh", "0", "--seed", "7", "--out", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 300 cases in" in done.stdout
