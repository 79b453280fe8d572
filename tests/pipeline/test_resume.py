"""What runs again and why: every reason, every control, and every way to be cut off."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closefit.config import Config
from closefit.errors import (
    ArtifactMissingError,
    ConfigError,
    DiskFullError,
    FileMissingError,
    FitDivergedError,
    OutputFolderError,
    WeightsMissingError,
)
from closefit.events import Event, Notice, StageFinished, StageSkipped, StageStarted
from closefit.pipeline import recorded, runner
from closefit.pipeline.declarations import STAGES
from closefit.pipeline.runner import EVERYTHING, Selection
from closefit.records import Track
from closefit.settings import build_config
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from tests.stubs import StubStages, write_video

ALL = {"track": 1, "init": 1, "optimize": 1, "export": 1}

Run = Callable[..., list[Event]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def run(stub_stages: StubStages, stub_clip: Path, out: Path) -> Run:  # noqa: ARG001 - puts the stubs in place
    """Run the pipeline with the given settings and return the events."""

    def run_with(
        *assignments: str, video: Path = stub_clip, selection: Selection = EVERYTHING
    ) -> list[Event]:
        events: list[Event] = []
        config = build_config(assignments=["device=cpu", "offline=true", *assignments])
        runner.run(video, out, config, events.append, selection)
        return events

    return run_with


def reasons(events: list[Event]) -> dict[str, str]:
    return {event.stage: event.reason for event in events if isinstance(event, StageStarted)}


def skipped(events: list[Event]) -> list[str]:
    return [event.stage for event in events if isinstance(event, StageSkipped)]


def test_the_first_run_does_everything(run: Run, stub_stages: StubStages, out: Path) -> None:
    events = run()
    assert stub_stages.take_runs() == ALL
    assert reasons(events) == dict.fromkeys(ALL, "missing")
    finished = [event for event in events if isinstance(event, StageFinished)]
    assert [Path(event.path) for event in finished] == [
        *(out / "artifacts" / f"{name}.npz" for name in ("track", "init", "optimize")),
        out,
    ]


def test_the_second_run_does_nothing(run: Run, stub_stages: StubStages) -> None:
    run()
    stub_stages.take_runs()
    events = run()
    assert stub_stages.take_runs() == {}
    assert skipped(events) == list(ALL)


@pytest.mark.parametrize(
    ("setting", "again", "reason"),
    [
        ("track.max_gap_s=0.25", ALL, "settings changed: `track.max_gap_s` 0.5 -> 0.25"),
        ("init.steps=7", ["init", "optimize", "export"], "settings changed: `init.steps`"),
        ("optimize.passes=7", ["optimize", "export"], "settings changed: `optimize.passes`"),
        ("export.panel_height_px=99", ["export"], "settings changed: `export.panel_height_px`"),
        ("camera.fov_deg=50", ["init", "optimize", "export"], "`camera.fov_deg` None -> 50.0"),
        ("seed=1", ["init", "optimize", "export"], "settings changed: `seed` 0 -> 1"),
    ],
)
def test_a_changed_setting_reruns_what_depends_on_it(
    run: Run, stub_stages: StubStages, setting: str, again: list[str], reason: str
) -> None:
    run()
    stub_stages.take_runs()
    started = reasons(run(setting))
    assert list(stub_stages.take_runs()) == list(again)
    first, *later = started
    assert reason in started[first]
    assert all(
        started[name].startswith(("input changed: `", "settings changed: `")) for name in later
    )


@pytest.mark.parametrize("setting", ["offline=false", "device=auto"])
def test_a_neutral_setting_reruns_nothing(run: Run, stub_stages: StubStages, setting: str) -> None:
    run()
    stub_stages.take_runs()
    run(setting)
    assert stub_stages.take_runs() == {}


def test_moving_the_folder_and_the_video_reruns_nothing(
    run: Run, stub_stages: StubStages, stub_clip: Path, out: Path, tmp_path: Path
) -> None:
    run()
    stub_stages.take_runs()
    moved_video, moved_out = tmp_path / "moved.mp4", tmp_path / "moved"
    stub_clip.rename(moved_video)
    out.rename(moved_out)
    config = build_config(assignments=["device=cpu"])
    runner.run(moved_video, moved_out, config, lambda _: None)
    assert stub_stages.take_runs() == {}


def test_a_changed_observations_file_reruns_track(
    run: Run, stub_stages: StubStages, tmp_path: Path
) -> None:
    observations = tmp_path / "observations.npz"
    observations.write_bytes(b"one")
    run(f"track.observations={observations}")
    stub_stages.take_runs()
    copy = tmp_path / "copy.npz"
    copy.write_bytes(b"one")
    run(f"track.observations={copy}")
    assert stub_stages.take_runs() == {}
    copy.write_bytes(b"two")
    started = reasons(run(f"track.observations={copy}"))
    assert started["track"].startswith("settings changed: `track.observations` sha256")
    assert stub_stages.take_runs() == ALL


def test_a_vanished_observations_file_stops_only_what_reads_it(
    run: Run, stub_stages: StubStages, out: Path, tmp_path: Path
) -> None:
    observations = tmp_path / "observations.npz"
    observations.write_bytes(b"one")
    run(f"track.observations={observations}")
    stub_stages.take_runs()
    observations.unlink()
    assert "there is no file" in str(runner.status(out)[0].reason)
    run(f"track.observations={observations}", selection=Selection(only="export", force=True))
    assert list(stub_stages.take_runs()) == ["export"]
    with pytest.raises(FileMissingError, match=r"observations\.npz`"):
        run(f"track.observations={observations}")


def test_a_missing_artifact_is_made_again_and_nothing_else(
    run: Run, stub_stages: StubStages, out: Path
) -> None:
    run()
    stub_stages.take_runs()
    (out / "artifacts" / "init.npz").unlink()
    assert reasons(run()) == {"init": "missing"}


def test_an_artifact_cut_short_is_made_again(run: Run, out: Path) -> None:
    run()
    artifact = out / "artifacts" / "track.npz"
    artifact.write_bytes(artifact.read_bytes()[:-40])
    started = reasons(run())
    assert list(started) == ["track"]
    assert started["track"].startswith("unreadable: cannot use")


def test_an_artifact_of_an_older_version_is_made_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr("closefit.records.Track.VERSION", Track.VERSION + 1)
    assert reasons(run())["track"].startswith("older version")


def test_a_stage_that_works_differently_now_runs_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    init = STAGES["init"]
    monkeypatch.setitem(STAGES, "init", replace(init, revision=init.revision + 1))
    started = reasons(run())
    assert started["init"] == "closefit changed: `init` works differently in this version"
    assert started["optimize"] == "input changed: `init`"


def test_other_weights_rerun_what_uses_them(run: Run, stub_stages: StubStages) -> None:
    run()
    stub_stages.take_runs()
    model = Path(os.environ["CLOSEFIT_WEIGHTS"]) / "yolo11n-pose.pt"
    model.write_bytes(b"another model")
    assert reasons(run())["track"] == "weights changed: `yolo11n-pose`"


def test_weights_that_are_gone_spoil_no_finished_result(run: Run, stub_stages: StubStages) -> None:
    run()
    stub_stages.take_runs()
    (Path(os.environ["CLOSEFIT_WEIGHTS"]) / "yolo11n-pose.pt").unlink()
    run()
    assert stub_stages.take_runs() == {}


def test_missing_weights_stop_the_stage_that_needs_them(run: Run, stub_stages: StubStages) -> None:
    (Path(os.environ["CLOSEFIT_WEIGHTS"]) / "yolo11n-pose.pt").unlink()
    with pytest.raises(WeightsMissingError, match=r"`yolo11n-pose\.pt`") as error:
        run()
    assert "download-weights yolo11n-pose" in error.value.hint
    assert stub_stages.take_runs() == {}


def test_a_deleted_result_file_is_exported_again(
    run: Run, stub_stages: StubStages, out: Path
) -> None:
    run()
    stub_stages.take_runs()
    (out / "contacts.json").unlink()
    started = reasons(run())
    assert started == {"export": "unreadable: `contacts.json` is missing or was changed"}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(force=True), list(ALL)),
        (Selection(first="optimize"), ["optimize", "export"]),
        (Selection(first="init", last="init"), ["init"]),
        (Selection(only="export", force=True), ["export"]),
        (Selection(only="export"), []),
        (Selection(last="track"), []),
    ],
)
def test_the_controls_select_what_runs(
    run: Run, stub_stages: StubStages, selection: Selection, expected: list[str]
) -> None:
    run()
    stub_stages.take_runs()
    started = reasons(run(selection=selection))
    assert list(stub_stages.take_runs()) == expected
    assert set(started.values()) <= {"forced"}


def test_until_stops_after_its_stage(run: Run, stub_stages: StubStages) -> None:
    run(selection=Selection(last="init"))
    assert list(stub_stages.take_runs()) == ["track", "init"]


def test_from_must_not_come_after_until() -> None:
    with pytest.raises(ConfigError, match="`--from export` comes after `--until init`"):
        Selection(first="export", last="init")


def test_a_single_stage_needs_its_inputs(run: Run) -> None:
    with pytest.raises(ArtifactMissingError, match=r"no `.*track\.npz`") as error:
        run(selection=Selection(only="init"))
    assert "closefit stage track" in error.value.hint


def test_a_single_stage_warns_of_inputs_that_a_whole_run_would_renew(run: Run) -> None:
    run()
    events = run("camera.fov_deg=40", selection=Selection(only="optimize"))
    (warning,) = [event.text for event in events if isinstance(event, Notice)]
    assert warning.startswith("`optimize` takes `init` as it is, but that is out of date (settings")
    assert not [
        event
        for event in run("camera.fov_deg=40", selection=Selection(only="init"))
        if isinstance(event, Notice)
    ]


@pytest.mark.parametrize("stage", ["track", "init", "optimize", "export"])
def test_a_run_cut_off_in_any_stage_ends_like_an_uninterrupted_one(
    run: Run, stub_stages: StubStages, out: Path, stub_clip: Path, tmp_path: Path, stage: str
) -> None:
    whole = tmp_path / "whole"
    runner.run(stub_clip, whole, build_config(assignments=["device=cpu"]), lambda _: None)
    stub_stages.take_runs()

    stub_stages.by_name(stage).fails_with = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert Workspace(out).read_run()["status"] == "interrupted"
    finished = list(stub_stages.take_runs())[:-1]
    stub_stages.by_name(stage).fails_with = None
    events = run()
    assert skipped(events) == finished
    assert Workspace(out).read_run()["status"] == "done"
    assert (out / "motion.npz").read_bytes() == (whole / "motion.npz").read_bytes()


def test_a_kill_between_write_and_rename_is_as_if_the_stage_had_not_run(
    run: Run, stub_stages: StubStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if target.name == "init.npz":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    stub_stages.take_runs()
    assert reasons(run()) == dict.fromkeys(["init", "optimize", "export"], "missing")


def test_partial_files_of_a_killed_run_are_removed(run: Run, out: Path) -> None:
    run()
    partial = out / "artifacts" / f"{artifacts.TEMPORARY_PREFIX}1-track.npz"
    partial.write_bytes(b"half")
    run()
    assert not partial.exists()


def test_a_stage_that_needs_more_disk_than_there_is_keeps_the_finished_ones(
    run: Run, stub_stages: StubStages
) -> None:
    stub_stages.optimize.fails_with = OSError(28, "No space left on device")
    with pytest.raises(DiskFullError, match="no space left"):
        run()
    stub_stages.optimize.fails_with = None
    stub_stages.take_runs()
    assert list(reasons(run())) == ["optimize", "export"]


def test_a_diverged_fit_is_exported_and_reported_on_every_run(
    run: Run, stub_stages: StubStages, out: Path
) -> None:
    compute = stub_stages.optimize.compute

    def diverge(job) -> None:
        compute(job)
        raise FitDivergedError("the fit diverged at step `3`", hint="try a lower learning rate")

    stub_stages.optimize.compute = diverge
    for _ in range(2):
        with pytest.raises(FitDivergedError, match="at step `3`"):
            run()
    assert stub_stages.take_runs() == ALL
    assert (out / "motion.npz").is_file()
    stub_stages.optimize.compute = compute
    run("optimize.passes=9")


def test_another_video_is_refused_unless_forced(
    run: Run, stub_stages: StubStages, tmp_path: Path
) -> None:
    run()
    stub_stages.take_runs()
    other = write_video(tmp_path / "other.mp4", b"another video")
    with pytest.raises(OutputFolderError, match="another video"):
        run(video=other)
    assert stub_stages.take_runs() == {}
    run(video=other, selection=Selection(force=True))
    assert stub_stages.take_runs() == ALL
    run(video=other)
    assert stub_stages.take_runs() == {}


def test_run_json_holds_settings_times_and_status(run: Run, out: Path, stub_clip: Path) -> None:
    run("camera.focal_px=100")
    facts = json.loads((out / "run.json").read_text())
    assert facts["status"] == "done"
    assert facts["video"]["path"] == str(stub_clip)
    assert facts["video"]["fps"] == 30.0
    assert facts["settings"]["camera.focal_px"] == 100
    assert facts["camera"] == {"focal_px": 100.0, "fov_deg": 43.603, "from": "--focal"}
    assert set(facts["stages"]) == set(ALL)
    assert all(entry["seconds"] >= 0 for entry in facts["stages"].values())
    assert facts["quality"]["init"] == {"steps": Config().init.steps}


def test_status_lists_what_would_run_without_running_it(
    run: Run, stub_stages: StubStages, out: Path, stub_clip: Path
) -> None:
    run()
    stub_stages.take_runs()
    assert [entry.reason for entry in runner.status(out)] == [None] * 4
    (out / "artifacts" / "init.npz").unlink()
    reasons = {entry.stage: str(entry.reason) for entry in runner.status(out)}
    assert reasons == {
        "track": "None",
        "init": "missing",
        "optimize": "input changed: `init` runs again",
        "export": "input changed: `optimize` runs again",
    }
    stub_clip.unlink()  # the folder alone is enough
    assert runner.status(out)[0].reason is None
    assert stub_stages.take_runs() == {}


def test_status_of_another_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="not a results folder"):
        runner.status(tmp_path)


def test_a_single_stage_goes_on_with_the_recorded_settings(run: Run, out: Path) -> None:
    run("init.steps=11", "preset=paper")
    assert recorded.config_of(out).init.steps == 11
    assert recorded.config_of(out).preset == "paper"


def test_each_stage_draws_the_same_numbers_alone_as_in_a_whole_run(run: Run, out: Path) -> None:
    run()
    first = np.load(out / "artifacts" / "optimize.npz")["transl"]
    run(selection=Selection(only="optimize", force=True))
    np.testing.assert_array_equal(np.load(out / "artifacts" / "optimize.npz")["transl"], first)
