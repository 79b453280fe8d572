"""Model files: the manifest, where they are looked for, what damaged ones do, and fetching them."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from closefit import downloads, weights
from closefit.errors import (
    ConfigError,
    DiskFullError,
    OutputFolderError,
    WeightsDamagedError,
    WeightsError,
    WeightsMissingError,
)
from closefit.events import Event, Notice
from closefit.hashing import sha256_of
from closefit.weights import Model, ModelFile

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
    (snapshot / "model.safetensors").write_bytes(CONTENT)
    return folder


@pytest.fixture
def model(source: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A tiny model and, in the manifest, nothing else."""
    entry = Model(
        name="tiny",
        purpose="tests",
        stages=("track",),
        licence="CC0-1.0",
        commercial_use="yes",
        files=(ModelFile(name="tiny.bin", sha256=sha256_of(source / "tiny.bin")),),
    )
    hub = Model(
        name="tiny-hub",
        purpose="tests",
        stages=("track",),
        licence="CC0-1.0",
        commercial_use="yes",
        hub_repo="nobody/tiny-hub",
        hub_revision="main",
    )
    monkeypatch.setattr(weights, "manifest", lambda: {"tiny": entry, "tiny-hub": hub})
    return entry


@pytest.fixture
def server(source: Path) -> Iterator[str]:
    """Address of a local web server with the files of `source`."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    handler = functools.partial(Silent, directory=str(source))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_address[1]}"
        http_server.shutdown()
        thread.join()


def test_the_manifest_is_complete_and_consistent() -> None:
    for name, model in weights.manifest().items():
        assert model.purpose, name
        assert model.licence, name
        assert model.commercial_use, name
        assert model.stages, name
        assert bool(model.files) != bool(model.hub_repo), name
        for file in model.files:
            assert set(file.sha256) <= set("0123456789abcdef"), file.name
        if model.obtain is None:
            assert model.downloadable or model.hub_repo, name


def test_shipped_files_are_what_the_manifest_says() -> None:
    path = weights.locate("closefit_body")
    assert path.parent == weights.shipped_folder()
    (file,) = weights.get("closefit_body").files
    assert sha256_of(path) == file.sha256


def test_shared_detectors_are_found_by_name(shared: Path) -> None:
    for name in ("yolo11n-pose", "yolo11n-seg", "blazepose-lite"):
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
    monkeypatch.delenv("CLOSEFIT_WEIGHTS")
    assert weights.locate("tiny").parent == cache


@pytest.mark.usefixtures("model")
def test_missing_weights_say_where_they_were_looked_for_and_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"`tiny\.bin` \(for tests\)") as error:
        weights.locate("tiny", tmp_path)
    assert str(tmp_path) in error.value.message
    assert "closefit download-weights tiny" in error.value.hint
    assert "CC0-1.0" in error.value.hint


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"!"])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiny.bin").write_bytes(content)
    with pytest.raises(WeightsDamagedError, match=r"tiny\.bin` is damaged") as error:
        weights.locate("tiny", tmp_path)
    assert error.value.hint.startswith("delete it, then run")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
def test_an_incomplete_snapshot_is_refused(source: Path, lacking: str) -> None:
    assert weights.locate("tiny-hub", source) == source / "tiny-hub"
    (source / "tiny-hub" / lacking).unlink()
    with pytest.raises(WeightsDamagedError, match="it has no `"):
        weights.locate("tiny-hub", source)


@pytest.mark.usefixtures("model")
def test_identity_follows_content_not_place(source: Path, tmp_path: Path) -> None:
    assert weights.identity("tiny", tmp_path) is None
    other = tmp_path / "other"
    other.mkdir()
    (other / "tiny.bin").write_bytes(CONTENT)
    assert weights.identity("tiny", other) == weights.identity("tiny", source)
    (other / "tiny.bin").write_bytes(b"else")
    assert weights.identity("tiny", other) != weights.identity("tiny", source)


def test_an_unknown_model_is_a_settings_error() -> None:
    with pytest.raises(ConfigError, match="no model `yolo`"):
        weights.locate("yolo")


def test_the_body_is_smpl_once_it_is_imported(tmp_path: Path) -> None:
    assert weights.body_model("auto", tmp_path) == "closefit_body"
    (tmp_path / "smpl.npz").write_bytes(b"SMPL")
    assert weights.body_model("auto", tmp_path) == "smpl"
    assert weights.body_model("closefit", tmp_path) == "closefit_body"


def test_fetching_from_a_folder_or_an_address_gives_the_same_intact_file(
    model: Model, source: Path, server: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    for origin in (str(source), server, server + "/"):
        target = tmp_path / f"target{len(events)}"
        path = downloads.fetch(model, target, events.append, origin)
        assert path == target / "tiny.bin"
        assert path.read_bytes() == CONTENT
        assert [file.name for file in target.iterdir()] == ["tiny.bin"]
    assert all(isinstance(event, Notice) and "CC0-1.0" in event.text for event in events)


@pytest.mark.usefixtures("model")
def test_fetching_a_snapshot_from_a_folder(source: Path, tmp_path: Path) -> None:
    hub = weights.get("tiny-hub")
    path = downloads.fetch(hub, tmp_path / "target", _ignore, str(source))
    assert (path / "model.safetensors").read_bytes() == CONTENT
    again = downloads.fetch(hub, tmp_path / "target", _ignore, str(source))
    assert again == path


def test_what_is_fetched_is_checked_before_it_takes_its_place(
    model: Model, source: Path, server: str, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    intact = downloads.fetch(model, target, _ignore, str(source))
    (source / "tiny.bin").write_bytes(b"something else")
    for origin in (str(source), server):
        with pytest.raises(WeightsDamagedError, match="SHA-256"):
            downloads.fetch(model, target, _ignore, origin)
    assert intact.read_bytes() == CONTENT
    assert [file.name for file in target.iterdir()] == ["tiny.bin"]


def test_an_address_that_does_not_answer_says_so(model: Model, server: str, tmp_path: Path) -> None:
    for origin in (f"{server}/nothing/here", "http://127.0.0.1:9"):
        with pytest.raises(WeightsError, match="cannot download `http") as error:
            downloads.fetch(model, tmp_path / "target", _ignore, origin)
        assert "--from DIR" in error.value.hint


@pytest.mark.usefixtures("model")
def test_the_hub_out_of_reach_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot download `nobody/tiny-hub@main`"):
        downloads.fetch(weights.get("tiny-hub"), tmp_path / "target", _ignore)


def test_a_folder_without_the_file_is_named(model: Model, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no `tiny\.bin`"):
        downloads.fetch(model, tmp_path / "target", _ignore, str(tmp_path))


def test_a_model_that_must_be_fetched_by_hand_says_how(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file that can be downloaded") as error:
        downloads.fetch(weights.get("smpl"), tmp_path / "target", _ignore)
    assert "closefit import-smpl" in error.value.hint


def test_a_target_that_cannot_be_written_is_named(
    model: Model, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match="cannot write to"):
        downloads.fetch(model, tmp_path / "file" / "target", _ignore, str(source))


def test_a_full_disk_is_named(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(DiskFullError, match="no space left"):
        downloads.fetch(model, tmp_path / "target", _ignore, str(source))


def _ignore(event: Event) -> None:
    del event
