import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from closefit.body.model import Body
from closefit.errors import InputError
from closefit.exporters.amass import write_amass
from closefit.learning.motions.reading import find_motions, read_motion
from closefit.records import PairMotion
from tests.unit.learning.motions.conftest import MakeMotion, joints_of
from tests.unit.learning.motions.layouts import (
    write_amass_layout,
    write_chi3d,
    write_hi4d,
    write_interhuman_processed,
    write_interhuman_raw,
    write_interx,
)

Write = Callable[[Path, PairMotion, Body], Path]

TWO_PEOPLE: dict[str, tuple[Write, float, str]] = {
    "interhuman raw": (
        lambda root, motion, _: write_interhuman_raw(root / "motions" / "7.pkl", motion),
        59.94,
        "7",
    ),
    "interhuman processed": (
        lambda root, motion, body: write_interhuman_processed(
            root, "7", motion, joints_of(motion, body)
        ),
        30.0,
        "7",
    ),
    "inter-x": (
        lambda root, motion, _: write_interx(root / "G001T000A000R000", motion),
        120.0,
        "G001T000A000R000",
    ),
    "hi4d": (
        lambda root, motion, body: write_hi4d(
            root / "pair00" / "hug00", motion, joints_of(motion, body)
        ),
        30.0,
        "pair00/hug00",
    ),
    "hi4d without joints": (
        lambda root, motion, _: write_hi4d(root / "pair00" / "hug00", motion, None),
        30.0,
        "pair00/hug00",
    ),
    "chi3d": (
        lambda root, motion, _: write_chi3d(root / "s02" / "smplx" / "Grab 1.json", motion),
        50.0,
        "s02/Grab 1",
    ),
}


@pytest.mark.parametrize("layout", TWO_PEOPLE)
def test_two_people_come_back(
    tmp_path: Path, make_motion: MakeMotion, body: Body, layout: str
) -> None:
    truth = make_motion(frames=6)
    write, fps, name = TWO_PEOPLE[layout]
    write(tmp_path, truth, body)
    (result,) = read_motion(tmp_path, body)
    assert str(result.name) == name
    assert float(result.fps) == pytest.approx(fps)
    # The pelvis' rotation in processed InterHuman is rebuilt from the joints beside it.
    root_tolerance = 0.02 if layout == "interhuman processed" else 1e-3
    root = result.rotations[:, :, 0] - truth.rotations[:, :, 0]
    assert np.abs(root).max() < root_tolerance
    np.testing.assert_allclose(result.rotations[:, :, 1:], truth.rotations[:, :, 1:], atol=1e-5)
    found, expected = (np.diff(motion.pelvis_m, axis=1) for motion in (result, truth))
    assert np.abs(found[..., [0, 2]] - expected[..., [0, 2]]).max() < 2e-3
    moved, should = (np.diff(motion.pelvis_m, axis=0) for motion in (result, truth))
    assert np.abs(moved - should).max() < 2e-3


def test_sizes_of_people_come_from_joints(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    truth = make_motion(frames=3)
    truth.betas[1, 0] = -2.0  # short
    write_hi4d(tmp_path / "pair00" / "hug00", truth, joints_of(truth, body))
    (result,) = read_motion(tmp_path, body)
    assert abs(result.betas[0, 0]) < 0.05
    assert result.betas[1, 0] == pytest.approx(-2.0, abs=0.4)


@pytest.mark.parametrize("columns", [72, 156, 165])
def test_amass_comes_back(
    tmp_path: Path, make_motion: MakeMotion, body: Body, columns: int
) -> None:
    truth = make_motion(people=1)
    path = write_amass_layout(tmp_path / "walk_poses.npz", truth, columns)
    (result,) = read_motion(path, body)
    assert float(result.fps) == 120.0
    np.testing.assert_allclose(result.rotations, truth.rotations, atol=1e-5)
    moved = result.pelvis_m - truth.pelvis_m
    assert np.abs(moved[..., [0, 2]]).max() < 1e-3


def test_own_amass_export_is_read_as_a_pair(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    truth = make_motion()
    rest_pelvis = body.joints_template[0].numpy()
    for person in range(2):
        write_amass(
            tmp_path / f"person_{person}_amass.npz",
            truth.rotations[:, person],
            truth.pelvis_m[:, person],
            rest_pelvis,
            None,
            25.0,
            1.7,
        )
    (result,) = read_motion(tmp_path, body)
    assert str(result.name) == "person_0_amass+person_1_amass"
    np.testing.assert_allclose(result.rotations, truth.rotations, atol=1e-5)
    moved = result.pelvis_m - truth.pelvis_m
    assert np.abs(moved[..., [0, 2]]).max() < 1e-4


def test_processed_interhuman_is_preferred_to_its_raw_form(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    motion = make_motion(frames=6)
    write_interhuman_raw(tmp_path / "motions" / "7.pkl", motion)
    write_interhuman_raw(tmp_path / "motions" / "8.pkl", motion)
    write_interhuman_processed(tmp_path, "7", motion, joints_of(motion, body))
    rates = {str(motion.name): float(motion.fps) for motion in read_motion(tmp_path, body)}
    assert rates == {"7": 30.0, "8": pytest.approx(59.94)}


def test_other_files_of_a_data_set_are_passed_over(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    write_amass_layout(tmp_path / "walk_poses.npz", make_motion(people=1))
    np.savez(tmp_path / "shape.npz", betas=np.zeros(16))
    (tmp_path / "LICENSE.txt").write_text("ask first")
    (tmp_path / "split.json").write_text("[]")
    assert [str(motion.name) for motion in read_motion(tmp_path, body)] == ["walk_poses"]


@pytest.mark.parametrize("kind", ["tar.xz", "zip"])
def test_archives_are_read(tmp_path: Path, make_motion: MakeMotion, body: Body, kind: str) -> None:
    folder = tmp_path / "data" / "G001T000A000R000"
    write_interx(folder, make_motion(frames=4))
    packed = tmp_path / f"data.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"{folder.name}/{path.name}")
    else:
        with tarfile.open(packed, "w:xz") as archive:
            archive.add(folder, folder.name)
    (motion,) = read_motion(packed, body)
    assert str(motion.name) == "G001T000A000R000"
    packed.write_bytes(packed.read_bytes()[:50])
    with pytest.raises(InputError, match=r"cannot unpack `.*data\."):
        read_motion(packed, body)


def test_motions_are_found_without_being_read(tmp_path: Path, body: Body) -> None:
    for name in ("60_01", "60_03", "61_03"):
        (tmp_path / f"{name}_poses.npz").write_bytes(b"not even a file of numpy")
    sources = find_motions(tmp_path, body)
    assert [source.name for source in sources] == ["60_01_poses", "60_03_poses+61_03_poses"]
    with pytest.raises(InputError, match=r"60_01_poses.npz"):
        sources[0].read()


def change_npz(path: Path, **changes: np.ndarray | None) -> None:
    with np.load(path, allow_pickle=True) as archive:
        arrays = {**archive, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((45, 70))}, r"`poses` has shape \(45, 70\).*\(frame, 156\)"),
        ({"trans": None}, "has no `trans`"),
        ({"trans": np.zeros((44, 3))}, "`poses` 45, `trans` 44"),
        ({"trans": np.full((45, 3), np.nan)}, "a value that is not a number"),
        ({"trans": np.linspace(0, 90, 45)[:, None] * np.ones(3)}, "moves 90 m up and down"),
        ({"mocap_framerate": np.array(0.0)}, "`mocap_framerate` in .* is 0"),
        ({"mocap_framerate": None}, "has no `mocap_framerate`"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "`poses` 0, `trans` 0"),
    ],
)
def test_wrong_amass_is_refused(
    tmp_path: Path, make_motion: MakeMotion, body: Body, changes: dict, message: str
) -> None:
    path = write_amass_layout(tmp_path / "walk.npz", make_motion(people=1))
    change_npz(path, **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_motion(path, body)
    assert "walk.npz" in caught.value.message


def test_joints_of_a_giant_are_refused(tmp_path: Path, make_motion: MakeMotion, body: Body) -> None:
    motion = make_motion(frames=2)
    motion.pelvis_m[:] = motion.pelvis_m[:1]
    write_hi4d(tmp_path / "pair00" / "hug00", motion, 10.0 * joints_of(motion, body))
    with pytest.raises(InputError, match=r"hug00` is about 1[67][.\d]* m tall"):
        read_motion(tmp_path, body)


def test_missing_frame_of_hi4d_is_named(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    folder = write_hi4d(tmp_path / "pair00" / "hug00", make_motion(frames=4), None)
    (folder / "smpl" / "000013.npz").unlink()
    with pytest.raises(InputError, match="lacks frame 13"):
        read_motion(tmp_path, body)


def test_second_person_of_interhuman_must_be_there(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    motion = make_motion(frames=4)
    write_interhuman_processed(tmp_path, "7", motion, joints_of(motion, body))
    (tmp_path / "motions_processed" / "person2" / "7.npy").unlink()
    with pytest.raises(InputError, match=r"has no second person: there is no `.*person2"):
        read_motion(tmp_path, body)


class Bomb:
    def __reduce__(self) -> tuple:
        return os.system, ("touch exploded",)


def test_hostile_pickle_runs_nothing(
    tmp_path: Path, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "7.pkl"
    path.write_bytes(pickle.dumps({"person1": Bomb()}))
    with pytest.raises(InputError, match=r"`.*7.pkl` cannot be used: it refers to"):
        read_motion(path, body)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["a.json", "a.pkl", "a.npz", "a.amc", "a.bvh", "person1/a.npy"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"[1, 2", b"{}"])
def test_damaged_files_are_named(tmp_path: Path, body: Body, name: str, content: bytes) -> None:
    for place in (name, name.replace("person1", "person2"), "a.asf"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(content)
    with pytest.raises(InputError, match=r"a\.") as caught:
        read_motion(tmp_path / name, body)
    assert caught.value.hint


def test_chi3d_of_one_person_is_refused(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    path = write_chi3d(tmp_path / "s02" / "smplx" / "Hug 2.json", make_motion(frames=3))
    content = {key: value[:1] for key, value in json.loads(path.read_text()).items()}
    path.write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"`global_orient` has shape .* instead of \(2, any, 1, 3, 3\)"
    ):
        read_motion(path, body)


def test_nothing_to_read(tmp_path: Path, body: Body) -> None:
    with pytest.raises(InputError, match="there is no motion in"):
        read_motion(tmp_path, body)
    with pytest.raises(InputError, match="there is no"):
        read_motion(tmp_path / "nowhere", body)
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"film.mp4` is no motion file"):
        read_motion(tmp_path / "film.mp4", body)
