"""A run brings the models that it lacks, from a real server, unless that is forbidden."""

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.fault_injection import Fault, FaultyServer
from closefit.errors import WeightsError, WeightsMissingError
from closefit.events import Event, Notice, StageStarted, Transferred
from closefit.models import weights
from closefit.pipeline import runner
from closefit.settings import GivenSettings, build_config
from closefit.storage.workspace import Workspace
from tests.stubs import StubStages

CONTENT = bytes(range(256)) * 200


@pytest.fixture
def pose_url(stub_stages: StubStages, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Take the pose network away; `url` in here is its address in the manifest."""
    del stub_stages
    (Path(os.environ["CLOSEFIT_WEIGHTS"]) / "yolo11n-pose.pt").unlink()
    known, place = weights.manifest(), {"url": "http://127.0.0.1:9/yolo11n-pose.pt"}

    def manifest() -> dict[str, weights.Model]:
        file = weights.ModelFile(
            name="yolo11n-pose.pt",
            sha256=sha256(CONTENT).hexdigest(),
            size=len(CONTENT),
            url=place["url"],
        )
        return {**known, "yolo11n-pose": replace(known["yolo11n-pose"], files=(file,))}

    monkeypatch.setattr(weights, "manifest", manifest)
    return place


def run(clip: Path, out: Path, *assignments: str) -> list[Event]:
    events: list[Event] = []
    config = build_config(assignments=["device=cpu", *assignments])
    runner.run(clip, out, config, events.append)
    return events


def test_a_run_shows_name_size_and_licence_and_fetches(
    pose_url: dict[str, str], stub_clip: Path, tmp_path: Path
) -> None:
    with FaultyServer({"pose": CONTENT}, [Fault.DROP]).running() as server:
        pose_url["url"] = f"{server.address}/pose"
        events = run(stub_clip, tmp_path / "out")
    assert server.record.ranges == 1
    assert weights.locate("yolo11n-pose").read_bytes() == CONTENT
    announced, started = (
        next(index for index, event in enumerate(events) if isinstance(event, kind))
        for kind in (Notice, StageStarted)
    )
    assert announced < started
    text = events[announced].text  # type: ignore[union-attr]
    assert "fetching `yolo11n-pose`" in text
    assert "0.1 MB; licence: AGPL-3.0" in text
    assert any(isinstance(event, Transferred) for event in events)


def test_offline_forbids_it(pose_url: dict[str, str], stub_clip: Path, tmp_path: Path) -> None:
    with FaultyServer({"pose": CONTENT}).running() as server:
        pose_url["url"] = f"{server.address}/pose"
        with pytest.raises(WeightsMissingError, match=r"`yolo11n-pose\.pt`") as error:
            run(stub_clip, tmp_path / "out", "offline=true")
    assert server.record.requests == 0
    assert "closefit download-weights yolo11n-pose" in error.value.hint


@pytest.mark.usefixtures("pose_url")
def test_all_that_is_missing_is_named_at_once(stub_clip: Path, tmp_path: Path) -> None:
    (Path(os.environ["CLOSEFIT_WEIGHTS"]) / "yolo11n-seg.pt").unlink()
    with pytest.raises(WeightsMissingError, match=r"yolo11n-pose\.pt`.*yolo11n-seg\.pt`") as error:
        run(stub_clip, tmp_path / "out", "offline=true")
    assert "closefit download-weights yolo11n-pose yolo11n-seg" in error.value.hint


@pytest.mark.usefixtures("pose_url")
def test_a_run_without_a_network_ends_in_words(
    stub_clip: Path, tmp_path: Path, stub_stages: StubStages
) -> None:
    with pytest.raises(WeightsError, match="the connection is refused") as error:
        run(stub_clip, tmp_path / "out")
    assert error.value.exit_code == 5
    assert "`closefit download-weights --from DIR`" in error.value.hint  # `run --from` is a stage
    assert stub_stages.take_runs() == {}


def test_a_folder_does_not_choose_where_models_go(
    pose_url: dict[str, str], stub_clip: Path, tmp_path: Path
) -> None:
    """It may be somebody else's."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(WeightsMissingError):
        run(stub_clip, out, "offline=true", f"weights_dir={elsewhere}")
    workspace = Workspace(out)  # a run that fails leaves no settings
    told = {"device": "cpu", "weights_dir": str(elsewhere)}
    workspace.update_run({"settings": told, "stages": {"track": {"seconds": 1.0}}})
    with FaultyServer({"pose": CONTENT}).running() as server:
        pose_url["url"] = f"{server.address}/pose"
        given = GivenSettings(assignments=["offline=false"])
        runner.run_as_given(stub_clip, out, given, lambda _: None)
    assert workspace.read_run()["settings"]["weights_dir"] == str(elsewhere)
    assert not any(elsewhere.iterdir())
    assert weights.locate("yolo11n-pose").read_bytes() == CONTENT
