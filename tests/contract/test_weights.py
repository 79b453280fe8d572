"""Model files: the manifest, where they are looked for, and what damaged ones do."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from safetensors.numpy import save_file

from closefit.config import BlazePoseSize, Sam2, TrackConfig, VitPose
from closefit.errors import ConfigError, WeightsDamagedError, WeightsMissingError
from closefit.models import weights
from closefit.models.weights import Hub, Model, ModelFile
from closefit.storage.hashing import sha256_of

CONTENT = b"the weights of a tiny model"


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one intact file and one intact hub snapshot."""
    folder = tmp_path / "source"
    snapshot = folder / "tiny-hub"
    snapshot.mkdir(parents=True)
    (folder / "tiny.bin").write_bytes(CONTENT)
    (snapshot / "config.json").write_text("{}")
    save_file({"weight": np.arange(3.0)}, snapshot / "model.safetensors")
    return folder


@pytest.fixture
def model(source: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A tiny model and, in the manifest, a tiny folder of the hub and nothing else."""
    entry = Model(
        name="tiny",
        purpose="tests",
        stages=("track",),
        licence="CC0-1.0",
        commercial_use="yes",
        files=(ModelFile(name="tiny.bin", sha256=sha256_of(source / "tiny.bin")),),
    )
    weights_file = source / "tiny-hub" / "model.safetensors"
    hub = Model(
        name="tiny-hub",
        purpose="tests",
        stages=("track",),
        licence="CC0-1.0",
        commercial_use="yes",
        hub=Hub(
            repo="nobody/tiny-hub",
            revision="main",
            files=(
                ModelFile(name="config.json"),
                ModelFile(name="model.safetensors", sha256=sha256_of(weights_file)),
            ),
        ),
    )
    monkeypatch.setattr(weights, "manifest", lambda: {"tiny": entry, "tiny-hub": hub})
    return entry


def test_the_manifest_is_complete_and_consistent() -> None:
    for name, model in weights.manifest().items():
        assert model.purpose, name
        assert model.licence, name
        assert model.commercial_use, name
        assert model.stages, name
        assert bool(model.files) != bool(model.hub), name
        for file in (*model.files, *model.wanted):
            assert re.fullmatch(r"[0-9a-f]{64}|", file.sha256), file.name
            assert file.member is None or re.fullmatch(r"[0-9a-f]{64}", file.archive_sha256)
        if model.hub is not None:
            assert re.fullmatch(r"[0-9a-f]{40}", model.hub.revision), name
        if model.obtain is None:
            assert model.source, name
            assert model.size, name


def test_pickles_of_the_manifest_are_pinned() -> None:
    """Whoever changes such a file could run code: only the published bytes will do."""
    files = [file for model in weights.manifest().values() for file in model.files]
    pickles = [file for file in files if Path(file.name).suffix in (".pt", ".pth", ".pkl")]
    assert pickles
    assert all(len(file.sha256) == 64 for file in pickles)


def test_shipped_files_match_the_manifest() -> None:
    path = weights.locate("closefit_body")
    assert path.parent == weights.shipped_folder()
    (file,) = weights.get("closefit_body").files
    assert sha256_of(path) == file.sha256


def test_shared_detectors_are_found_by_name(shared: Path) -> None:
    for name in ("yolo11n-pose", "yolo11n-seg", "blazepose-full"):
        assert weights.locate(name, shared / "weights").suffix == ".tflite"
    assert weights.locate("rtmdet-nano", shared / "weights").suffix == ".onnx"


@pytest.mark.usefixtures("model")
def test_folders_are_searched_in_the_documented_order(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, environment, cache = tmp_path / "named", tmp_path / "environment", weights.user_folder()
    for folder in (named, environment, cache):
        folder.mkdir(parents=True)
        (folder / "tiny.bin").write_bytes(CONTENT)
    monkeypatch.setenv("CLOSEFIT_WEIGHTS", str(environment))
    assert weights.locate("tiny", named).parent == named
    assert weights.locate("tiny", source).parent == source
    assert weights.locate("tiny").parent == environment
    assert weights.download_folder(named) == named
    assert weights.download_folder(None) == environment
    monkeypatch.delenv("CLOSEFIT_WEIGHTS")
    assert weights.locate("tiny").parent == weights.download_folder(None) == cache


@pytest.mark.usefixtures("model")
def test_the_error_of_missing_weights_names_folders_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"`tiny\.bin` \(for tests\)") as error:
        weights.locate("tiny", tmp_path)
    assert str(tmp_path) in error.value.message
    assert "closefit download-weights tiny" in error.value.hint
    assert "CC0-1.0" in error.value.hint


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"!", b"<html>"])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiny.bin").write_bytes(content)
    with pytest.raises(WeightsDamagedError, match=r"tiny\.bin` is damaged") as error:
        weights.locate("tiny", tmp_path)
    assert error.value.hint.startswith("delete it, then run")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_not_a_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Reading a pipe would never end."""
    make(tmp_path / "tiny.bin")
    with pytest.raises(WeightsDamagedError, match="it is not a file"):
        weights.locate("tiny", tmp_path)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
def test_an_incomplete_snapshot_is_refused(source: Path, lacking: str) -> None:
    assert weights.locate("tiny-hub", source) == source / "tiny-hub"
    (source / "tiny-hub" / lacking).unlink()
    with pytest.raises(WeightsDamagedError, match="it has no `"):
        weights.locate("tiny-hub", source)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("damaged", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"<!DOCTYPE html><p>Log in, please."])
def test_a_snapshot_with_a_damaged_file_is_refused(
    source: Path, damaged: str, content: bytes
) -> None:
    (source / "tiny-hub" / damaged).write_bytes(content)
    with pytest.raises(WeightsDamagedError, match=f"`{damaged}`: it is"):
        weights.locate("tiny-hub", source)


@pytest.mark.usefixtures("model")
def test_states_of_a_copy_are_distinguished(source: Path, tmp_path: Path) -> None:
    """A user's own weights under the same names can be used, and are not taken for others."""
    hub = weights.get("tiny-hub")
    assert weights.inspect(hub, tmp_path).state == "missing"
    assert weights.inspect(hub, source).state == "here"
    save_file({"weight": np.arange(4.0)}, source / "tiny-hub" / "model.safetensors")
    own = weights.inspect(hub, source)
    assert own.state == "own"
    assert "model.safetensors" in own.problem
    assert weights.locate("tiny-hub", source).is_dir()
    (source / "tiny-hub" / "model.safetensors").write_bytes(b"else")
    assert weights.inspect(hub, source).state == "damaged"


@pytest.mark.usefixtures("model")
def test_identity_follows_content_not_place(source: Path, tmp_path: Path) -> None:
    assert weights.identity("tiny", tmp_path) is None
    other = tmp_path / "other"
    other.mkdir()
    (other / "tiny.bin").write_bytes(CONTENT)
    assert weights.identity("tiny", other) == weights.identity("tiny", source)
    (other / "tiny.bin").write_bytes(b"else")
    assert weights.identity("tiny", other) != weights.identity("tiny", source)
    before = weights.identity("tiny-hub", source)
    save_file({"weight": -np.arange(3.0)}, source / "tiny-hub" / "model.safetensors")
    assert weights.identity("tiny-hub", source) != before


def test_an_unknown_model_is_a_settings_error() -> None:
    with pytest.raises(ConfigError, match="no model `yolo`"):
        weights.locate("yolo")


def test_the_body_is_smpl_once_it_is_imported(tmp_path: Path) -> None:
    assert weights.body_model("auto", tmp_path) == "closefit_body"
    (tmp_path / "smpl.npz").write_bytes(b"SMPL")
    assert weights.body_model("auto", tmp_path) == "smpl"
    assert weights.body_model("closefit", tmp_path) == "closefit_body"


@pytest.mark.parametrize("size", get_args(BlazePoseSize))
def test_the_chosen_blazepose_is_the_one_that_is_needed(size: BlazePoseSize) -> None:
    """So that it is fetched, and that its content is part of the fingerprint."""
    needed = weights.track_models(TrackConfig(perception="lite", blazepose=size), "cpu")
    assert set(needed) == {"rtmdet-nano", f"blazepose-{size}"}
    for name in needed:
        weights.get(name)


@pytest.mark.parametrize("sam2", get_args(Sam2))
@pytest.mark.parametrize("vitpose", get_args(VitPose))
def test_chosen_sizes_are_in_the_manifest(sam2: Sam2, vitpose: VitPose) -> None:
    settings = TrackConfig(perception="full", sam2=sam2, vitpose=vitpose)
    needed = weights.track_models(settings, "cpu")
    assert f"sam2.1-hiera-{sam2}" in needed
    assert f"vitpose-{vitpose}" in needed
    assert len(needed) == len(weights.backend_models("full"))
    for name in needed:
        weights.get(name)
