"""3DPW: the reader on miniatures in the documented layout, with pickles of Python 2."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from closefit.benchmark import threedpw
from closefit.benchmark.sequences import Options
from closefit.boundary.refusals import RefusedError
from closefit.errors import ConfigError, InputError
from tests.benchmark_sets.conftest import FRAMES, Footage
from tests.benchmark_sets.worlds import camera, pixels, to_world

HUG = "courtyard_hug_00"


def write(
    root: Path, footage: Footage, name: str = HUG, part: str = "test", people: int = 2
) -> dict[str, object]:
    """One sequence; the camera moves from frame to frame."""
    truth = footage.truth
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    joints = np.zeros((FRAMES, 2, 24, 3))
    for frame in range(FRAMES):
        R, t = camera(frame)
        poses[frame, :3, :3], poses[frame, :3, 3] = R, t
        joints[frame] = to_world(truth["joints3d"][frame], R, t)
    points = np.ones((FRAMES, 3, 18))
    gone = points.copy()
    gone[7] = 0.0
    poses_known = np.ones(FRAMES)
    lost = poses_known.copy()
    lost[5] = 0
    content: dict[str, object] = {
        "sequence": name,
        "genders": ["m", "f", "m"][:people],
        "poses": [np.zeros((FRAMES, 72))] * people,
        "betas": [np.zeros(300)] * people,
        "trans": [np.zeros((FRAMES, 3))] * people,
        "jointPositions": [joints[:, n % 2].reshape(FRAMES, 72) for n in range(people)],
        "cam_poses": poses,
        "cam_intrinsics": truth["K"],
        "campose_valid": [lost, poses_known, poses_known][:people],
        "poses2d": [points, gone, points][:people],
        "img_frame_ids": np.arange(FRAMES),
    }
    save(root, content, part)
    folder = root / "imageFiles" / name
    folder.mkdir(parents=True)
    for number, picture in enumerate(footage.pictures):
        Image.fromarray(picture).save(folder / f"image_{number:05}.jpg")
    return content


def save(root: Path, content: object, part: str = "test", name: str = HUG) -> None:
    if isinstance(content, dict):
        name = str(content["sequence"])
    path = root / "sequenceFiles" / part / f"{name}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def only(root: Path, **options: str):
    (entry,) = threedpw.find(root, Options(**options)).entries
    return entry.read()


def test_joints_are_where_the_moving_camera_saw_them(tmp_path: Path, footage: Footage) -> None:
    write(tmp_path, footage)
    found = only(tmp_path)
    np.testing.assert_allclose(found.truth.all_joints, footage.truth["joints3d"], atol=1e-5)
    seen = pixels(found.truth.all_joints, found.K)
    np.testing.assert_allclose(seen, footage.truth["joints2d"], atol=1e-2)
    assert np.argwhere(~found.truth.valid).tolist() == [[5, 0], [7, 1]]
    assert len(list(found.pictures())) == FRAMES


def test_splits(tmp_path: Path, footage: Footage) -> None:
    write(tmp_path, footage)
    write(tmp_path, footage, "downtown_bus_00")
    write(tmp_path, footage, "crowded_00", people=3)
    write(tmp_path, footage, "courtyard_dancing_00", part="train")
    named = {
        split: [entry.name for entry in threedpw.find(tmp_path, Options(split=split)).entries]
        for split in threedpw.SPLITS
    }
    assert sorted(named["pairs"]) == [HUG, "downtown_bus_00"]
    assert sorted(named["crowd"]) == ["courtyard_dancing_00", HUG]
    assert named["two-people"] == ["downtown_bus_00"]
    assert "office_phoneCall_00" in threedpw.find(tmp_path, Options(split="two-people")).missing
    assert len(threedpw.find(tmp_path, Options(split="pc")).missing) == 3
    with pytest.raises(ConfigError, match="not one of"):
        threedpw.find(tmp_path, Options(split="mine"))
    with pytest.raises(InputError, match="does not look like 3DPW"):
        threedpw.find(tmp_path / "imageFiles", Options())


def test_the_part_that_a_list_names(
    tmp_path: Path, footage: Footage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, footage)
    monkeypatch.setattr(threedpw, "PC", {HUG: (4, 15)})
    found = only(tmp_path, split="pc")
    assert len(found.scored) == 11
    np.testing.assert_allclose(found.truth.all_joints, footage.truth["joints3d"][4:15], atol=1e-5)
    monkeypatch.setattr(threedpw, "PC", {HUG: (4, 30)})
    found = only(tmp_path, split="pc")
    assert (len(found.scored), "frames 20, 21" in found.problems[0]) == (FRAMES - 4, True)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path, footage: Footage) -> None:
    content = write(tmp_path, footage)
    (tmp_path / "imageFiles" / HUG / "image_00003.jpg").unlink()
    found = only(tmp_path)
    assert (len(found.scored), "pictures of frames 3 " in found.problems[0]) == (FRAMES - 1, True)
    for changes in (
        {"jointPositions": [np.zeros((FRAMES, 72))]},
        {"cam_poses": np.zeros((FRAMES, 3, 4))},
        {"cam_intrinsics": np.full((3, 3), np.nan)},
        {"poses2d": "none"},
        {"campose_valid": [np.ones(3), np.ones(3)]},
    ):
        save(tmp_path, {**content, **changes})
        with pytest.raises(RefusedError):
            threedpw._read(tmp_path, tmp_path / "sequenceFiles" / "test" / f"{HUG}.pkl", None)
    save(tmp_path, content)
    shutil.rmtree(tmp_path / "imageFiles" / HUG)
    with pytest.raises(RefusedError, match="no picture"):
        only(tmp_path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def test_pickles_run_nothing(tmp_path: Path, footage: Footage) -> None:
    content = write(tmp_path, footage)
    save(tmp_path, {**content, "betas": Evil()})
    with pytest.raises(RefusedError):
        only(tmp_path)
    save(tmp_path, [1, 2])
    with pytest.raises(RefusedError):
        only(tmp_path)
