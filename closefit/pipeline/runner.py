"""Runs the stages in order: skips what is up to date, says why it runs the rest."""

import importlib
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from closefit import __version__, settings
from closefit.config import Config
from closefit.errors import (
    ClosefitError,
    ConfigError,
    FileMissingError,
    FitDivergedError,
    InputError,
    PeopleError,
)
from closefit.events import Emit, Notice, StageFinished, StageSkipped, StageStarted
from closefit.models import downloads, weights
from closefit.pipeline import device, freshness
from closefit.pipeline.freshness import (
    FORCED,
    STAGE_NAMES,
    STAGES,
    Reason,
    Situation,
    Stage,
    StageName,
)
from closefit.records import DetectedPeople, VideoInfo
from closefit.storage.artifacts import disk_full_guard
from closefit.storage.hashing import sha256_of
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from closefit.tracking import corrections
from closefit.video import probe

logger = logging.getLogger(__name__)


@runtime_checkable
class StageModule(Protocol):
    """What a module of `closefit.stages` offers."""

    REVISION: int

    def run(self, job: Job) -> None:
        """Execute the stage."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which stages to run.

    Attributes:
        only: Just this one; its inputs must be there.
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
    def forced(self) -> frozenset[StageName]:
        """The stages that run even if they are up to date."""
        if self.first is not None:
            return frozenset(STAGE_NAMES[STAGE_NAMES.index(self.first) :])
        return frozenset(self.stages if self.force else ())


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """What `status` says about one stage; `reason` is None where it is up to date."""

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


def run(
    video: Path, out: Path, config: Config, emit: Emit, selection: Selection | None = None
) -> dict[str, Any]:
    """Run the selected stages on `video` in the folder `out` and return its `run.json`.

    Raises:
        ClosefitError: Any of the documented failures; finished stages are kept.
    """
    selection = selection or Selection()
    info = probe(video)
    workspace = Workspace(out)
    workspace.create()
    with workspace.locked(), workspace.logging_to_file():
        if not selection.force:
            workspace.check_video(info.content_sha256)
        situation = Situation(
            workspace=workspace,
            config=_with_corrections(config, video),
            video_sha256=info.content_sha256,
            device=device.choose(config.device),
        )
        before = workspace.read_run()
        workspace.update_run(_header(info, config))
        with _outcome_recorded(workspace, before):
            if selection.only is not None:
                _warn_of_stale_inputs(STAGES[selection.only], situation, emit)
            for name in selection.stages:
                _run_if_needed(STAGES[name], situation, info, emit, name in selection.forced)
            _raise_if_diverged(workspace)
    return workspace.read_run()


def status(out: Path) -> list[StageStatus]:
    """Say for each stage of a started folder whether it would run, and why; runs nothing.

    Raises:
        ArtifactMissingError: `out` is not a results folder.
    """
    workspace = Workspace(out)
    recorded = workspace.require_started()
    config = recorded_config(out)
    situation = Situation(
        workspace=workspace,
        config=_with_corrections(config, Path(recorded["video"]["path"])),
        video_sha256=_current_hash(recorded["video"]),
        device=device.choose(config.device),
    )
    reasons: dict[StageName, Reason | None] = {}
    for name, stage in STAGES.items():
        rerun = [f"`{source}` runs again" for source in stage.inputs if reasons[source] is not None]
        if rerun:
            reasons[name] = Reason("input changed", ", ".join(rerun))
        else:
            reasons[name] = _reason_told(stage, situation)
    times = recorded.get("stages", {})
    return [
        StageStatus(stage=name, reason=reason, seconds=times.get(name, {}).get("seconds"))
        for name, reason in reasons.items()
    ]


def recorded_config(out: Path) -> Config:
    """Return the settings that a started folder was last run with.

    Raises:
        ArtifactMissingError: `out` is not a results folder.
    """
    return settings.build_config(recorded=Workspace(out).require_started().get("settings", {}))


def recorded_video(out: Path) -> Path:
    """Return the path of the video that a started folder belongs to.

    Raises:
        ArtifactMissingError: `out` is not a results folder.
        FileMissingError: The video is not there any more.
    """
    path = Path(Workspace(out).require_started()["video"]["path"])
    if not path.is_file():
        hint = f"say where it is now: `closefit stage NAME {out} VIDEO`"
        raise FileMissingError(f"there is no file `{path}`, the video of `{out}`", hint)
    return path


def preview(video: Path, out: Path, emit: Emit) -> Path:
    """Draw what `track` has found over the video, into the folder's `preview.mp4`.

    Raises:
        ClosefitError: The video cannot be read, `track` has not run, or the disk is full.
    """
    from closefit.stages.preview import write_preview

    workspace = Workspace(out)
    with workspace.locked(), workspace.logging_to_file(), disk_full_guard(workspace.preview):
        return write_preview(workspace, probe(video), emit)


def _with_corrections(config: Config, video: Path) -> Config:
    """Take up the corrections that lie beside the video; they count as if they had been named."""
    named = config.track.corrections
    path = corrections.find(video, None if named is None else Path(named))
    if path is None:
        return config
    return replace(config, track=replace(config.track, corrections=str(path.absolute())))


def _run_if_needed(
    stage: Stage, situation: Situation, info: VideoInfo, emit: Emit, forced: bool
) -> None:
    module = _module(stage.name)
    reason = freshness.reason_to_run(stage, module.REVISION, situation)
    if reason is None and forced:
        reason = FORCED
    if reason is None:
        emit(StageSkipped(stage=stage.name, reason="up to date"))
        return
    if forced and stage.name == "track":  # the detector runs again too
        situation.workspace.artifact(DetectedPeople.KIND).unlink(missing_ok=True)
    _fetch_missing_models(stage, situation, emit)
    workspace, config = situation.workspace, situation.config
    job = Job(
        workspace=workspace,
        config=config,
        video=info,
        device=situation.device,
        emit=emit,
        provenance=freshness.expected_provenance(stage, module.REVISION, situation),
    )
    # Seeded per stage, so that a resumed run draws the same numbers as an uninterrupted one.
    device.prepare(config.seed)
    emit(StageStarted(stage.name, str(reason), device.describe(job.device)))
    logger.info("%s: %s", stage.name, reason)
    started = time.monotonic()
    diverged = _execute(module, job)
    seconds = round(time.monotonic() - started, 3)
    if stage.record is None:
        freshness.write_export_manifest(workspace, job.provenance)
    _record_stage(job, seconds, diverged)
    path = workspace.root if stage.record is None else workspace.artifact(stage.name)
    emit(StageFinished(stage=stage.name, path=str(path), seconds=seconds))


def _warn_of_stale_inputs(stage: Stage, situation: Situation, emit: Emit) -> None:
    """A single stage takes its inputs as they are: say so where a whole run would renew them."""
    for name in stage.inputs:
        reason = _reason_told(STAGES[name], situation)
        if reason is not None and reason.kind not in ("missing", "unreadable", "older version"):
            text = f"`{stage.name}` takes `{name}` as it is, but that is out of date ({reason})"
            emit(Notice(text, warning=True))


def _reason_told(stage: Stage, situation: Situation) -> Reason | None:
    """As `freshness.reason_to_run`, for telling only: a file named by a setting may be gone."""
    try:
        return freshness.reason_to_run(stage, _module(stage.name).REVISION, situation)
    except InputError as error:
        return Reason("input changed", error.message)


def _execute(module: StageModule, job: Job) -> FitDivergedError | None:
    """Run one stage; a diverged fit has still written its best state, so the run goes on."""
    with disk_full_guard(job.workspace.root), device.memory_guard(job.device):
        try:
            module.run(job)
        except FitDivergedError as error:
            if not job.workspace.artifact(job.provenance.stage).is_file():
                raise
            return error
    return None


def _record_stage(job: Job, seconds: float, diverged: FitDivergedError | None) -> None:
    """Put the stage's time, device and figures into `run.json`."""
    stage = job.provenance.stage
    run_facts = job.workspace.read_run()
    entry: dict[str, Any] = {"seconds": seconds, "device": job.device, "finished": _now()}
    if job.profile:
        entry["profile"] = job.profile
    if diverged is not None:
        entry["diverged"] = {"message": diverged.message, "hint": diverged.hint}
    stages = {**run_facts.get("stages", {}), stage: entry}
    total = sum(known["seconds"] for known in stages.values())
    shares = {name: round(known["seconds"] / max(total, 1e-9), 4) for name, known in stages.items()}
    job.workspace.update_run(
        {
            "stages": stages,
            "timing": {"seconds": round(total, 3), "share": shares},
            "quality": {**run_facts.get("quality", {}), stage: job.quality},
        }
    )


def _raise_if_diverged(workspace: Workspace) -> None:
    """A folder whose fit diverged says so on every run, not only on the one that did it."""
    diverged = workspace.read_run().get("stages", {}).get("optimize", {}).get("diverged")
    if diverged is not None:
        raise FitDivergedError(diverged["message"], diverged["hint"])


def _fetch_missing_models(stage: Stage, situation: Situation, emit: Emit) -> None:
    """Download what the stage needs and nobody has put in place yet, unless `--offline`."""
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
        folder = Path(config.weights_dir) if config.weights_dir else weights.user_folder()
        downloads.fetch_all(missing, folder, emit)


@contextmanager
def _outcome_recorded(workspace: Workspace, before: dict[str, Any]) -> Iterator[None]:
    """Keep the run's status in `run.json`, however it ends.

    Args:
        workspace: The folder.
        before: What `run.json` said before this run.
    """
    workspace.update_run({"status": "running", "started": _now()})
    try:
        yield
    except BaseException as error:
        expected = isinstance(error, ClosefitError | KeyboardInterrupt)
        logger.error("stopped: %r", error, exc_info=not expected)
        ending = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(ClosefitError, OSError):  # the disk may be full: the first error counts
            outcome = {"status": ending, "error": str(error) or repr(error)}
            workspace.update_run(_taken_back(workspace, before, error) | outcome)
        raise
    workspace.update_run({"status": "done", "finished": _now(), "error": None})


def _taken_back(
    workspace: Workspace, before: dict[str, Any], error: BaseException
) -> dict[str, Any]:
    """Settings that a folder goes back to: a mistyped option must not spoil the next command."""
    refused = isinstance(error, InputError | ConfigError | PeopleError)
    done = before.get("stages")
    if not refused or not done or workspace.read_run().get("stages") != done:
        return {}
    return {key: before[key] for key in ("video", "camera", "settings") if key in before}


def _header(info: VideoInfo, config: Config) -> dict[str, Any]:
    """Return what `run.json` says before any stage has run."""
    video = asdict(info)
    video["path"] = str(Path(info.path).absolute())
    return {
        "closefit": __version__,
        "video": video,
        "camera": _camera(info, config),
        "settings": settings.flatten(config),
    }


def _camera(info: VideoInfo, config: Config) -> dict[str, Any]:
    """Return the camera's facts, for people."""
    if config.camera.file is not None:
        return {"file": config.camera.file}
    from closefit.geometry.camera import focal_from_fov

    diagonal_px = math.hypot(info.width, info.height)
    focal_px = config.camera.focal_px
    source = "--focal"
    if focal_px is None:
        focal_px, source = focal_from_fov(info.width, info.height, config.camera.fov_deg), "--fov"
    fov_deg = math.degrees(2.0 * math.atan(diagonal_px / (2.0 * focal_px)))
    return {"focal_px": round(focal_px, 3), "fov_deg": round(fov_deg, 3), "from": source}


def _current_hash(recorded_video: dict[str, Any]) -> str:
    """Content hash of the folder's video; the recorded one where the file is gone."""
    path = Path(recorded_video["path"])
    return sha256_of(path) if path.is_file() else str(recorded_video["content_sha256"])


def _module(name: StageName) -> StageModule:
    return cast(StageModule, importlib.import_module(f"closefit.stages.{name}"))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
