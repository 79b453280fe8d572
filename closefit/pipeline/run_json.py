"""Keeps `run.json` of a results folder: settings, facts of the video, outcome, time and quality."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from closefit import __version__, settings
from closefit.config import Config
from closefit.errors import ClosefitError, FitDivergedError
from closefit.records import VideoInfo
from closefit.storage.job import Job
from closefit.storage.run_record import CameraFacts, StageRecord, StepProfile, Timing
from closefit.storage.workspace import Workspace

logger = logging.getLogger(__name__)


@contextmanager
def outcome_recorded(workspace: Workspace, info: VideoInfo, config: Config) -> Iterator[None]:
    """Record video, settings and status of the run inside the block, however it ends."""
    before = workspace.read_run()
    video = {**asdict(info), "path": str(Path(info.path).absolute())}
    workspace.update_run(
        {
            "closefit": __version__,
            "video": video,
            "camera": _camera(info, config, before),
            "settings": settings.flatten(config),
            "status": "running",
            "started": _now(),
        }
    )
    try:
        yield
    except BaseException as error:
        # SystemExit: nobody reads the progress any more.
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        expected = interrupted or isinstance(error, ClosefitError)
        logger.error("stopped: %r", error, exc_info=not expected)
        ending = "interrupted" if interrupted else "failed"
        with suppress(ClosefitError, OSError):  # the disk may be full: the first error counts
            outcome = {"status": ending, "error": str(error) or repr(error)}
            workspace.update_run(_restored(workspace, before, ending, error) | outcome)
        raise
    workspace.update_run({"status": "done", "finished": _now(), "error": None})


def record_stage(job: Job, seconds: float, diverged: FitDivergedError | None) -> None:
    """Record the stage's time, device and figures."""
    stage = job.provenance.stage
    facts = job.workspace.read_run()
    entry = StageRecord(seconds=seconds, device=job.device, finished=_now())
    if job.profile:
        entry["profile"] = cast("StepProfile", job.profile)
    if diverged is not None:
        entry["diverged"] = {"message": diverged.message, "hint": diverged.hint}
    stages = {**facts.get("stages", {}), stage: entry}
    total = sum(known["seconds"] for known in stages.values())
    shares = {name: round(known["seconds"] / max(total, 1e-9), 4) for name, known in stages.items()}
    # A verdict on the result that was there before says nothing of this one.
    known = {name: f for name, f in facts.get("quality", {}).items() if isinstance(f, Mapping)}
    quality = {**job.verdict, **known, stage: job.quality}
    job.workspace.update_run(
        {
            "stages": stages,
            "timing": Timing(seconds=round(total, 3), share=shares),
            "quality": quality,
            "camera": _camera(job.video, job.config, {"quality": quality}),
        }
    )


def raise_if_diverged(workspace: Workspace) -> None:
    """Raise if the folder's fit diverged, in this run or in an earlier one.

    Raises:
        FitDivergedError: It did.
    """
    diverged = workspace.read_run().get("stages", {}).get("optimize", {}).get("diverged")
    if diverged is not None:
        raise FitDivergedError(diverged["message"], diverged["hint"])


def _restored(
    workspace: Workspace, before: dict[str, Any], ending: str, error: BaseException
) -> dict[str, Any]:
    """Settings from before a failed run: they hold for the next command, and it must not fail too.

    Those of an interrupted run, and of one that diverged at its end, stay. A first run that fails
    has none to go back to: its own stay once a stage is done.
    """
    if ending == "interrupted" or isinstance(error, FitDivergedError):
        return {}
    if before.get("settings"):
        return {key: before[key] for key in ("video", "camera", "settings") if key in before}
    return {} if workspace.read_run().get("stages") else {"settings": {}}


def _camera(info: VideoInfo, config: Config, run: Mapping[str, Any]) -> CameraFacts:
    """Facts of the camera; a focal length that `init` found is among the figures of `run`."""
    camera = config.camera
    if camera.file is not None:
        return {"file": camera.file}
    from closefit.geometry.camera import fov_from_focal
    from closefit.stages.inputs import focal_length

    focal_px, source = focal_length(camera, info)
    origin: str = source
    found_px = run.get("quality", {}).get("init", {}).get("focal_px")
    if source == "assumed" and found_px is not None:
        focal_px, origin = found_px, "estimated"
    return {
        "focal_px": round(focal_px, 3),
        "fov_deg": round(fov_from_focal(info.width, info.height, focal_px), 3),
        "from": origin,
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
