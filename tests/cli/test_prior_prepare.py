"""`closefit prior prepare` with real files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from closefit.body.model import Body
from closefit.exporters.bvh import write_bvh
from closefit.learning.motions.shards import MotionShards
from closefit.records import PairMotion
from tests.unit.learning.motions.conftest import MakeMotion, body, make_motion
from tests.unit.learning.motions.layouts import write_amass_layout, write_interx

__all__ = ["body", "make_motion"]  # fixtures

HELD_OUT = "G001T000A000R001"


@pytest.fixture
def data(tmp_path: Path, make_motion: MakeMotion, body: Body) -> Path:
    """Two motions of two people and three of single people, in three layouts."""
    folder = tmp_path / "data"
    for name in ("G001T000A000R000", HELD_OUT):
        write_interx(folder / "interx" / name, make_motion(frames=80))
    for seed in (1, 2):
        single = make_motion(people=1, frames=160, seed=seed)
        write_amass_layout(folder / f"walk{seed}_poses.npz", single)
    single = make_motion(people=1, frames=70, seed=3)
    rest = body.joints_template.numpy()
    write_bvh(folder / "run.bvh", rest, single.rotations[:, 0], single.pelvis_m[:, 0], 30.0)
    return folder


def test_a_folder_becomes_shards(invoke, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    result = invoke(
        "prior", "prepare", data, "--out", out, "--mirror", "--retime", "0.5,2", "--json"
    )
    assert result.exit_code == 0, result.stderr
    shards = MotionShards.open(out)
    pairs = [name for name in shards.names if name.startswith("G001")]
    assert len(pairs) == 2 * 6  # as it is, mirrored, both at two speeds
    assert any("@" in name and "+" in name for name in shards.names)  # single people meet
    lengths = dict(zip(shards.names, shards.stops - shards.starts, strict=True))
    assert lengths[f"{HELD_OUT} x0.5"] == pytest.approx(2 * lengths[HELD_OUT], abs=1)
    assert f'"motions": {len(shards.names)}' in result.stdout


def test_excluded_motion_stays_out(invoke, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    arguments = ("prior", "prepare", data, "--out", out, "--exclude")
    assert invoke(*arguments, HELD_OUT).exit_code == 0
    assert not [name for name in MotionShards.open(out).names if HELD_OUT in name]
    result = invoke(*arguments, "G999")
    assert result.exit_code == 3
    assert "no motion is called `G999`" in result.stderr


def test_the_seed_decides_who_meets_whom(invoke, data: Path, tmp_path: Path) -> None:
    places = []
    for number, seed in enumerate((4, 4, 5)):
        out = tmp_path / f"shards{number}"
        assert invoke("prior", "prepare", data, "--out", out, "--seed", seed).exit_code == 0
        places.append(np.array(MotionShards.open(out).pelvis_m))
    np.testing.assert_array_equal(places[0], places[1])
    assert places[0].shape != places[2].shape or not np.allclose(places[0], places[2])


def test_generated_motion_is_added(
    invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_motion: MakeMotion
) -> None:
    from closefit.learning import choreography

    made: list[tuple[int, int]] = []

    def generate(body: Body, count: int, seed: int, frames: int) -> list[PairMotion]:
        del body
        made.append((count, seed))
        return [make_motion(frames=frames, seed=seed + index) for index in range(count)]

    monkeypatch.setattr(choreography, "generate", generate)
    out = tmp_path / "shards"
    result = invoke("prior", "prepare", "--generate", "0.1", "--seed", "3", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert MotionShards.open(out).seconds == pytest.approx(360.0)
    assert sum(count for count, _ in made) == 72
    assert len({seed for _, seed in made}) == len(made)


def test_the_real_generator_fits(invoke, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    result = invoke("prior", "prepare", "--generate", "0.001", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert MotionShards.open(out).seconds == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        ([], 4, "nothing was named to prepare"),
        (["nowhere"], 3, "there is no `nowhere`"),
        (["data", "--retime", "fast"], 4, "`fast` is no list of speeds"),
        (["data", "--retime", "0.8,40"], 4, "a tempo is `40`"),
        (["data", "--generate", "-1"], 4, "`-1` hours"),
        (["data", "--unit", "0"], 4, "a unit of `0` m"),
        (["empty"], 3, "there is no motion in `empty`"),
    ],
)
def test_wrong_requests_are_explained(
    invoke,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_code: int,
    message: str,
) -> None:
    monkeypatch.chdir(data.parent)
    (data.parent / "empty").mkdir()
    result = invoke("prior", "prepare", *arguments, "--out", "shards")
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert "hint: " in result.stderr
    assert not (data.parent / "shards").exists()


def test_a_damaged_file_leaves_nothing_half_written(data: Path, tmp_path: Path) -> None:
    (data / "walk2_poses.npz").write_bytes(b"PK\x03\x04 cut")
    program = [sys.executable, "-c", "from closefit.cli.main import main; main()"]
    command = [*program, "prior", "prepare", str(data), "--out", "shards"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 3, result.stderr
    assert "walk2_poses.npz`" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
