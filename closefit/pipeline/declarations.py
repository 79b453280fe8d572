"""The four stages: what each one reads, depends on and runs. Everything about a stage is here.

    video -> track -> init -> optimize -> export

Stage modules are imported only when they run, so that commands which run nothing are quick.
"""

from collections.abc import Callable
from dataclasses import dataclass

from closefit.config import Config, StageName
from closefit.models import weights
from closefit.records import Motion, OptimizedMotion, Track
from closefit.storage.artifacts import Record
from closefit.storage.job import Job

Models = Callable[[Config, str], tuple[str, ...]]
"""Manifest names of models, given settings and device."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the pipeline.

    Attributes:
        name: Name of the command, of the settings section and of the artifact.
        function: Runs the stage.
        revision: Increased whenever the same inputs and settings give other results.
        record: Type of its artifact; None for `export`, which writes ordinary files.
        inputs: Stages whose artifacts it reads.
        reads_video: Whether it decodes the video.
        settings: Sections and single settings that it reads, apart from neutral ones.
        models: Models that it cannot run without.
        optional_models: Models that it uses if they are installed.
    """

    name: StageName
    function: Callable[[Job], None]
    revision: int
    record: type[Record] | None
    inputs: tuple[StageName, ...] = ()
    reads_video: bool = False
    settings: tuple[str, ...]
    models: Models
    optional_models: Models = lambda *_: ()


def _track(job: Job) -> None:
    from closefit.stages import track

    track.run(job)


def _init(job: Job) -> None:
    from closefit.stages import init

    init.run(job)


def _optimize(job: Job) -> None:
    from closefit.stages import optimize

    optimize.run(job)


def _export(job: Job) -> None:
    from closefit.stages import export

    export.run(job)


def _detectors(config: Config, device: str) -> tuple[str, ...]:
    return weights.track_models(config.track, device)


def _body(config: Config, device: str) -> tuple[str, ...]:
    del device
    return (weights.body_model(config.body, config.weights_dir),)


def _body_and_prior(uses_prior: Callable[[Config], bool]) -> Models:
    """The body, and the shipped prior where it is used (another prior is a setting)."""

    def models(config: Config, device: str) -> tuple[str, ...]:
        shipped = uses_prior(config) and config.init.prior_file is None
        return (*_body(config, device), *([weights.PRIOR] if shipped else []))

    return models


def _image_distance(config: Config, device: str) -> tuple[str, ...]:
    """LPIPS and, where it may, what stands in for it."""
    del device
    stand_in = [weights.LPIPS_STAND_IN] if config.optimize.lpips_stand_in else []
    return (weights.LPIPS, *stand_in)


TRACK = Stage(
    name="track",
    function=_track,
    revision=9,
    record=Track,
    reads_video=True,
    settings=("track", "camera.motion", "camera.file"),
    models=_detectors,
)
INIT = Stage(
    name="init",
    function=_init,
    revision=5,
    record=Motion,
    inputs=("track",),
    settings=("camera", "init", "track.perception", "track.observations", "body", "seed"),
    models=_body_and_prior(lambda config: config.init.prior),
)
OPTIMIZE = Stage(
    name="optimize",
    function=_optimize,
    revision=5,
    record=OptimizedMotion,
    inputs=("track", "init"),
    reads_video=True,
    settings=(
        "optimize",
        "init.keypoint_confidence",
        "init.prior",
        "init.prior_file",
        "init.prior_pose",
        "body",
        "seed",
    ),
    models=_body_and_prior(lambda config: config.motion_branch != "direct"),
    optional_models=_image_distance,
)
EXPORT = Stage(
    name="export",
    function=_export,
    revision=7,
    record=None,
    inputs=("track", "optimize"),
    reads_video=True,
    settings=("export", "camera.file", "body"),
    models=_body,
)

STAGES: dict[StageName, Stage] = {stage.name: stage for stage in (TRACK, INIT, OPTIMIZE, EXPORT)}
"""In the order in which they run."""
