"""The real stages on the built-in clip: everything is written, and a kill changes nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from closefit.demo import DemoClip
from closefit.exporters.motion import read_motion
from closefit.pipeline import runner
from closefit.storage.workspace import Workspace
from tests.demo_clips import demo_clip

pytestmark = pytest.mark.slow

QUICK = (
    "init.prior_steps=3",
    "init.prior_samples=1",
    "optimize.passes=1",
    "optimize.warmup_passes=1",
    "optimize.image_size_px=64",
    "optimize.map_size=32",
    "optimize.latent_channels=4",
    "optimize.decoder_width=4",
    "export.panel_height_px=64",
)
PATIENCE_S = 200


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DemoClip:
    return demo_clip(tmp_path_factory.mktemp("clip"), 8)


def start(clip: DemoClip, out: Path) -> subprocess.Popen[str]:
    """Start `closefit run` in a process of its own."""
    arguments = ["run", clip.video, "--out", out, "--observations", clip.observations]
    settings = [argument for setting in QUICK for argument in ("--set", setting)]
    return subprocess.Popen(
        [sys.executable, "-c", "from closefit.cli.main import main; main()"]
        + [str(argument) for argument in (*arguments, "--device", "cpu", *settings)],
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Wait for success and return the second word of each stage's line."""
    _, printed = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, printed
    lines = [line.split() for line in printed.splitlines()]
    return [words[1] for words in lines if words[0] in ("track", "init", "optimize", "export")]


def kill_during_optimize(process: subprocess.Popen[str], workspace: Workspace) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not workspace.artifact("init").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.timeout(3 * PATIENCE_S)
def test_a_killed_run_ends_bit_identical_to_an_uninterrupted_one(
    clip: DemoClip, tmp_path: Path
) -> None:
    whole, killed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "killed")
    assert finish(start(clip, whole.root)) == ["done"] * 4
    assert all(path.is_file() for path in whole.results), "a file of the results folder is missing"

    kill_during_optimize(start(clip, killed.root), killed)
    assert not killed.artifact("optimize").exists()
    assert finish(start(clip, killed.root)) == ["up", "up", "done", "done"]
    assert killed.motion.read_bytes() == whole.motion.read_bytes()
    run = killed.read_run()
    assert run["camera"]["from"] == "estimated"
    found = read_motion(killed.motion)
    assert found.K[0, 0] == pytest.approx(run["camera"]["focal_px"], abs=0.01)
    assert found.focal_log_sigma == pytest.approx(run["quality"]["init"]["focal_log_sigma"])
    assert all(stage.reason is None for stage in runner.status(killed.root))
