"""Every layout gives the same result for the same motion, and everything else is refused."""

import dataclasses
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from closefit.errors import FileMissingError, InputError
from closefit.imports.estimates.files import content_hash
from closefit.imports.estimates.reading import read_estimates
from closefit.records import PersonEstimates
from tests.estimate_files import (
    FOCAL_PX,
    WRITERS,
    People,
    video_info,
    with_people,
    write_amass,
    write_gvhmr,
    write_hostile,
    write_phalp,
    write_prompthmr,
    write_wham,
)

FRAMES = 12
VIDEO = video_info(FRAMES)


def assert_same_poses(found: PersonEstimates, people: People) -> None:
    np.testing.assert_array_equal(found.known, people.known)
    np.testing.assert_allclose(
        found.rotations[found.known], people.rotations[people.known], atol=1e-5
    )


@pytest.mark.parametrize("tool", WRITERS)
def test_every_layout_gives_the_same_estimate(tmp_path: Path, people: People, tool: str) -> None:
    found = read_estimates(WRITERS[tool](tmp_path, people), VIDEO)
    assert found.tool == tool
    assert_same_poses(found, people)
    assert found.has_camera == (tool != "AMASS")
    if found.has_camera:
        np.testing.assert_allclose(found.transl_m, people.pelvis_m, atol=1e-5)
        np.testing.assert_allclose(np.diag(found.K)[:2], FOCAL_PX[tool], rtol=1e-6)
        np.testing.assert_allclose(found.K[:2, 2], (VIDEO.width / 2, VIDEO.height / 2))
    else:
        assert np.isnan(found.transl_m).all()
        assert np.isnan(found.K).all()


@pytest.mark.parametrize("write", [write_wham, write_phalp, write_prompthmr])
def test_frames_without_a_person_stay_unknown(tmp_path: Path, people: People, write) -> None:
    people.known[3:6, 0] = False
    people.known[:2, 1] = False
    found = read_estimates(write(tmp_path, people), VIDEO)
    assert_same_poses(found, people)
    assert np.isnan(found.transl_m[~people.known]).all()


def test_prompthmr_pose_serves_where_there_are_no_matrices(tmp_path: Path, people: People) -> None:
    assert_same_poses(read_estimates(write_prompthmr(tmp_path, people, "pose"), VIDEO), people)


def test_prompthmr_of_a_fast_video_has_every_other_frame(tmp_path: Path, people: People) -> None:
    fast = dataclasses.replace(VIDEO, fps=120.0, num_frames=2 * FRAMES)
    found = read_estimates(write_prompthmr(tmp_path, people), fast)
    np.testing.assert_array_equal(np.flatnonzero(found.known[:, 0]), 1 + 2 * np.arange(FRAMES))


def test_amass_is_resampled_to_the_video(tmp_path: Path, people: People) -> None:
    found = read_estimates(write_amass(tmp_path, people, every=2, fps=15.0), VIDEO)
    assert len(found.known) == FRAMES - 1  # what follows the last row is not known
    np.testing.assert_allclose(found.rotations, people.rotations[:-1], atol=0.01)


def test_networks_put_out_matrices_that_are_made_exact(tmp_path: Path, people: People) -> None:
    rough = dataclasses.replace(people, rotations=people.rotations * 1.01)
    found = read_estimates(write_phalp(tmp_path, rough), VIDEO)
    square = found.rotations @ found.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(square, np.broadcast_to(np.eye(3), square.shape), atol=1e-5)
    np.testing.assert_allclose(found.rotations, people.rotations, atol=1e-5)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_every_compression_of_joblib_is_read(tmp_path: Path, people: People, compress) -> None:
    path = write_wham(tmp_path, people)
    joblib.dump(joblib.load(path), path, compress=compress)
    assert_same_poses(read_estimates(path, VIDEO), people)


def test_tensors_and_plain_pickles_are_read(tmp_path: Path, people: People) -> None:
    path = write_wham(tmp_path, people)
    content = joblib.load(path)
    for person in content.values():
        person["pose"] = torch.from_numpy(person["pose"])
        person["trans"] = np.asfortranarray(person["trans"])
    joblib.dump(content, path)
    assert_same_poses(read_estimates(path, VIDEO), people)
    path.write_bytes(pickle.dumps(content))
    assert_same_poses(read_estimates(path, VIDEO), people)


def test_hostile_pickles_are_refused_and_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    for name in ("results.pkl", "results.pt"):
        path = write_hostile(tmp_path / name, mark)
        with pytest.raises(
            InputError, match=r"results\.p.*refers to `.*open`, which closefit never"
        ):
            read_estimates(path, VIDEO)
    assert not mark.exists()


def test_hostile_pickles_inside_arrays_and_torch_files_are_refused(tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Attack:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    joblib.dump({1: {"pose": np.array([Attack()], object), "frame_ids": 0}}, tmp_path / "a.pkl")
    torch.save({"smpl_params_incam": Attack()}, tmp_path / "b.pt")
    np.savez(tmp_path / "c.npz", poses=np.array([Attack()], object), allow_pickle=True)
    mark.unlink(missing_ok=True)
    for name in ("a.pkl", "b.pt", "c.npz"):
        with pytest.raises(InputError, match=f"{name}` cannot be used"):
            read_estimates(tmp_path / name, VIDEO)
    assert not mark.exists()


def _first(content: dict) -> dict:
    return content[0]


def _set(key: str, value: object):
    def change(content: dict) -> None:
        _first(content)[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            _set("pose", np.zeros((FRAMES, 66))),
            r"`0.pose` has shape \(12, 66\) instead of \(12, 72",
        ),
        (_set("trans", np.full((FRAMES, 3), np.nan)), "`0.trans` has a value that is not a number"),
        (_set("trans", "far away"), "`0.trans` holds `far away` instead of numbers"),
        (
            _set("frame_ids", np.arange(FRAMES) - 1),
            "`0.frame_ids` has `-1`, which is not a whole number",
        ),
        (_set("frame_ids", np.zeros(FRAMES)), "`0.frame_ids` names a frame twice"),
        (lambda content: _first(content).pop("trans"), "it has no `trans`, only `pose`"),
    ],
)
def test_wrong_wham_files_are_refused(tmp_path: Path, people: People, change, reason: str) -> None:
    path = with_people(write_wham(tmp_path, people), change)
    with pytest.raises(InputError, match=reason) as caught:
        read_estimates(path, VIDEO)
    assert str(path) in caught.value.message
    assert "docs/estimates.md" in caught.value.hint


def test_phalp_matrices_must_be_rotations(tmp_path: Path, people: People) -> None:
    mirrored = dataclasses.replace(people, rotations=-people.rotations)
    with pytest.raises(InputError, match="matrices that are not rotations"):
        read_estimates(write_phalp(tmp_path, mirrored), VIDEO)


def test_phalp_lists_must_fit_together(tmp_path: Path, people: People) -> None:
    def change(content: dict) -> None:
        next(iter(content.values()))["camera"].pop()

    with pytest.raises(InputError, match="of frame 0 are not lists of one length"):
        read_estimates(with_people(write_phalp(tmp_path, people), change), VIDEO)


@pytest.mark.parametrize("write", [write_phalp, write_prompthmr])
def test_nobody_in_the_file(tmp_path: Path, people: People, write) -> None:
    path = write(tmp_path, people.pick([]))
    with pytest.raises(InputError, match="it holds nobody"):
        read_estimates(path, VIDEO)


@pytest.mark.parametrize("write", [write_phalp, write_prompthmr, write_gvhmr])
def test_a_video_of_another_shape_is_refused(tmp_path: Path, people: People, write) -> None:
    upright = dataclasses.replace(VIDEO, width=360, height=480)
    with pytest.raises(InputError, match=r"video, but `dance.mp4` has 360x480"):
        read_estimates(write(tmp_path, people), upright)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"poses": np.zeros((FRAMES, 63))},
            r"`poses` has shape \(12, 63\), not at least \(1, 66\)",
        ),
        (
            {"mocap_framerate": 0.0},
            "`mocap_framerate` is `0.0`, which is not a number",
        ),
        ({"mocap_framerate": None}, "it has no `mocap_framerate`"),
        ({"poses": np.full((FRAMES, 66), np.inf)}, "`poses` has the value inf in row 0"),
    ],
)
def test_wrong_amass_files_are_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    arrays = {"poses": np.zeros((FRAMES, 66)), "mocap_framerate": 30.0, **changes}
    path = tmp_path / "walk.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=reason):
        read_estimates(path, VIDEO)


def test_other_files_are_named_by_what_they_hold(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", verts=np.zeros(3), faces=np.zeros(3))
    with pytest.raises(InputError, match=r"not a result of GVHMR, .*: it holds `verts`, `faces`"):
        read_estimates(tmp_path / "a.npz", VIDEO)
    joblib.dump([1, 2], tmp_path / "b.pkl")
    with pytest.raises(InputError, match="it holds a `list`"):
        read_estimates(tmp_path / "b.pkl", VIDEO)


@pytest.mark.parametrize("content", [b"", b"just some text\n" * 50, b"x\x9c broken", b"PK\x03\x04"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"results.pkl` cannot be used: it is damaged"):
        read_estimates(path, VIDEO)


@pytest.mark.parametrize("write", [write_wham, write_phalp, write_gvhmr])
def test_files_cut_short_are_refused(tmp_path: Path, people: People, write) -> None:
    written = write(tmp_path, people.someone(0))
    path = next(written.rglob("*.pt")) if written.is_dir() else written
    whole = path.read_bytes()
    for share in (0.3, 0.7, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match="cannot be used"):
            read_estimates(path, VIDEO)


def test_a_zip_that_holds_neither(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"a\.npz"):
        read_estimates(tmp_path / "a.npz", VIDEO)


def test_folders(tmp_path: Path, people: People) -> None:
    with pytest.raises(FileMissingError, match="there is no estimate"):
        read_estimates(tmp_path / "nothing", VIDEO)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="has no file of type"):
        read_estimates(empty, VIDEO)
    write_wham(empty, people)
    write_amass(empty, people)
    with pytest.raises(InputError, match="mixes results of AMASS and WHAM"):
        read_estimates(empty, VIDEO)


def test_the_hash_of_a_folder_follows_the_content_of_its_results(
    tmp_path: Path, people: People
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    before = content_hash(write_gvhmr(folder, people))
    (folder / "person0" / "overlay.mp4").write_bytes(b"a video")
    moved = folder.rename(tmp_path / "b")
    assert content_hash(moved) == before
    (moved / "person1" / "hmr4d_results.pt").write_bytes(b"something else")
    assert content_hash(moved) != before
