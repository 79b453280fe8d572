"""Corrections and choices: applied on the next `stage track`, without detecting again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closefit import video
from closefit.config import Config, TrackConfig
from closefit.errors import CorrectionsError, FileMissingError
from closefit.events import Event, StageStarted
from closefit.perception import people, second_look, separation, yolo
from closefit.pipeline import runner
from closefit.pipeline.runner import Selection
from closefit.records import Track
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from tests.cli.conftest import invoke as invoke
from tests.clips import make_video
from tests.pipeline.test_track import FRAMES, SIZE_WH, StubDetector, make_observations
from tests.stubs import BlindBlazePose


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", FRAMES, SIZE_WH)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


def read_track(out: Path) -> Track:
    return artifacts.read(Workspace(out).artifact("track"), Track)


def centres(out: Path) -> np.ndarray:
    boxes = read_track(out).boxes_xyxy
    return (boxes[..., 0] + boxes[..., 2]) / 2.0


class Counted(StubDetector):
    """Counts the pictures that it is given."""

    pictures = 0

    def detect(self, images: list[np.ndarray]) -> Any:
        self.pictures += len(images)
        return super().detect(images)


class TestDetections:
    """With a detector that counts."""

    @pytest.fixture
    def detector(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counted:
        stub = Counted(np.zeros((FRAMES, 2), dtype=bool))
        monkeypatch.setattr(yolo, "YoloDetector", lambda *_: stub)
        monkeypatch.setattr(second_look, "BlazePose", lambda _: BlindBlazePose())
        monkeypatch.setattr("closefit.models.weights.file_problem", lambda *_: None)
        for name in ("yolo11n-pose.pt", "yolo11n-seg.pt", "pose_landmark_full.tflite"):
            (tmp_path / name).write_bytes(b"a network")
        return stub

    def run(self, clip: Path, out: Path, force: bool = False, **settings: Any) -> str:
        """Run the stage and return why; empty where it was up to date."""
        config = Config(
            track=TrackConfig(perception="yolo", **settings),
            weights_dir=str(clip.parent),
            device="cpu",
            offline=True,
        )
        events: list[Event] = []
        runner.run(clip, out, config, events.append, Selection(only="track", force=force))
        return "".join(event.reason for event in events if isinstance(event, StageStarted))

    def test_only_what_depends_on_it_runs_again(
        self, clip: Path, out: Path, detector: Counted
    ) -> None:
        assert self.run(clip, out) == "missing"
        before = centres(out)
        assert detector.pictures == FRAMES
        beside = clip.with_name("corrections.json")
        beside.write_text('{"swap": [20]}')
        (status, *_) = runner.status(out)
        assert str(status.reason).endswith("(the detections are kept)")
        reason = self.run(clip, out)
        assert reason.startswith("settings changed: `track.corrections` None -> sha256")
        np.testing.assert_allclose(centres(out)[20:], before[20:, ::-1])
        assert self.run(clip, out) == ""  # the same file once more changes nothing
        self.run(clip, out, people="B,A")
        np.testing.assert_allclose(centres(out)[:20], before[:20, ::-1])
        beside.unlink()
        self.run(clip, out)
        np.testing.assert_allclose(centres(out), before)
        assert detector.pictures == FRAMES

    def test_what_the_detector_depends_on_runs_it_again(
        self, clip: Path, out: Path, detector: Counted
    ) -> None:
        self.run(clip, out)
        reason = self.run(clip, out, detection_confidence=0.3)
        assert "the detections are kept" not in reason
        assert detector.pictures == 2 * FRAMES
        self.run(clip, out, force=True, detection_confidence=0.3)
        assert detector.pictures == 3 * FRAMES

    @pytest.mark.parametrize("damage", ["cut", "gone", "masks"])
    def test_damaged_detections_are_made_again(
        self, clip: Path, out: Path, detector: Counted, damage: str
    ) -> None:
        self.run(clip, out)
        before = centres(out)
        kept = Workspace(out).artifact("detections")
        if damage == "cut":
            kept.write_bytes(kept.read_bytes()[:1000])
        elif damage == "gone":
            kept.unlink()
        else:
            with np.load(kept) as archive:
                arrays = dict(archive)
            np.savez(kept, **{**arrays, "mask_bytes": np.zeros_like(arrays["mask_bytes"])})
        self.run(clip, out, people="B,A")
        np.testing.assert_allclose(centres(out), before[:, ::-1])
        assert detector.pictures == 2 * FRAMES

    def test_a_run_killed_after_detecting_goes_on_from_there(
        self, clip: Path, out: Path, detector: Counted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(people, "identify", killed)
            with pytest.raises(KeyboardInterrupt):
                self.run(clip, out)
        assert not Workspace(out).artifact("track").exists()
        assert self.run(clip, out) == "missing"
        assert detector.pictures == FRAMES
        assert read_track(out).seen.all()

    def test_wrong_corrections_are_refused_before_detecting(
        self, clip: Path, out: Path, detector: Counted
    ) -> None:
        named = clip.with_name("mine.json")
        with pytest.raises(FileMissingError, match=r"no file `.*mine\.json`"):
            self.run(clip, out, corrections=str(named))
        named.write_text('{"swap": [40]}')
        with pytest.raises(CorrectionsError, match=r"frame 40, but the clip has 40 frames"):
            self.run(clip, out, corrections=str(named))
        clip.with_name("corrections.json").write_text("{}")
        with pytest.raises(CorrectionsError, match="corrections are given twice"):
            self.run(clip, out, corrections=str(named))
        assert detector.pictures == 0

    def test_a_box_for_somebody_who_was_missed(
        self, clip: Path, out: Path, detector: Counted
    ) -> None:
        detector.hidden[8:32, 1] = True
        box = detector.people.boxes_xyxy[20, 1].tolist()
        content = {"box": [{"person": 1, "frame": 20, "xyxy": box}]}
        clip.with_name("corrections.json").write_text(json.dumps(content))
        self.run(clip, out, work_height_px=180)
        written = read_track(out)
        np.testing.assert_allclose(written.boxes_xyxy[20, 1], box, rtol=1e-5)
        assert written.filled[8:20, 1].all()
        assert written.keypoints[20, 1, :, 2].max() == 0.0

    @pytest.mark.usefixtures("detector")
    def test_ignored_frames_have_no_mask_from_the_frames_around(
        self, clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(separation, "LEAST_ACCURACY", 0.0)
        clip.with_name("corrections.json").write_text('{"ignore": [[10, 14]]}')
        self.run(clip, out, work_height_px=180)
        shown = read_track(out).person_masks.shown
        ignored = np.arange(10, 15)
        assert not shown[ignored].any()
        assert np.delete(shown, ignored, axis=0).any(axis=1).all()


def test_from_the_command_line(invoke, tmp_path: Path, clip: Path, out: Path) -> None:
    given = make_observations(tmp_path / "given.npz")
    first = invoke("stage", "track", clip, "--out", out, "--observations", given)
    assert first.exit_code == 0, first.stderr
    before = centres(out)
    quality = json.loads((out / "run.json").read_text())["quality"]["track"]
    assert [person["id"] for person in quality["people"]] == ["A", "B"]
    assert quality["doubtful_frames"] == []

    clip.with_name("clip.corrections.json").write_text('{"swap": [10]}')
    corrected = invoke("stage", "track", out, "--people", "B,A", "--preview")
    assert corrected.exit_code == 0, corrected.stderr
    assert "only who is who is decided again" in corrected.stderr
    np.testing.assert_allclose(centres(out)[:10], before[:10, ::-1])
    np.testing.assert_allclose(centres(out)[10:], before[10:])
    preview = video.probe(out / "preview.mp4")
    assert (preview.num_frames, preview.width, preview.height) == (FRAMES, *SIZE_WH)

    unknown = invoke("stage", "track", out, "--people", "A,C")
    assert unknown.exit_code == 9
    assert "there is no person `C`" in unknown.stderr
    assert "there are A, B" in unknown.stderr
    assert "Traceback" not in unknown.stderr
    np.testing.assert_allclose(centres(out)[10:], before[10:])  # what was there stays
    again = invoke("stage", "track", out)  # ... and so does the choice that worked
    assert again.exit_code == 0, again.stderr
    assert "up to date" in again.stderr

    run = invoke("run", clip, "--out", out, "--observations", given, "--until", "track")
    assert run.exit_code == 0, run.stderr
    assert "settings of this folder: `track.people` B,A" in run.stderr
    np.testing.assert_allclose(centres(out)[10:], before[10:])  # `run` follows the same people

    missing = invoke("stage", "track", out, "--corrections", tmp_path / "nothing.json")
    assert missing.exit_code == 3
    assert json.loads((out / "run.json").read_text())["settings"]["track.corrections"] is None

    clip.rename(clip.with_name("moved.mp4"))
    gone = invoke("stage", "track", out)
    assert gone.exit_code == 3
    assert f"`closefit stage NAME {out} VIDEO`" in gone.stderr


def test_wrong_usage(invoke, tmp_path: Path, clip: Path, out: Path) -> None:
    given = make_observations(tmp_path / "given.npz")
    clip.with_name("clip.corrections.json").write_text('{"drop": [{"person": 0}]}')
    usual = ["stage", "track", clip, "--out", out, "--observations", given]
    for arguments, exit_code, message in [
        (usual, 3, "`drop` 0 in"),
        ([*usual, "--people", "Anna"], 4, "does not name two people"),
        ([*usual, "--people", "B,b"], 4, "names the same person twice"),
        (["stage", "init", out, "--preview"], 4, "`stage init` has no `--preview`"),
    ]:
        result = invoke(*arguments)
        assert result.exit_code == exit_code, result.stderr
        assert message in result.stderr
    assert not Workspace(out).artifact("track").exists()
