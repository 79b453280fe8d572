"""Hi4D: the reader on miniatures in the documented layout, and a whole benchmark run."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from closefit.batch import cluster
from closefit.benchmark import hi4d
from closefit.benchmark.sequences import Options
from closefit.boundary.refusals import RefusedError
from closefit.errors import ConfigError, InputError
from tests.benchmark_sets.conftest import FRAMES, SIZE_WH, Footage
from tests.benchmark_sets.worlds import camera, pixels, to_world
from tests.quick_run import QUICK

START, MONO, OTHER = 7, "4", "88"


def write(root: Path, footage: Footage, pair: str = "pair23", action: str = "hug23") -> Path:
    """One action in the documented layout, seen by the renderer's camera and by another one."""
    folder = root / pair / action
    folder.mkdir(parents=True)
    np.savez(
        folder / "meta.npz",
        start=START,
        end=START + FRAMES - 1,
        num_persons=2,
        genders=np.array(["female", "male"]),
        contact_ids=np.arange(START, START + 5),
        mono_cam=int(MONO),
    )
    poses = {MONO: camera(1), OTHER: camera(2)}
    truth = footage.truth
    (folder / "cameras").mkdir()
    np.savez(
        folder / "cameras" / "rgb_cameras.npz",
        ids=np.array([int(OTHER), int(MONO)]),
        intrinsics=np.stack([truth["K"] * [[2.0], [2.0], [1.0]], truth["K"]]),
        extrinsics=np.stack([np.c_[poses[name][0], poses[name][1]] for name in (OTHER, MONO)]),
        dist_coeffs=np.zeros((2, 5)),
    )
    for name in poses:
        (folder / "images" / name).mkdir(parents=True)
        for number, picture in enumerate(footage.pictures, START):
            Image.fromarray(picture).save(folder / "images" / name / f"{number:06}.jpg")
    (folder / "images" / MONO / "vis.mp4").write_bytes(b"a stray video")
    mask = np.zeros((*SIZE_WH[::-1], 3), np.uint8)
    for person in ("0", "1", "all"):
        place = folder / "seg" / "img_seg_mask" / MONO / person
        place.mkdir(parents=True)
        Image.fromarray(mask).save(place / f"{START:06}.png")
    (folder / "smpl").mkdir()
    generator = np.random.default_rng(0)
    for index in range(FRAMES):
        np.savez(
            folder / "smpl" / f"{START + index:06}.npz",
            betas=np.zeros((2, 10)),
            global_orient=np.zeros((2, 3)),
            body_pose=np.zeros((2, 69)),
            transl=np.zeros((2, 3)),
            joints_3d=to_world(truth["joints3d"][index], *poses[MONO]),
            verts=generator.normal(size=(2, 6890, 3)),
            contact=np.zeros((2, 6890)),
        )
    return folder


def only(root: Path, **options: str) -> object:
    (entry,) = hi4d.find(root, Options(**{"split": "all", **options})).entries
    return entry.read()


def test_joints_are_where_the_camera_saw_them(tmp_path: Path, footage: Footage) -> None:
    write(tmp_path, footage)
    found = only(tmp_path)
    np.testing.assert_allclose(found.truth.all_joints, footage.truth["joints3d"], atol=1e-5)
    seen = pixels(found.truth.all_joints, found.K)
    np.testing.assert_allclose(seen, footage.truth["joints2d"], atol=1e-2)
    assert found.problems == ()
    assert len(list(found.pictures())) == FRAMES
    other = only(tmp_path, view=OTHER)
    assert np.abs(other.truth.all_joints - footage.truth["joints3d"]).max() > 0.1
    np.testing.assert_allclose(other.K[0, 0], 2 * footage.truth["K"][0, 0])
    names = [entry.name for entry in hi4d.find(tmp_path, Options(split="all", view="all")).entries]
    assert names == ["pair23_hug23_4", "pair23_hug23_88"]


@pytest.mark.parametrize(("kept", "scored"), [(20, 16), (16, 0), (17, 16), (5, 0)])
def test_the_windows_of_closeint(tmp_path: Path, footage: Footage, kept: int, scored: int) -> None:
    folder = write(tmp_path, footage)
    for path in (folder / "images" / MONO).glob("*.jpg"):
        if int(path.stem) >= START + kept:
            path.unlink()
    found = only(tmp_path, split="closeint")
    assert (len(found.scored), int(found.scored.sum())) == (kept, scored)
    assert found.scored[:scored].all()
    assert bool(found.problems) == (kept < FRAMES)


def test_the_split_names_pairs_that_are_not_there(tmp_path: Path, footage: Footage) -> None:
    write(tmp_path, footage)
    write(tmp_path, footage, "pair02", "talk02")
    found = hi4d.find(tmp_path, Options())
    assert [entry.name for entry in found.entries] == ["pair23_hug23"]
    assert found.missing == ["pair27", "pair28", "pair32", "pair37"]
    assert len(hi4d.find(tmp_path, Options(split="all")).entries) == 2


def test_what_is_missing_of_a_sequence_is_named(tmp_path: Path, footage: Footage) -> None:
    folder = write(tmp_path, footage)
    (folder / "images" / MONO / "000010.jpg").unlink()
    (folder / "smpl" / "000012.npz").unlink()
    damaged = folder / "smpl" / "000013.npz"
    damaged.write_bytes(damaged.read_bytes()[:500])
    found = only(tmp_path)
    assert len(found.truth.valid) == FRAMES - 1
    lacking = [START + 0 + n + (n >= 3) for n in np.flatnonzero(~found.truth.valid.any(axis=1))]
    assert lacking == [12, 13]
    words = " ".join(found.problems)
    assert "pictures of frames 10 are not there" in words
    assert "truth of frames 12 are not there" in words
    assert "000013.npz" in words


BROKEN = {
    "no such camera": (Path.exists, {"view": "16"}),
    "no cameras": (lambda folder: (folder / "cameras" / "rgb_cameras.npz").unlink(), {}),
    "no pictures": (lambda folder: shutil.rmtree(folder / "images" / MONO), {}),
    "meta of something else": (lambda folder: np.savez(folder / "meta.npz", a=1), {}),
    "meta with text": (lambda folder: np.savez(folder / "meta.npz", start="a", end=2), {}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_sequence_that_cannot_be_read_is_refused(
    tmp_path: Path, footage: Footage, case: str
) -> None:
    folder = write(tmp_path, footage)
    breaking, options = BROKEN[case]
    breaking(folder)
    with pytest.raises(RefusedError):
        only(tmp_path, **options)


def test_other_folders_and_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not look like Hi4D"):
        hi4d.find(tmp_path, Options())
    with pytest.raises(InputError, match="no folder"):
        hi4d.find(tmp_path / "gone", Options())
    with pytest.raises(ConfigError, match="not one of"):
        hi4d.find(tmp_path, Options(split="mine"))


@pytest.mark.slow
def test_from_pictures_to_tables(
    tmp_path: Path, rendered: Footage, invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole command: one sequence with a gap, one that cannot be read, three pairs missing."""
    root, out = tmp_path / "HI4D", tmp_path / "out"
    monkeypatch.setattr(cluster, "is_installed", lambda: False)  # starts quicker than Ray
    write(root, rendered)
    broken = write(root, rendered, "pair27", "dance27")
    (broken / "cameras" / "rgb_cameras.npz").write_bytes(b"damaged")
    own = rendered.observations_as(tmp_path / "own", "pair23_hug23", hi4d.FPS)
    settings = [word for setting in QUICK for word in ("--set", setting)]
    command = ("benchmark", "hi4d", root, "--out", out, "--observations", own, *settings)
    command = (*command, "--rows", "initial", "full")
    result = invoke(*command)
    assert result.exit_code == 0, result.stderr
    report = json.loads((out / "scores.json").read_text())
    sequences = report["sequences"]
    assert (sequences["scored"], sequences["of"]) == (1, 5)
    assert sequences["failed"].keys() == {"pair27_dance27", "pair28", "pair32", "pair37"}
    assert "scored: 1 of 5 sequences" in result.stderr
    assert "rgb_cameras.npz" in sequences["failed"]["pair27_dance27"]
    for row in ("initial", "full"):
        scores = report["rows"][row]
        assert scores["frames"] == 16
        assert 5.0 < scores["mpjpe"] < 150.0, "it is near the truth, but no copy of it"
        assert scores["pa_mpjpe"] <= scores["mpjpe"]
        assert scores["mpvpe"] is None
        assert scores["a_pd_grid"] is not None
    lines = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    published = next(cells for cells in lines if cells[0] == "CloseApp")
    assert published[1:5] == ["59.1", "44.3", "72.0", "80.2"]
    ours = next(cells for cells in lines if cells[0] == "closefit")
    assert ours[1] == f"{report['rows']['full']['mpjpe']:.1f}"
    assert "MPVPE: not measured" in result.stderr
    index = (out / "runs" / "full" / "index.jsonl").read_bytes()
    again = invoke(*command)
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert (out / "runs" / "full" / "index.jsonl").read_bytes() == index, "it was run again"


def test_smpl_that_is_not_there_is_a_sentence(tmp_path: Path, footage: Footage, invoke) -> None:
    write(tmp_path, footage)
    command = ("benchmark", "hi4d", tmp_path, "--out", tmp_path / "out")
    result = invoke(*command, "--joints", "lsp", "--weights", tmp_path / "weights")
    assert result.exit_code == 5
    assert "SMPL" in result.stderr
    assert "import-smpl" in result.stderr
    assert invoke(*command, "--rows", "best").exit_code == 4
    assert invoke(*command, "--rows", "initial", "best").exit_code == 4
    assert invoke(*command, "--observations", tmp_path / "nothing").exit_code == 4
