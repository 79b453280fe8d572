"""Runs the stages in order: skips those that are up to date and reports why the others run."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from closefit import settings
from closefit.boundary.files import input_limit
from closefit.config import Config, StageName
from closefit.errors import (
    ConfigError,
    FitDivergedError,
    InputError,
    disk_full_guard,
)
from closefit.events import (
    Emit,
    Notice,
    Planned,
    StageFinished,
    StageSkipped,
    StageStarted,
)
from closefit.models import downloads, weights
from closefit.pipeline import device, forecast, freshness, recorded, run_json
from closefit.pipeline.declarations import STAGES, Stage
from closefit.pipeline.freshness import FORCED, Reason, Situation
from closefit.records import DetectedPeople, VideoInfo
from closefit.settings import GivenSettings
from closefit.storage.hashing import sha256_of
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace, create_writable
from closefit.tracking import corrections
from closefit.video import probe

logger = logging.getLogger(__name__)

STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which stages to run.

    Attributes:
        only: Just this one; its inputs must exist.
        first: This one and all later ones run again even if they are up to date.
        last: Nothing after this one runs.
        force: All selected ones run again; results of another video are replaced.
    """

    only: StageName | None = None
    first: StageName | None = None
    last: StageName | None = None
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty selection."""
        order = STAGE_NAMES.index
        if self.first and self.last and order(self.first) > order(self.last):
            raise ConfigError(
                f"`--from {self.first}` comes after `--until {self.last}`",
                hint=f"the stages run in this order: {', '.join(STAGE_NAMES)}",
            )

    @property
    def stages(self) -> tuple[StageName, ...]:
        """The selected stages, in order."""
        if self.only is not None:
            return (self.only,)
        return STAGE_NAMES[: STAGE_NAMES.index(self.last) + 1] if self.last else STAGE_NAMES

    @property
    def forced(self) -> tuple[StageName, ...]:
        """The stages that run even if they are up to date."""
        if self.first is not None:
            return STAGE_NAMES[STAGE_NAMES.index(self.first) :]
        return self.stages if self.force else ()


EVERYTHING = Selection()


def run(
    video: Path,
    out: Path,
    config: Config,
    emit: Emit,
    selection: Selection = EVERYTHING,
    *,
    weights_given: bool = True,
) -> dict[str, Any]:
    """Run the selected stages on `video` in the folder `out` and return its `run.json`.

    Missing models are downloaded to `config.weights_dir` if the user named it (`weights_given`):
    where the folder's own settings do, it may be anybody's, and they go to the usual place.

    Raises:
        ClosefitError: Any of the documented failures; finished stages are kept.
    """
    if config.export.usd and "export" in selection.stages and find_spec("pxr") is None:
        raise ConfigError(
            "`export.usd` needs the package `usd-core`",
            hint="install it with `pip install 'closefit[usd]'`, or use --set export.usd=false",
        )
    info = probe(video)
    workspace = Workspace(out)
    workspace.check_inputs(_inputs(video, config))
    workspace.create()
    with (
        workspace.locked(),
        _moving_noticed(workspace),
        workspace.logging_to_file(),
        input_limit(config.max_input_gb),
    ):
        if not selection.force:
            workspace.check_video(info.content_sha256)
        situation = _situation(workspace, config, video, info.content_sha256)
        if not weights_given:
            situation = replace(situation, download_dir=None)
        with run_json.outcome_recorded(workspace, info, config):
            if selection.only is None:
                emit(_plan(selection, situation, info))
            _warn_of_stale_inputs(selection, situation, emit)
            for stage in STAGES.values():  # track, init, optimize, export
                if stage.name in selection.stages:
                    forced = stage.name in selection.forced
                    _bring_up_to_date(stage, situation, info, emit, forced)
            run_json.raise_if_diverged(workspace)
    return workspace.read_run()


def run_as_given(
    video: Path, out: Path, given: GivenSettings, emit: Emit, selection: Selection = EVERYTHING
) -> dict[str, Any]:
    """As `run`, with settings as a user gave them.

    A folder's settings hold until others are given.

    Raises:
        ClosefitError: Any of the documented failures; finished stages are kept.
    """
    config = recorded.config_for(video, out, given, emit)
    known = settings.is_given("weights_dir", **given)
    return run(video, out, config, emit, selection, weights_given=known)


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """What `status` reports about one stage; `reason` is None where it is up to date."""

    stage: StageName
    reason: Reason | None
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "stage": self.stage,
            "up_to_date": self.reason is None,
            "reason": None if self.reason is None else asdict(self.reason),
            "seconds": self.seconds,
        }


def status(out: Path) -> list[StageStatus]:
    """Return for each stage of a started folder whether it would run, and why; runs nothing.

    Raises:
        ArtifactMissingError: `out` is not a results folder.
    """
    workspace = Workspace(out)
    facts = workspace.require_started()
    video = Path(facts["video"]["path"])
    # The folder alone is enough: the video may be gone.
    content = sha256_of(video) if video.is_file() else str(facts["video"]["content_sha256"])
    situation = _situation(workspace, recorded.config_of(out), video, content)
    times = facts.get("stages", {})
    return [
        StageStatus(stage=name, reason=reason, seconds=times.get(name, {}).get("seconds"))
        for name, reason in _expected_reasons(situation).items()
    ]


def preview(video: Path, out: Path, emit: Emit) -> Path:
    """Draw the result of `track` over the video, into the folder's `preview.mp4`.

    Raises:
        ClosefitError: The video cannot be read, `track` has not run, or the disk is full.
    """
    from closefit.stages.preview import write_preview

    workspace = Workspace(out)
    workspace.check_inputs([video])
    with workspace.locked(), workspace.logging_to_file(), disk_full_guard(workspace.preview):
        return write_preview(workspace, probe(video), emit)


def report(out: Path) -> Path:
    """Write `report.html` of a folder again, from its other files.

    Raises:
        ClosefitError: It is not a results folder, a file is missing, or the disk is full.
    """
    from closefit.exporters.report.page import write_report

    workspace = Workspace(out)
    run = workspace.require_started()
    create_writable(workspace.artifacts)
    with workspace.locked(), workspace.logging_to_file(), disk_full_guard(workspace.report):
        write_report(workspace, run)
        freshness.note_exported(workspace, workspace.report)
    return workspace.report


def _inputs(video: Path, config: Config) -> list[Path]:
    """The files and folders that the user names."""
    values = settings.flatten(config)
    named = [values[key] for key in settings.file_settings() if values[key]]
    lists = [value if isinstance(value, (tuple, list)) else [value] for value in named]
    return [video, *(Path(path) for paths in lists for path in paths)]


def _situation(workspace: Workspace, config: Config, video: Path, content: str) -> Situation:
    """Corrections that lie beside the video count as if they had been named."""
    named = config.track.corrections
    named_path = None if named is None else Path(named)
    path = corrections.find(video, named_path, workspace.corrections)
    if path is not None:
        config = replace(config, track=replace(config.track, corrections=str(path.absolute())))
    return Situation(
        workspace=workspace,
        config=config,
        video_sha256=content,
        device=device.choose(config.device),
        download_dir=config.weights_dir,
    )


def _bring_up_to_date(
    stage: Stage, situation: Situation, info: VideoInfo, emit: Emit, forced: bool
) -> None:
    """Run one stage, unless its result is up to date."""
    reason = freshness.reason_to_run(stage, situation) or (FORCED if forced else None)
    if reason is None:
        emit(StageSkipped(stage=stage.name, reason="up to date"))
        return
    workspace, config = situation.workspace, situation.config
    workspace.check_unmoved()
    if forced and stage.name == "track":  # the detector runs again too
        workspace.artifact(DetectedPeople.KIND).unlink(missing_ok=True)
    _fetch_missing_models(stage, situation, emit)
    job = Job(
        workspace=workspace,
        config=config,
        video=info,
        device=situation.device,
        emit=emit,
        provenance=freshness.expected_provenance(stage, situation),
    )
    # Seeded per stage, so that a resumed run draws the same numbers as an uninterrupted one.
    device.prepare(config.seed)
    emit(StageStarted(stage.name, str(reason), device.describe(job.device)))
    logger.info("%s: %s", stage.name, reason)
    started = time.monotonic()
    diverged = _execute(stage, job)
    seconds = round(time.monotonic() - started, 3)
    path = workspace.root if stage.record is None else workspace.artifact(stage.name)
    if stage.record is None:
        freshness.write_export_manifest(workspace, job.provenance)
    run_json.record_stage(job, seconds, diverged)
    emit(StageFinished(stage=stage.name, path=str(path), seconds=seconds))


@contextmanager
def _moving_noticed(workspace: Workspace) -> Iterator[None]:
    """Turn an error that comes from a folder that is gone into one that names the reason."""
    try:
        yield
    except Exception:
        workspace.check_unmoved()
        raise


def _execute(stage: Stage, job: Job) -> FitDivergedError | None:
    """Run one stage; a diverged fit has still written its best state, so the run goes on."""
    with disk_full_guard(job.workspace.root), device.memory_guard(job.device):
        try:
            stage.function(job)
        except FitDivergedError as error:
            if not job.workspace.artifact(stage.name).is_file():
                raise
            return error
    return None


def _fetch_missing_models(stage: Stage, situation: Situation, emit: Emit) -> None:
    """Download the models that the stage needs and that are not here, unless `--offline`."""
    config = situation.config
    missing = [
        weights.get(name)
        for name in freshness.required_models(stage, situation)
        if weights.find(name, config.weights_dir) is None
    ]
    barred = [model.name for model in missing if config.offline or model.obtain is not None]
    if barred:
        raise weights.missing_error(barred, config.weights_dir)
    if missing:
        downloads.fetch_all(missing, weights.download_folder(situation.download_dir), emit)


def _warn_of_stale_inputs(selection: Selection, situation: Situation, emit: Emit) -> None:
    """Warn where a single stage uses inputs that a whole run would renew."""
    if selection.only is None:
        return
    for name in STAGES[selection.only].inputs:
        reason = _expected_reason(STAGES[name], situation)
        if reason is not None and reason.kind not in ("missing", "unreadable", "older version"):
            text = f"`{selection.only}` takes `{name}` as it is, but that is out of date ({reason})"
            emit(Notice(text, warning=True))


def _plan(selection: Selection, situation: Situation, info: VideoInfo) -> Planned:
    """Which stages will run, and roughly how long that takes."""
    config, workspace = situation.config, situation.workspace
    reasons = _expected_reasons(situation, selection.forced)
    names = tuple(name for name in selection.stages if reasons[name] is not None)
    frames = forecast.clip_frames(info, config)
    return Planned(
        clip=f"{Path(info.path).name}: {frames} frames of {info.width}x{info.height} "
        f"({frames / info.fps:.1f} s)",
        preset=config.preset,
        device=device.describe(situation.device),
        stages=names,
        seconds=forecast.seconds(names, config, info, situation.device),
        continues="optimize" in names and workspace.optimize_checkpoint.exists(),
    )


def _expected_reasons(
    situation: Situation, forced: tuple[StageName, ...] = ()
) -> dict[StageName, Reason | None]:
    """Why each stage would run if all those before it have; None where it would not."""
    reasons: dict[StageName, Reason | None] = {}
    for name, stage in STAGES.items():
        rerun = [f"`{source}` runs again" for source in stage.inputs if reasons[source] is not None]
        if name in forced:
            reasons[name] = FORCED
        elif rerun:
            reasons[name] = Reason("input changed", ", ".join(rerun))
        else:
            reasons[name] = _expected_reason(stage, situation)
    return reasons


def _expected_reason(stage: Stage, situation: Situation) -> Reason | None:
    """As `freshness.reason_to_run`; a missing file of a setting is a reason, not an error."""
    try:
        return freshness.reason_to_run(stage, situation)
    except InputError as error:
        return Reason("input changed", error.message)
