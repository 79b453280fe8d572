"""The day with a GPU, without one: the same parts, tiny, on the CPU."""

import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_dry_run_passes_every_part(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_day.py", "--dry-run", "--work", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    from gpu_day import PARTS

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert set(parts) == set(PARTS)
    assert not [name for name, found in parts.items() if "error" in found]
    assert parts["optimize"]["8 frames, draft"]["steps"] > 0
    assert sum(parts["profile"]["share"].values()) == pytest.approx(1.0, abs=0.01)
    assert parts["optimize"]["8 frames, draft, compiled"]["steps"] > 0
    assert parts["perceive"].keys() >= {"YOLO", "ViTPose", "SAM 2.1"}
    assert parts["whole"].keys() >= {"track", "init", "optimize", "export"}
    assert parts["profile"]["waits"] == []
    assert "| optimize |" in (tmp_path / "gpu.md").read_text()
    # Less than a minute on two cores, twice that where the rasteriser has to be compiled first.
    assert after.ru_utime - before.ru_utime < 120.0


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

    from gpu_pack import join, split

    wheel = tmp_path / "package-1-py3-none-any.whl"
    wheel.write_bytes(bytes(range(256)) * 100)
    with tarfile.open(tmp_path / "wheels.tar", "w") as archive:
        archive.add(wheel, wheel.name)
    parts = split(tmp_path / "wheels.tar", 10_000)
    (tmp_path / "wheels.tar").unlink()
    assert len(parts) > 2
    assert all(part.stat().st_size <= 10_000 for part in parts)
    assert (join(tmp_path) / wheel.name).read_bytes() == wheel.read_bytes()


def test_a_part_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    import gpu_pack

    parts, there = tmp_path / "parts", tmp_path / "there"
    parts.mkdir()
    for number in range(3):
        (parts / f"wheels.{number:03d}").write_bytes(bytes([number]) * 10)
    sums = {part.name: gpu_pack._sha256(part) for part in sorted(parts.iterdir())}
    (parts / gpu_pack.CONTENTS).write_text(json.dumps(sums))
    for name in ("wheels.000", "wheels.002", gpu_pack.CONTENTS):
        gpu_pack.store(there, parts / name)
    (there / "wheels.002").write_bytes(b"cut short")
    assert gpu_pack.missing(there) == ["wheels.001", "wheels.002"]
    with pytest.raises(SystemExit, match="--store them again"):
        gpu_pack.install(there, tmp_path)
    for name in sums:
        gpu_pack.store(there, parts / name)
    assert gpu_pack.missing(there) == []


def test_parts_can_be_carried(tmp_path: Path) -> None:
    import gpu_pack

    with pytest.raises(ValueError, match="61 MB is larger than 60 MB"):
        gpu_pack.pack(tmp_path, 61)
    sources = gpu_pack._sources()
    assert {"benchmarks/gpu_day.py", "closefit/config.py", "tests/gpu/test_gpu.py",
            "weights/closefit_body.npz"} <= set(sources)  # fmt: skip


def test_goals_are_compared_with_what_was_measured() -> None:
    from gpu_day import _goals

    done = {
        "perceive": {"seconds": 15.0},
        "whole": {"seconds": 30.0},
        "optimize": {
            "128 frames, default": {"seconds": 18.0},
            "512 frames, default": {"seconds": 90.0},
            "128 frames, default, compiled": {"seconds": 17.1},
            "128 frames, draft": {"error": "failed"},
            "512 frames, draft": {"seconds": 50.0},
            "part_s": 200.0,
        },
    }
    rows = {str(row[0]): row[1:] for row in _goals(done)}
    assert rows["seconds of optimize, 128 frames, default"] == [18.0, 20.0, "yes"]
    assert rows["seconds of a whole run, 128 frames, default"] == [45.0, 40.0, "no"]
    assert rows["512 frames over 128 frames, default"] == [5.0, 4.2, "no"]
    assert rows["512 frames over 128 frames, draft"] == [None, 4.2, None]
    assert rows["optimize.compile on over off"][0] == pytest.approx(0.95)
    assert {row[1] for row in _goals({})} == {None}
