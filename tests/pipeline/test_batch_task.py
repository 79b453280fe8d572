"""What a worker does for a clip in whose place something was before."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from closefit.batch.folder import BatchFolder
from closefit.batch.task import Outcome, Task, perform
from closefit.storage.workspace import Workspace
from tests.stubs import StubStages, write_video

FOCAL = {"device": "cpu", "camera.focal_px": 500.0}


@pytest.fixture
def batch(tmp_path: Path) -> BatchFolder:
    folder = BatchFolder(tmp_path / "batch")
    folder.create()
    return folder


@pytest.fixture
def done(batch: BatchFolder, stub_clip: Path, stub_stages: StubStages) -> Any:  # noqa: ARG001
    """Does the clip `hug` with settings; returns what its folder has recorded."""

    def run(values: dict[str, Any]) -> dict[str, Any]:
        task = Task(
            name="hug",
            video=str(stub_clip),
            batch=str(batch.root),
            batch_id=batch.ensured_identity(),
            values=values,
        )
        outcome = Outcome(**perform(asdict(task)))
        assert outcome.exit_code == 0, outcome.error
        return Workspace(batch.results("hug")).read_run()

    return run


def test_an_option_that_is_withdrawn_holds_no_more(done: Any) -> None:
    assert done(FOCAL)["settings"]["camera.focal_px"] == 500.0
    assert done({"device": "cpu"})["settings"]["camera.focal_px"] is None


def test_a_file_that_has_changed_is_done_anew(done: Any, stub_clip: Path, tmp_path: Path) -> None:
    before = done(FOCAL)["video"]["content_sha256"]
    shutil.copyfile(write_video(tmp_path / "other.mp4", b"another"), stub_clip)
    assert done(FOCAL)["video"]["content_sha256"] != before


def test_corrections_made_in_the_viewer_hold(done: Any, batch: BatchFolder) -> None:
    done(FOCAL)
    marked = Workspace(batch.results("hug")).corrections
    marked.write_text("{}")
    assert done(FOCAL)["settings"]["track.corrections"] == str(marked)
