"""What a worker does for one clip: the same as `closefit run`, with every outcome as a value."""

import os
import platform
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from closefit import __version__, settings
from closefit.batch.folder import BatchFolder
from closefit.batch.record import figures
from closefit.boundary.files import typed
from closefit.config import StageName
from closefit.errors import (
    ClosefitError,
    ConfigError,
    DiskFullError,
    OutputFolderError,
    WeightsError,
    file_guard,
)
from closefit.events import Event, Notice
from closefit.storage.hashing import sha256_of
from closefit.storage.workspace import Workspace

IN_USE_S = 60.0
"""How long to wait for a results folder that a process which is about to end still holds."""

MOST_WARNINGS = 20


@dataclass(frozen=True, kw_only=True)
class Task:
    """Work on one clip; also as JSON.

    Attributes:
        kind: `run`, or `shots`: look for the pieces of a long video.
        name: Name of the clip in the batch.
        video: Its path.
        batch: Folder of the batch.
        batch_id: Its identity.
        closefit: Version of closefit that made this task.
        values: All settings that were given, by dotted name.
        first: As `--from`.
        last: As `--until`.
        force: As `--force`.
        threads: Threads to compute with.
        least_s: For `shots`: how long two people have to be together.
    """

    kind: Literal["run", "shots"] = "run"
    name: str
    video: str
    batch: str
    batch_id: str
    closefit: str = __version__
    values: dict[str, Any]
    first: StageName | None = None
    last: StageName | None = None
    force: bool = False
    threads: int = 1
    least_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ended.

    Attributes:
        exit_code: Exit code that the command would have had.
        error: One sentence; None where all went well.
        hint: What to do about it.
        ends_batch: Every other clip would fail for the same reason.
        seconds: Time inside of `perform`.
        stages: Seconds of each stage.
        frames: Number of frames.
        quality: Figures of the result.
        warnings: What not to trust in it.
        pieces: For `shots`: first and last moment of each piece.
        host: Name of the machine.
    """

    exit_code: int = 0
    error: str | None = None
    hint: str | None = None
    ends_batch: bool = False
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    frames: int | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    pieces: list[tuple[float, float]] | None = None
    host: str = ""


def perform(content: Mapping[str, Any]) -> dict[str, Any]:
    """Do a task; both it and the outcome are plain JSON values.

    Raises:
        KeyboardInterrupt: A signal ends this process.
    """
    task: Task = typed(dict(content), Task)
    started = time.monotonic()
    ending: dict[str, Any] = {}
    found: dict[str, Any] = {}
    try:
        with file_guard(task.batch):
            _check_place(task)
            os.environ["OMP_NUM_THREADS"] = str(task.threads)
            found = _run(task) if task.kind == "run" else _pieces(task)
    except ClosefitError as error:
        ends_batch = isinstance(error, DiskFullError | WeightsError | _PlaceError | _VersionError)
        ending = {
            "exit_code": error.exit_code,
            "error": error.message,
            "hint": error.hint,
            "ends_batch": ends_batch,
        }
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a bug in one clip stops no other
        last = traceback.extract_tb(error.__traceback__)[-1]
        ending = {
            "exit_code": 1,
            "error": f"internal error: {type(error).__name__}: {error} ({last.name})",
            "hint": f"please report this bug with `{Path(task.batch, task.name, 'log.txt')}`",
        }
    if ending and task.kind == "run":
        found = _recorded(task, [])
    seconds = round(time.monotonic() - started, 3)
    return asdict(Outcome(**{**found, **ending}, seconds=seconds, host=platform.node()))


class _PlaceError(OutputFolderError):
    """This machine does not see the folder of the batch."""


class _VersionError(ConfigError):
    """This machine has another closefit."""


def _check_place(task: Task) -> None:
    """Check that this machine can work on the batch at all.

    Raises:
        OutputFolderError: It does not see the batch's folder.
        ConfigError: It has another version of closefit.
    """
    if task.closefit != __version__:
        raise _VersionError(
            f"`{platform.node()}` has closefit {__version__}, and the batch was started with "
            f"{task.closefit}",
            hint="install one version on all machines",
        )
    if BatchFolder(Path(task.batch)).identity() != task.batch_id:
        raise _PlaceError(
            f"`{platform.node()}` does not see the folder of this batch at `{task.batch}`",
            hint="put clips and results where all machines see them under the same path",
        )


def _run(task: Task) -> dict[str, Any]:
    from closefit.pipeline import runner

    notices: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice) and event.warning:
            notices.append(event.text)

    folder, video = Path(task.batch, task.name), Path(task.video)
    _wait_for(folder)
    selection = runner.Selection(
        first=task.first, last=task.last, force=task.force or _is_of_another(folder, video)
    )
    values = dict(task.values)
    marked = Workspace(folder).corrections
    if "track.corrections" not in values and marked.is_file():  # from `closefit view`
        values["track.corrections"] = str(marked)
    # Not as `closefit run`: what an earlier batch was given and this one is not holds no more.
    runner.run(
        video,
        folder,
        settings.build_config(values=values),
        listen,
        selection,
        weights_given="weights_dir" in values,
    )
    return _recorded(task, notices)


def _is_of_another(folder: Path, video: Path) -> bool:
    """Whether the folder, which is this clip's, has results of what was in its place before."""
    recorded = Workspace(folder).read_run().get("video", {}).get("content_sha256")
    return recorded is not None and video.is_file() and sha256_of(video) != recorded


def _wait_for(folder: Path) -> None:
    """Wait until a process that was told to end has let go of a results folder, or too long."""
    deadline = time.monotonic() + IN_USE_S
    while Workspace(folder).is_in_use and time.monotonic() < deadline:
        time.sleep(0.5)


def _recorded(task: Task, notices: list[str]) -> dict[str, Any]:
    """Figures, times and doubts of the clip's folder, as far as it got."""
    from closefit.exporters.doubts import doubts

    try:
        run = Workspace(Path(task.batch, task.name)).read_run()
    except ClosefitError:
        return {"warnings": notices}
    texts = dict.fromkeys([*notices, *(doubt.text for doubt in doubts(run))])
    quality = run.get("quality", {})
    return {
        "stages": {name: stage["seconds"] for name, stage in run.get("stages", {}).items()},
        "frames": quality.get("track", {}).get("frames"),
        "quality": figures(quality),
        "warnings": list(texts)[:MOST_WARNINGS],
    }


def _pieces(task: Task) -> dict[str, Any]:
    from closefit.batch.shots import find_pieces

    return {"pieces": find_pieces(task)}
