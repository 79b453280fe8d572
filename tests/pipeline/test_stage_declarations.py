"""What the stages declare is what they do: a fingerprint covers every setting that is read."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closefit.config import Config
from closefit.demo import DemoClip
from closefit.events import ignore
from closefit.models import weights
from closefit.pipeline import runner
from closefit.pipeline.declarations import STAGES
from closefit.settings import affecting, build_config, flatten
from closefit.storage.job import Job
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

EXTREMES = (
    ("optimize.motion=prior", "init.prior=true"),
    ("init.prior=false", "init.steps=2", "optimize.appearance=false", "export.meshes=obj"),
)


def recording(section: Any, reads: set[str], prefix: str = "") -> Any:
    """A copy of a settings section that notes the name of every setting that is read."""
    kind = type(section)
    names = {field.name for field in fields(kind)}

    def read(self: Any, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in names and not is_dataclass(value):
            reads.add(prefix + name)
        return value

    # A subclass, so that type checks at run time accept it.
    copy = object.__new__(type(kind.__name__, (kind,), {"__getattribute__": read}))
    for name in names:
        value = getattr(section, name)
        if is_dataclass(value):
            value = recording(value, reads, f"{name}.")
        object.__setattr__(copy, name, value)
    return copy


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DemoClip:
    return demo_clip(tmp_path_factory.mktemp("clip"), 8)


@pytest.mark.slow
@pytest.mark.parametrize("settings", EXTREMES)
def test_a_stage_reads_only_settings_that_it_declares(
    clip: DemoClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    reads: dict[str, set[str]] = {}

    def watched(stage):
        def function(job: Job) -> None:
            seen = reads.setdefault(stage.name, set())
            stage.function(replace(job, config=recording(job.config, seen)))

        return replace(stage, function=function)

    camera = tmp_path / "camera.npz"
    with np.load(clip.truth) as truth:
        np.savez(camera, K=truth["K"], R=np.eye(3), t=np.zeros(3))
    given = [*QUICK, *settings, f"track.observations={clip.observations}", f"camera.file={camera}"]
    config = build_config(assignments=given)
    for name, stage in STAGES.items():
        monkeypatch.setitem(STAGES, name, watched(stage))
    runner.run(clip.video, tmp_path / "out", config, ignore)

    neutral = flatten(config).keys() - affecting(config, flatten(config))
    for name, stage in STAGES.items():
        assert reads[name] - neutral <= affecting(config, stage.settings).keys(), name
    assert "init.keypoint_confidence" in reads["optimize"]  # the recorder does record
    assert "camera.file" in reads["export"]


def test_every_declared_setting_exists() -> None:
    known = flatten(Config())
    sections = {key.split(".")[0] for key in known}
    for stage in STAGES.values():
        assert set(stage.settings) <= sections | known.keys()


@pytest.mark.parametrize("body", ["closefit", "smpl"])
@pytest.mark.parametrize("perception", ["lite", "yolo", "full"])
@pytest.mark.parametrize("motion", ["direct", "prior"])
def test_the_manifest_lists_a_model_under_every_stage_that_needs_it(
    body: str, perception: str, motion: str
) -> None:
    config = build_config(
        assignments=[f"body={body}", f"track.perception={perception}", f"optimize.motion={motion}"]
    )
    for stage in STAGES.values():
        for name in (*stage.models(config, "cpu"), *stage.optional_models(config, "cpu")):
            assert stage.name in weights.get(name).stages


@pytest.mark.parametrize(
    ("settings", "branch"),
    [
        ((), "both"),
        (("preset=draft",), "both"),
        (("init.prior=false",), "direct"),
        (("optimize.motion=direct",), "direct"),
        (("init.prior=false", "optimize.motion=prior"), "prior"),
        (("preset=paper",), "answer"),
        (("preset=paper-without-proxemics",), "direct"),
    ],
)
def test_the_prior_moves_by_default_where_it_is_used(
    settings: tuple[str, ...], branch: str
) -> None:
    config = build_config(assignments=list(settings))
    assert config.motion_branch == branch
    needed = STAGES["optimize"].models(config, "cpu")
    assert (weights.PRIOR in needed) == (branch != "direct")


def test_stages_read_only_earlier_ones() -> None:
    order = list(STAGES)
    for name, stage in STAGES.items():
        assert all(order.index(source) < order.index(name) for source in stage.inputs)
