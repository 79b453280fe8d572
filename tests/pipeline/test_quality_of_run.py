"""A run says how good its result is, everywhere where quality is shown."""

import json
from pathlib import Path

import numpy as np
import pytest

from closefit.batch.record import figures
from closefit.cli.summary import summary
from closefit.datasets.ranking import score_of
from closefit.events import ignore
from closefit.exporters.motion import read_motion
from closefit.exporters.report.content import read_content
from closefit.pipeline import runner
from closefit.settings import build_config
from closefit.storage.workspace import Workspace
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

pytestmark = pytest.mark.slow

FRAMES = 8


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = tmp_path_factory.mktemp("quality")
    clip = demo_clip(place / "clip", FRAMES)
    config = build_config(assignments=[*QUICK, f"track.observations={clip.observations}"])
    runner.run(clip.video, place / "out", config, ignore)
    return Workspace(place / "out")


def test_run_json_has_the_score_and_its_reasons(workspace: Workspace) -> None:
    quality = json.loads(workspace.run_json.read_text())["quality"]
    assert 0.0 <= quality["score"] <= 1.0
    assert all(isinstance(reason, str) for reason in quality["reasons"])
    assert quality["good_frames"] is None or len(quality["good_frames"]) == 2
    assert set(quality) == {
        *("score", "reasons", "good_frames"),
        *("track", "init", "optimize", "export"),
    }


def test_every_frame_has_a_score(workspace: Workspace) -> None:
    scores = read_motion(workspace.motion).score
    assert scores is not None
    assert scores.shape == (FRAMES,)
    # A clip shorter than a window is one window.
    np.testing.assert_allclose(scores, workspace.read_run()["quality"]["score"], atol=1e-3)


def test_summary_report_and_index_show_the_score(workspace: Workspace) -> None:
    run = workspace.read_run()
    shown = f"{run['quality']['score']:.2f}"
    assert any(label == "score" and shown in text for label, text in summary(workspace.root, run))
    content = read_content(workspace, run)
    assert shown in next(f["value"] for f in content["figures"] if f["label"] == "score")
    assert "score" in [row["label"] for row in content["rows"]]
    score = score_of(figures(run["quality"]))
    assert score is not None
    assert score.reasons == tuple(run["quality"]["reasons"])


def test_results_of_earlier_versions_are_shown_without_a_score(
    workspace: Workspace, tmp_path: Path
) -> None:
    run = workspace.read_run()
    for key in ("score", "reasons", "good_frames"):
        del run["quality"][key]
    with np.load(workspace.motion) as arrays:
        old = {name: arrays[name] for name in arrays.files if name != "score"}
    for name in ("contacts.json", "scene.glb"):
        (tmp_path / name).write_bytes((workspace.root / name).read_bytes())
    np.savez(tmp_path / "motion.npz", **old)
    assert not any(label == "score" for label, _ in summary(tmp_path, run))
    content = read_content(Workspace(tmp_path), run)
    assert "score" not in [entry["label"] for entry in content["figures"] + content["rows"]]
    assert score_of(figures(run["quality"])) is None
