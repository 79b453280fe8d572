"""The day with a GPU, without one: the same parts, tiny, on the CPU."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_dry_run_passes_every_part(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_day.py", "--dry-run", "--work", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    from gpu_day import PARTS

    assert set(parts) == set(PARTS)
    assert not [name for name, found in parts.items() if "error" in found]
    assert parts["optimize"]["8 frames, draft"]["steps"] > 0
    assert sum(parts["profile"]["share"].values()) == pytest.approx(1.0, abs=0.01)
    assert "| optimize |" in (tmp_path / "gpu.md").read_text()


def test_a_part_that_fails_or_hangs_stops_no_other(tmp_path: Path) -> None:
    from gpu_day import Day, Part, run_day

    day = Day(tmp_path, dry=True, ends=time.time() + 100)

    def fails(_: Day) -> dict:
        raise SystemExit("this one is broken")

    def works(_: Day) -> dict:
        return {"answer": 42}

    done = run_day(day, {run.__name__: Part(run, 1.0) for run in (fails, works)})
    assert "this one is broken" in done["fails"]["error"]
    assert done["works"]["answer"] == 42
    late = run_day(dataclasses.replace(day, ends=time.time()), {"works": Part(works, 1.0)})
    assert late["works"] == {"error": "no time was left"}


def test_a_part_in_a_process_of_its_own_is_ended_in_time(tmp_path: Path) -> None:
    from gpu_day import Day, _finish

    day = Day(tmp_path, dry=False, ends=time.time() + 100)
    (tmp_path / "sleeps.log").write_text("began\n")
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], text=True, start_new_session=True
    )
    found = _finish("sleeps", day, process, time.time() + 0.1)
    assert found == {"error": "took too long", "log": ["began"]}
    assert process.returncode


def test_wheels_in_parts_come_together_again(tmp_path: Path) -> None:
    import tarfile

    from gpu_day import join, split

    wheel = tmp_path / "package-1-py3-none-any.whl"
    wheel.write_bytes(bytes(range(256)) * 100)
    with tarfile.open(tmp_path / "wheels.tar", "w") as archive:
        archive.add(wheel, wheel.name)
    parts = split(tmp_path / "wheels.tar", 10_000)
    (tmp_path / "wheels.tar").unlink()
    assert len(parts) > 2
    assert all(part.stat().st_size <= 10_000 for part in parts)
    assert (join(tmp_path) / wheel.name).read_bytes() == wheel.read_bytes()
