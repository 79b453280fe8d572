"""A folder's settings hold until others are given; a failed run leaves them untouched."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from closefit.config import PRESETS, Config
from closefit.errors import (
    ClosefitError,
    DiskFullError,
    FitDivergedError,
    NoFramesError,
    OutputFolderError,
)
from closefit.events import Event, Notice
from closefit.pipeline import runner
from closefit.pipeline.runner import EVERYTHING, Selection
from closefit.settings import GivenSettings, build_config, flatten
from closefit.storage.workspace import Workspace
from tests.stubs import StubStages, write_video

Run = Callable[..., str]
STAGES = ("track", "init", "optimize", "export")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def run(stub_stages: StubStages, stub_clip: Path, out: Path) -> Run:  # noqa: ARG001 - puts the stubs in place
    """Run as the command does; return what it reports."""

    def run_with(
        *assignments: str,
        video: Path = stub_clip,
        selection: Selection = EVERYTHING,
        **flags: Any,
    ) -> str:
        events: list[Event] = []
        given = GivenSettings(assignments=assignments, flags=flags)
        runner.run_as_given(video, out, given, events.append, selection)
        return "\n".join(event.text for event in events if isinstance(event, Notice))

    return run_with


def recorded(out: Path) -> dict[str, Any]:
    settings: dict[str, Any] = Workspace(out).read_run()["settings"]
    return settings


def test_a_run_without_options_goes_on_with_the_folders_own(
    run: Run, stub_stages: StubStages, out: Path, tmp_path: Path
) -> None:
    observations = tmp_path / "observations.npz"
    observations.write_bytes(b"one")
    options = ("device=cpu", "preset=draft", "track.start_s=0.1")
    assert run(*options, f"track.observations={observations}") == ""
    first = recorded(out)
    stub_stages.take_runs()
    text = run()
    assert stub_stages.take_runs() == {}
    assert recorded(out) == first
    for shown in ("`preset` draft", "`track.start_s` 0.1", f"`track.observations` {observations}"):
        assert shown in text
    assert "changed" not in text


def test_what_differs_from_the_folder_is_named(run: Run, stub_stages: StubStages) -> None:
    run("device=cpu", "init.steps=7", "track.people=A,B")
    stub_stages.take_runs()
    text = run("init.steps=9", "track.people=none")
    assert "changed from the last run in this folder: `track.people` None, `init.steps` 9" in text
    assert "`init.steps` 7" not in text
    assert list(stub_stages.take_runs()) == list(STAGES)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_replaces_an_earlier_one(preset: str) -> None:
    for before in PRESETS:
        earlier = flatten(build_config(values={"preset": before}))
        later = build_config(recorded=earlier, values={"preset": preset})
        assert later == build_config(values={"preset": preset})


def test_settings_are_of_one_video(run: Run, out: Path, tmp_path: Path) -> None:
    run("device=cpu", "track.people=A,B")
    other = write_video(tmp_path / "other.mp4", b"another video")
    with pytest.raises(OutputFolderError, match="another video"):
        run(video=other)
    assert recorded(out)["track.people"] == "A,B"
    run("device=cpu", video=other, selection=Selection(force=True))
    assert recorded(out)["track.people"] is None
    assert Workspace(tmp_path / "new").settings_for(other) is None
    assert Workspace(out).settings_for(tmp_path / "nothing.mp4") is None


ERRORS = (
    NoFramesError("nothing there", "choose"),
    DiskFullError("full", "free some"),
    RuntimeError("a bug"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("stage", ["track", "optimize"])
def test_a_failed_run_leaves_the_settings_untouched(
    run: Run, stub_stages: StubStages, out: Path, error: Exception, stage: str
) -> None:
    run("device=cpu", "init.steps=7")
    before = recorded(out)
    stub_stages.by_name(stage).fails_with = error
    with pytest.raises(type(error)):
        run("track.start_s=0.1")
    assert recorded(out) == before
    stub_stages.by_name(stage).fails_with = None
    run()
    assert recorded(out) == before


def test_a_first_run_that_fails_at_once_binds_nobody(
    run: Run, stub_stages: StubStages, out: Path
) -> None:
    stub_stages.by_name("track").fails_with = NoFramesError("nothing there", "choose")
    with pytest.raises(NoFramesError):
        run("device=cpu", "track.start_s=100")
    stub_stages.by_name("track").fails_with = None
    run("device=cpu")
    assert recorded(out)["track.start_s"] == 0.0


@pytest.mark.parametrize("end", [KeyboardInterrupt(), FitDivergedError("far away", "lower it")])
def test_an_interrupted_or_diverged_run_keeps_its_settings(
    run: Run, stub_stages: StubStages, out: Path, end: BaseException
) -> None:
    run("device=cpu", "init.steps=7")
    optimize = stub_stages.by_name("optimize")
    compute = optimize.compute

    def ends(job: Any) -> None:
        compute(job)
        raise end

    optimize.compute = ends
    with pytest.raises(type(end)):
        run("init.steps=9")
    assert recorded(out)["init.steps"] == 9


def test_a_folder_that_is_moved_in_the_middle(
    run: Run, stub_stages: StubStages, out: Path, tmp_path: Path, stub_clip: Path
) -> None:
    """The run ends in a sentence, writes nothing elsewhere, and continues in the new place."""
    moved, init = tmp_path / "moved", stub_stages.by_name("init")
    compute = init.compute

    def move(job: Any) -> None:
        out.rename(moved)
        compute(job)

    init.compute = move
    with pytest.raises(OutputFolderError, match="was moved or removed"):
        run("device=cpu")
    assert not out.exists()
    init.compute = compute
    stub_stages.take_runs()
    runner.run_as_given(stub_clip, moved, GivenSettings(), lambda _: None)
    assert list(stub_stages.take_runs()) == ["init", "optimize", "export"]


def test_another_run_in_the_place_of_a_moved_folder(
    run: Run, stub_stages: StubStages, out: Path, tmp_path: Path
) -> None:
    init = stub_stages.by_name("init")
    compute = init.compute

    def replace(job: Any) -> None:
        out.rename(tmp_path / "moved")
        other = Workspace(out)
        other.create()
        (other.artifacts / ".lock").write_text("1")
        compute(job)

    init.compute = replace
    with pytest.raises(OutputFolderError, match="was moved or removed"):
        run("device=cpu")
    assert not Workspace(out).artifact("optimize").exists()


def test_two_runs_on_one_folder(run: Run, out: Path) -> None:
    run("device=cpu")
    with (
        Workspace(out).locked(),
        pytest.raises(ClosefitError, match=f"in use by another closefit.*`{os.getpid()}`") as error,
    ):
        run()
    assert error.value.exit_code == 10


def test_a_clock_that_goes_backwards_reruns_nothing(
    run: Run, stub_stages: StubStages, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the dates of files nor the time of day decide anything."""
    run("device=cpu")
    stub_stages.take_runs()
    for index, path in enumerate(sorted(out.rglob("*"))):
        os.utime(path, (index, index) if index % 2 else (4e9, 4e9))
    hours = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "time", lambda: 3600.0 * next(hours))
    run()
    assert stub_stages.take_runs() == {}
    run("init.steps=9")
    seconds = [entry["seconds"] for entry in Workspace(out).read_run()["stages"].values()]
    assert min(seconds) >= 0
    assert Config().init.steps != 9
