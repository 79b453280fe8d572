"""The real fit gives the same bits again, also when it was interrupted between checkpoints."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from closefit.errors import FitDivergedError
from closefit.events import Event, Notice, Step, ignore
from closefit.pipeline import recorded, runner
from closefit.pipeline.runner import Selection
from closefit.records import Motion, OptimizedMotion
from closefit.settings import build_config
from closefit.stages import optimize
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

Fit = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that is done as far as `init`."""
    folder = tmp_path_factory.mktemp("begun")
    clip = demo_clip(folder / "clip", 20)
    three_steps_a_pass = "optimize.frames_per_step=8"
    config = build_config(
        assignments=[*QUICK, three_steps_a_pass, f"track.observations={clip.observations}"]
    )
    runner.run(clip.video, folder / "out", config, ignore, Selection(last="init"))
    return folder / "out"


@pytest.fixture
def fit(begun: Path, tmp_path: Path) -> Fit:
    """Run `optimize` in a copy of the folder, or in `out` again; return the artifact's arrays."""

    def run(*changes: str, name: str = "out", emit: Callable[[Event], None] = ignore):
        return _fit(begun, tmp_path / name, *changes, emit=emit)

    return run


@pytest.fixture(scope="module")
def whole(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> Fit:
    """What an uninterrupted run with this setting of `optimize.motion` gives."""

    @cache
    def run(motion: str) -> dict[str, np.ndarray]:
        out = tmp_path_factory.mktemp("whole") / "out"
        return _fit(begun, out, f"optimize.motion={motion}")

    return run


def _fit(
    begun: Path, out: Path, *changes: str, emit: Callable[[Event], None] = ignore
) -> dict[str, np.ndarray]:
    if not out.exists():
        shutil.copytree(begun, out)
    config = build_config(
        recorded=Workspace(begun).require_started()["settings"], assignments=changes
    )
    runner.run(recorded.video_of(begun), out, config, emit, Selection(only="optimize"))
    with np.load(Workspace(out).artifact("optimize")) as archive:
        return {key: archive[key] for key in archive.files if not key.startswith("__")}


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        one[key].tobytes() == other[key].tobytes() for key in one
    )


@pytest.mark.slow
def test_two_runs_are_bit_identical_and_another_seed_is_not(fit: Fit, whole: Fit) -> None:
    assert _same(whole("direct"), fit("optimize.motion=direct", name="again"))
    assert not _same(whole("direct"), fit("optimize.motion=direct", "seed=1", name="another seed"))


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["direct", "both"])
def test_an_interrupted_run_is_bit_identical_to_a_whole_one(
    fit: Fit, whole: Fit, motion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = f"optimize.motion={motion}"
    monkeypatch.setattr(optimize, "CHECKPOINT_EVERY_S", -1.0)

    def interrupt(event: Event) -> None:
        if isinstance(event, Step) and event.task == "optimize" and event.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(setting, name="interrupted", emit=interrupt)
    events: list[Event] = []
    assert _same(whole(motion), fit(setting, name="interrupted", emit=events.append))
    assert any("continues at step 5" in e.text for e in events if isinstance(e, Notice))


def test_the_preset_paper_has_the_terms_of_the_paper(fit: Fit, tmp_path: Path) -> None:
    """Eq. 10 and nothing else; LPIPS is off where neither network is."""
    of_the_preset = ("optimize.motion=", "optimize.warmup_passes=")
    small = [
        value
        for value in QUICK
        if value.startswith("optimize.") and not value.startswith(of_the_preset)
    ]
    terms = {
        row: set(fit(f"preset=paper{row}", "weights_dir=none", *small, name=f"fit{row}")[
            "curve_names"
        ])
        for row in ("", "-without-appearance", "-without-physics")
    }  # fmt: skip
    motion = {"reprojection", "velocity", "anchor"}
    image = {"rgb", "ssim", "offset", "scale"}
    assert terms[""] == motion | image | {"penetration"}
    assert terms["-without-appearance"] == motion | {"penetration"}
    assert terms["-without-physics"] == motion | image
    assert Workspace(tmp_path / "fit").read_run()["quality"]["optimize"]["lpips"] == "off"


def test_a_fit_that_diverges_keeps_its_best_state_and_reports_it(fit: Fit, tmp_path: Path) -> None:
    """A learning rate out of all proportion: what is written is finite and near the start."""
    with pytest.raises(FitDivergedError, match="its best state was kept"):
        fit("optimize.lr_motion=1000", "optimize.passes=20")
    workspace = Workspace(tmp_path / "out")
    start = artifacts.read(workspace.artifact("init"), Motion)
    best = artifacts.read(workspace.artifact("optimize"), OptimizedMotion)
    assert str(best.status) == "diverged"
    assert np.abs(best.joints - start.joints).max() < 0.2
    assert workspace.read_run()["stages"]["optimize"]["diverged"]["hint"]


def test_a_checkpoint_that_cannot_be_read_is_ignored(
    fit: Fit, whole: Fit, begun: Path, tmp_path: Path
) -> None:
    shutil.copytree(begun, tmp_path / "damaged")
    Workspace(tmp_path / "damaged").optimize_checkpoint.write_bytes(b"PK\x03\x04 cut short")
    assert _same(whole("direct"), fit(name="damaged"))
