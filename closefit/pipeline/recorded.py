"""What a started folder has recorded: the settings of its last run, and its video."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closefit import settings
from closefit.boundary.refusals import word
from closefit.config import Config
from closefit.errors import FileMissingError
from closefit.events import Emit, Notice, ignore
from closefit.settings import GivenSettings
from closefit.storage.workspace import Workspace

NOTHING_GIVEN: GivenSettings = {}


def config_for(video: Path, out: Path, given: GivenSettings, emit: Emit) -> Config:
    """Return the settings of a run: a folder's own hold for its video until others are given.

    Args:
        video: The video of the run.
        out: The results folder, which need not exist.
        given: Settings as the user gave them.
        emit: Called with what differs from the last run.

    Raises:
        ConfigError: A setting cannot be used.
    """
    workspace = Workspace(out)
    found = workspace.settings_for(video)
    config = settings.build_config(
        **given, recorded=found, recorded_in=workspace.run_json, emit=emit
    )
    if found is not None:
        alone = settings.flatten(settings.build_config(**given))
        _name_differences(settings.of_a_folder(found), settings.flatten(config), alone, emit)
    return config


def config_of(out: Path, given: GivenSettings = NOTHING_GIVEN, emit: Emit = ignore) -> Config:
    """Return the settings of the last run in a started folder, but for those that are given.

    Raises:
        ArtifactMissingError: `out` is not a results folder.
        ConfigError: A setting cannot be used.
    """
    workspace = Workspace(out)
    found = workspace.require_started().get("settings", {})
    return settings.build_config(**given, recorded=found, recorded_in=workspace.run_json, emit=emit)


def video_of(out: Path) -> Path:
    """Return the path of the video that a started folder belongs to.

    Raises:
        ArtifactMissingError: `out` is not a results folder.
        FileMissingError: The video is not there any more.
    """
    path = Path(Workspace(out).require_started()["video"]["path"])
    if not path.is_file():
        hint = f"name its new place: `closefit stage NAME {word(out)} VIDEO`"
        raise FileMissingError(f"there is no file `{path}`, the video of `{out}`", hint)
    return path


def _name_differences(
    recorded: Mapping[str, Any], now: Mapping[str, Any], alone: Mapping[str, Any], emit: Emit
) -> None:
    """Report which settings come from the folder, and which differ from the folder's.

    Args:
        recorded: Settings of the last run.
        now: Settings of this run.
        alone: What they would be in a new folder.
        emit: Called with the reports.
    """

    def listed(names: list[str]) -> str:
        return ", ".join(f"`{name}` {_shown(now[name])}" for name in names)

    same = {name for name, value in now.items() if _shown(recorded.get(name)) == _shown(value)}
    kept = [name for name in now if name in same and now[name] != alone[name]]
    if kept:
        emit(Notice(f"settings of this folder: {listed(kept)}"))
    changed = [name for name in now if name in recorded and name not in same]
    if changed:
        emit(Notice(f"changed from the last run in this folder: {listed(changed)}"))


def _shown(value: Any) -> str:
    """A setting as text; a list reads the same from JSON as in the settings."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
