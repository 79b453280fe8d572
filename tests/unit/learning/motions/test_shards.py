import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from closefit.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ArtifactVersionError,
    InputError,
    OutputFolderError,
)
from closefit.geometry.rotations import matrix_from_6d
from closefit.learning.folders import complete_folder
from closefit.learning.motions.editing import resample
from closefit.learning.motions.shards import CLIPS, PELVIS, ROTATIONS, MotionShards, write_shards
from closefit.records import PairMotion
from closefit.storage.artifacts import META_KEY
from tests.unit.learning.motions.conftest import MakeMotion


@pytest.fixture
def folder(tmp_path: Path, make_motion: MakeMotion) -> Path:
    motions = [make_motion(seed=0, frames=20), make_motion(seed=1, frames=81, fps=60.0)]
    write_shards(tmp_path / "shards", motions)
    return tmp_path / "shards"


def test_motion_comes_back(folder: Path, make_motion: MakeMotion) -> None:
    shards = MotionShards.open(folder)
    assert shards.names == ("noise0", "noise1")
    assert (shards.stops - shards.starts).tolist() == [20, 41]
    assert (shards.fps, shards.body_name) == (30.0, "closefit")
    assert shards.seconds == pytest.approx(61 / 30)
    second = resample(make_motion(seed=1, frames=81, fps=60.0), 30.0)
    rows = slice(shards.starts[1], shards.stops[1])
    sixes = torch.from_numpy(shards.rotations_6d[rows].astype(np.float32))
    np.testing.assert_allclose(matrix_from_6d(sixes).numpy(), second.rotations, atol=2e-3)
    np.testing.assert_array_equal(shards.pelvis_m[rows], second.pelvis_m)


def test_frames_stay_on_disk_until_they_are_read(folder: Path) -> None:
    shards = MotionShards.open(folder)
    assert isinstance(shards.rotations_6d, np.memmap)
    assert isinstance(shards.pelvis_m, np.memmap)
    assert shards.rotations_6d.dtype == np.float16
    assert shards.pelvis_m.dtype == np.float32


def test_motions_are_taken_one_at_a_time(tmp_path: Path, make_motion: MakeMotion) -> None:
    sizes = []

    def endless() -> Iterator[PairMotion]:
        for seed in range(3):
            yield make_motion(seed=seed)
            sizes.append(sum(f.stat().st_size for f in tmp_path.rglob(ROTATIONS)))

    write_shards(tmp_path / "shards", endless())
    assert len(MotionShards.open(tmp_path / "shards").names) == 3
    assert len(sizes) == 3


def fail_while_writing(folder: Path, make_motion: MakeMotion) -> None:
    """Write shards that end in an error after the first motion."""

    def breaks() -> Iterator[PairMotion]:
        yield make_motion(seed=5)
        raise RuntimeError("the machine was switched off")

    with pytest.raises(RuntimeError, match="switched off"):
        write_shards(folder, breaks())


def test_a_failure_leaves_the_old_shards(folder: Path, make_motion: MakeMotion) -> None:
    fail_while_writing(folder, make_motion)
    assert MotionShards.open(folder).names == ("noise0", "noise1")
    assert [path.name for path in folder.parent.iterdir()] == ["shards"]


def test_shards_are_replaced(folder: Path, make_motion: MakeMotion) -> None:
    write_shards(folder, [make_motion(seed=7)])
    assert MotionShards.open(folder).names == ("noise7",)
    assert [path.name for path in folder.parent.iterdir()] == ["shards"]


def test_other_folders_are_not_replaced(tmp_path: Path, make_motion: MakeMotion) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputFolderError, match=r"holds `thesis\.txt`, which would be lost"):
        write_shards(tmp_path, [make_motion()])
    write_shards(tmp_path / "shards", [make_motion()])
    (tmp_path / "thesis.txt").rename(tmp_path / "shards" / "thesis.txt")
    with pytest.raises(OutputFolderError, match=r"holds `thesis\.txt`, which would be lost"):
        write_shards(tmp_path / "shards", [make_motion()])
    (tmp_path / "own").mkdir()
    np.savez(tmp_path / "own" / CLIPS, mine=np.zeros(3))
    with pytest.raises(OutputFolderError, match="holds no motion shards"):
        write_shards(tmp_path / "own", [make_motion()])
    assert (tmp_path / "shards" / "thesis.txt").read_text() == "years of work"


def test_what_a_killed_process_has_left_is_put_back(folder: Path, make_motion: MakeMotion) -> None:
    folder.rename(folder.with_name(".closefit-partial-old-shards"))  # between the two renames
    folder.with_name(".closefit-partial-new-shards").mkdir()
    fail_while_writing(folder, make_motion)
    assert MotionShards.open(folder).names == ("noise0", "noise1")
    assert [path.name for path in folder.parent.iterdir()] == ["shards"]


def test_a_link_to_shards_stays_a_link(folder: Path, make_motion: MakeMotion) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    write_shards(link, [make_motion(seed=7)])
    assert link.is_symlink()
    assert MotionShards.open(folder).names == ("noise7",)


def test_two_processes_do_not_write_one_folder(folder: Path, make_motion: MakeMotion) -> None:
    with (
        complete_folder(folder),
        pytest.raises(OutputFolderError, match="another closefit is writing"),
    ):
        write_shards(folder, [make_motion(seed=7)])


def test_a_place_that_cannot_be_a_folder(tmp_path: Path, make_motion: MakeMotion) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputFolderError, match=r"thesis.txt` is not a folder"):
        write_shards(tmp_path / "thesis.txt", [make_motion()])
    with pytest.raises(OutputFolderError, match=r"cannot write to `.*thesis.txt`: File exists"):
        write_shards(tmp_path / "thesis.txt" / "shards", [make_motion()])


@pytest.mark.parametrize("name", [ROTATIONS, PELVIS, CLIPS])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_damage_is_found(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-7])
    whole = name == CLIPS and damage == "missing"
    with pytest.raises(ArtifactMissingError if whole else ArtifactDamagedError) as caught:
        MotionShards.open(folder)
    assert "closefit prior prepare" in caught.value.hint


def rewrite(folder: Path, **changes: np.ndarray) -> None:
    with np.load(folder / CLIPS) as archive:
        arrays = {**archive, **changes}
    np.savez(folder / CLIPS, **arrays)


def test_index_that_contradicts_itself_is_found(folder: Path) -> None:
    rewrite(folder, starts=np.array([0, 25]))
    with pytest.raises(ArtifactDamagedError, match="do not fit each other"):
        MotionShards.open(folder)


def test_other_version_is_refused(folder: Path) -> None:
    meta = {"format": "closefit-motion-shards", "version": 99}
    rewrite(folder, **{META_KEY: np.array(json.dumps(meta))})
    with pytest.raises(ArtifactVersionError, match="layout version `99`"):
        MotionShards.open(folder)


def test_no_shards_at_all(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="no motion shards"):
        MotionShards.open(tmp_path)


def test_no_motion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no motion to write"):
        write_shards(tmp_path / "shards", [])
    assert not (tmp_path / "shards").exists()


def test_single_people_and_missing_values_are_refused(
    tmp_path: Path, make_motion: MakeMotion
) -> None:
    with pytest.raises(InputError, match="`noise0` has 1 people"):
        write_shards(tmp_path / "shards", [make_motion(people=1)])
    motion = make_motion()
    motion.pelvis_m[3] = np.nan
    with pytest.raises(InputError, match="`noise0` holds values that are not numbers"):
        write_shards(tmp_path / "shards", [motion])
    smpl = dataclasses.replace(make_motion(), body_name=np.array("smpl"))
    with pytest.raises(InputError, match="different bodies: `closefit`, `smpl`"):
        write_shards(tmp_path / "shards", [make_motion(), smpl])


def test_several_folders_open_together(folder: Path, make_motion: MakeMotion) -> None:
    more = folder.with_name("more")
    write_shards(more, [make_motion(seed=9)])
    first, second = MotionShards.open_many([folder, more])
    assert (len(first.names), len(second.names)) == (2, 1)
    write_shards(more, [make_motion(seed=9)], fps=60.0)
    with pytest.raises(InputError, match="60 fps"):
        MotionShards.open_many([folder, more])
    with pytest.raises(InputError, match="no folder"):
        MotionShards.open_many([])
