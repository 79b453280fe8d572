"""The artifact contract: round trips, and every way in which a file can be wrong."""

import dataclasses
import json
import os
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest

from closefit.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ArtifactVersionError,
    DiskFullError,
)
from closefit.records import Motion, Track
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from tests.samples import make_motion, make_track

PROVENANCE = Provenance(
    stage="init",
    fingerprint="abc",
    revision=3,
    inputs={"track": "def"},
    settings={"init.steps": 300, "camera.file": None},
    weights={"closefit_body": "0123"},
    seed=7,
    device="cpu",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "artifacts" / "init.npz"


@pytest.fixture
def written(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    artifacts.write(path, make_motion(), PROVENANCE)
    return path


def rewrite(path: Path, **changes: np.ndarray | None) -> None:
    """Replace (or with None, drop) arrays of an artifact, leaving the rest as it is."""
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays.update({key: value for key, value in changes.items() if value is not None})
    kept = {key: value for key, value in arrays.items() if changes.get(key, value) is not None}
    np.savez(path, **kept)


def rewrite_meta(path: Path, **changes: object) -> None:
    with np.load(path) as archive:
        meta = json.loads(str(archive["__meta__"]))
    rewrite(path, __meta__=np.array(json.dumps({**meta, **changes})))


@pytest.mark.parametrize("make", [make_motion, make_track])
def test_reading_gives_back_what_was_written(tmp_path: Path, make) -> None:
    record = make()
    file = tmp_path / "record.npz"
    artifacts.write(file, record, PROVENANCE)
    again = artifacts.read(file, type(record))
    for field in dataclasses.fields(record):
        before, after = getattr(record, field.name), getattr(again, field.name)
        assert after.dtype == before.dtype, field.name
        np.testing.assert_array_equal(after, before)


def test_the_same_record_gives_the_same_bytes(written: Path) -> None:
    first = written.read_bytes()
    artifacts.write(written, make_motion(), PROVENANCE)
    assert written.read_bytes() == first


def test_provenance_survives(written: Path) -> None:
    assert artifacts.read_provenance(written, Motion) == PROVENANCE


def test_meta_holds_everything_the_contract_lists(written: Path) -> None:
    with np.load(written) as archive:
        meta = json.loads(str(archive["__meta__"]))
    assert meta["format"] == "closefit-artifact"
    assert (meta["kind"], meta["version"]) == ("init", 1)
    assert {"tool_version", "libraries", "stage", "fingerprint", "inputs"} <= meta.keys()
    assert {"settings", "weights", "seed", "device"} <= meta.keys()
    assert {"python", "numpy", "torch"} <= meta["libraries"].keys()


def test_the_error_of_a_missing_artifact_names_its_stage(path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"no `.*init\.npz`") as error:
        artifacts.read(path, Motion)
    assert error.value.hint.startswith("run `closefit stage init ")
    assert error.value.hint.endswith("results`")


def test_the_command_of_a_hint_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "Anna's hug; take 2"
    with pytest.raises(ArtifactMissingError) as error:
        artifacts.read(folder / "artifacts" / "init.npz", Motion)
    command = error.value.hint.split("`")[1]
    assert shlex.split(command) == ["closefit", "stage", "init", str(folder)]


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_an_artifact_cut_short_is_refused(written: Path, keep: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ArtifactDamagedError, match="cut short"):
        artifacts.read(written, Motion)


def test_any_flipped_byte_is_refused_or_harmless(written: Path) -> None:
    content = written.read_bytes()
    truth = artifacts.read(written, Motion)
    for position in range(0, len(content), max(1, len(content) // 60)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        written.write_bytes(damaged)
        try:
            again = artifacts.read(written, Motion)
        except (ArtifactDamagedError, ArtifactVersionError):
            continue
        np.testing.assert_array_equal(again.joints, truth.joints)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 but no zip"])
def test_other_files_are_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ArtifactDamagedError, match="damaged, or no npz"):
        artifacts.read(path, Motion)


def test_a_single_array_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ArtifactDamagedError, match="damaged, or no npz"):
        artifacts.read(path, Motion)


def test_a_pickle_is_never_run(path: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "hacked"),)

    path.parent.mkdir(parents=True)
    np.savez(path, joints=np.array([Hostile()], dtype=object), __meta__=np.array("{}"))
    with pytest.raises(ArtifactDamagedError, match="cannot use"):
        artifacts.read(path, Motion)
    assert not (tmp_path / "hacked").exists()


def test_another_kind_is_refused(written: Path) -> None:
    with pytest.raises(ArtifactDamagedError, match="holds `init`, not `track`"):
        artifacts.read(written, Track)


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_version_is_refused_with_both_numbers(written: Path, version: object) -> None:
    rewrite_meta(written, version=version)
    with pytest.raises(ArtifactVersionError, match=rf"version `{version}`.*reads 1") as error:
        artifacts.read(written, Motion)
    assert "closefit stage init" in error.value.hint


def test_another_format_is_refused(written: Path) -> None:
    rewrite_meta(written, format="else")
    with pytest.raises(ArtifactDamagedError, match="not an artifact of closefit"):
        artifacts.read(written, Motion)


def test_a_missing_field_is_named(written: Path) -> None:
    rewrite(written, betas=None)
    with pytest.raises(ArtifactDamagedError, match="lacks `betas`"):
        artifacts.read(written, Motion)


def test_an_unexpected_field_is_named(written: Path) -> None:
    rewrite(written, bonus=np.zeros(1))
    with pytest.raises(ArtifactDamagedError, match="unexpected `bonus`"):
        artifacts.read(written, Motion)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("betas", np.zeros((2, 11))),  # a wrong literal size
        ("transl", np.zeros((9, 2, 3))),  # frames disagree with the other fields
        ("betas", np.zeros((3, 10))),  # people disagree
        ("valid", np.zeros((5, 2))),  # a wrong kind of number
        ("K", np.zeros((5, 9))),  # a wrong number of axes
    ],
)
def test_a_field_that_breaks_the_schema_is_named(
    written: Path, name: str, value: np.ndarray
) -> None:
    rewrite(written, **{name: value})
    with pytest.raises(ArtifactDamagedError, match=r"`\w+` is \w+ of shape"):
        artifacts.read(written, Motion)


def test_text_fields_must_be_text(written: Path) -> None:
    rewrite(written, body_name=np.zeros(3))
    with pytest.raises(ArtifactDamagedError, match=r"`body_name` is .* instead of text"):
        artifacts.read(written, Motion)


def test_a_failed_write_leaves_the_old_artifact(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match=r"no space left to write `.*init\.npz`"):
        artifacts.write(written, make_motion(seed=1), PROVENANCE)
    assert written.read_bytes() == before
    assert [file.name for file in written.parent.iterdir()] == ["init.npz"]


def test_a_kill_between_write_and_rename_leaves_the_old_artifact(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        artifacts.write(written, make_motion(seed=1), PROVENANCE)
    assert written.read_bytes() == before


def test_masks_are_stored_compressed(tmp_path: Path) -> None:
    track = make_track(frames=30, size_wh=(640, 480))
    file = tmp_path / "track.npz"
    artifacts.write(file, track, PROVENANCE)
    assert file.stat().st_size < 30 * 640 * 480 / 8 / 5
    assert zipfile.is_zipfile(file)


@pytest.mark.parametrize(
    "changes",
    [
        {"union_mask_bytes": np.zeros(60, np.uint8), "union_mask_ends": np.arange(1, 6) * 12},
        {"person_mask_ends": np.zeros((5, 2), np.int64)},
        {"union_mask_ends": np.arange(5)[::-1]},
        {"mask_size_wh": np.array([64, 47])},
        {"mask_size_wh": np.array([-64, -48])},
    ],
    ids=["garbage", "bytes without a mask", "ends in disorder", "another size", "no size"],
)
def test_masks_that_cannot_be_read_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray]
) -> None:
    file = tmp_path / "track.npz"
    artifacts.write(file, make_track(), PROVENANCE)
    rewrite(file, **changes)
    with pytest.raises(ArtifactDamagedError, match="its masks cannot be read") as error:
        artifacts.read(file, Track)
    assert error.value.exit_code == 6


def test_masks_are_read_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = make_track(frames=140)
    file = tmp_path / "results" / "artifacts" / "track.npz"
    file.parent.mkdir(parents=True)
    artifacts.write(file, track, PROVENANCE)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text(encoding="utf-8")
    found: dict[str, np.ndarray] = {}
    for block in page.split("```python\n")[1:]:
        exec(block.split("```")[0], found)
    np.testing.assert_array_equal(found["person_masks"], track.person_masks[120])
    np.testing.assert_array_equal(found["union_masks"], track.union_masks[100:130])
    np.testing.assert_array_equal(found["mask"], track.person_masks[120, 1])
    assert found["mask"].any()
