"""Whether a stage's result is up to date, and if not, why it must run again.

A result is up to date when it loads and its fingerprint is the one that the stage would write now.
The fingerprint covers what can change the result: kind and version of the artifact, the stage's
`REVISION`, its settings (of files: their content), the fingerprints of its inputs, the model files,
and the content of the video. Paths, device and verbosity stay out.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from closefit import settings
from closefit.config import Config
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactError,
    ArtifactMissingError,
    ArtifactVersionError,
    FileMissingError,
)
from closefit.imports.estimates.files import content_hash
from closefit.models import weights
from closefit.perception.kept_detections import are_kept
from closefit.records import Motion, OptimizedMotion, Track
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance, Record
from closefit.storage.hashing import sha256_of, sha256_of_folder
from closefit.storage.workspace import Workspace, write_json

StageName = Literal["track", "init", "optimize", "export"]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)

EXPORT_VERSION = 1
"""Version of the layout of the exported files and of their list."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage reads, writes and depends on."""

    name: StageName
    record: type[Record] | None
    inputs: tuple[StageName, ...]
    sections: tuple[str, ...]
    reads_video: bool


STAGES: dict[StageName, Stage] = {
    stage.name: stage
    for stage in (
        Stage(name="track", record=Track, inputs=(), sections=("track",), reads_video=True),
        Stage(
            name="init",
            record=Motion,
            inputs=("track",),
            sections=("camera", "init", "body", "seed"),
            reads_video=False,
        ),
        Stage(
            name="optimize",
            record=OptimizedMotion,
            inputs=("track", "init"),
            sections=("camera", "optimize", "seed"),
            reads_video=True,
        ),
        Stage(
            name="export",
            record=None,
            inputs=("track", "optimize"),
            sections=("export",),
            reads_video=True,
        ),
    )
}

ReasonKind = Literal[
    "missing", "unreadable", "older version", "closefit changed", "settings changed",
    "input changed", "weights changed", "forced",
]  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """Why a stage has to run."""

    kind: ReasonKind
    detail: str = ""

    def __str__(self) -> str:
        """Return the reason as one line."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


FORCED = Reason("forced")


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What all stages of a run depend on."""

    workspace: Workspace
    config: Config
    video_sha256: str
    device: str


def reason_to_run(stage: Stage, revision: int, situation: Situation) -> Reason | None:
    """Return why `stage` must run, or None where its result is up to date.

    Raises:
        ArtifactError: An input of the stage is missing, damaged or of another version.
    """
    try:
        recorded = _recorded(stage, situation.workspace)
    except ArtifactMissingError:
        return Reason("missing")
    except ArtifactVersionError:
        return Reason("older version", "its layout is not the one this closefit writes")
    except ArtifactDamagedError as error:
        return Reason("unreadable", error.message)
    expected = expected_provenance(stage, revision, situation, recorded)
    reason = compare(recorded, expected)
    if reason is not None and stage.name == "track" and reason.kind == "settings changed":
        changed = _changed_names(recorded.settings, expected.settings)
        if are_kept(situation.workspace, expected, [name.strip("`") for name in changed]):
            return replace(reason, detail=f"{reason.detail} (the detections are kept)")
    return reason


def expected_provenance(
    stage: Stage, revision: int, situation: Situation, recorded: Provenance | None = None
) -> Provenance:
    """Return the provenance that `stage` would write now.

    Args:
        stage: The stage.
        revision: Its module's `REVISION`.
        situation: Settings, video and folder.
        recorded: Provenance of the existing result, when judging whether that is up to date.

    Raises:
        ArtifactError: An input of the stage is missing, damaged or of another version.
    """
    config = situation.config
    inputs: dict[str, str] = {
        name: _fingerprint_of(STAGES[name], situation.workspace) for name in stage.inputs
    }
    if stage.reads_video:
        inputs["video"] = situation.video_sha256
    values = _settings_by_content(settings.affecting(config, stage.sections))
    models = _weights(stage, situation, recorded)
    content = {
        "kind": stage.name,
        "version": stage.record.VERSION if stage.record is not None else EXPORT_VERSION,
        "revision": revision,
        "inputs": inputs,
        "settings": values,
        "weights": models,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return Provenance(
        stage=stage.name,
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
        revision=revision,
        inputs=inputs,
        settings=values,
        weights=models,
        seed=config.seed,
        device=situation.device,
    )


def compare(recorded: Provenance, expected: Provenance) -> Reason | None:
    """Return why a result of `recorded` origin is not the one expected, or None where it is."""
    if recorded.fingerprint == expected.fingerprint:
        return None
    differences: tuple[tuple[ReasonKind, list[str]], ...] = (
        ("settings changed", _changes(recorded.settings, expected.settings)),
        ("input changed", _changed_names(recorded.inputs, expected.inputs)),
        ("weights changed", _changed_names(recorded.weights, expected.weights)),
    )
    for kind, names in differences:
        if names:
            return Reason(kind, ", ".join(names))
    return Reason("closefit changed", f"`{expected.stage}` works differently in this version")


def write_export_manifest(workspace: Workspace, provenance: Provenance) -> None:
    """Record which result files exist now, and what they were made from."""
    files = {
        str(path.relative_to(workspace.root)): path.stat().st_size
        for path in workspace.results
        if path.is_file()
    }
    content = {"version": EXPORT_VERSION, "files": files, "provenance": asdict(provenance)}
    write_json(workspace.export_manifest, content)


def _recorded(stage: Stage, workspace: Workspace) -> Provenance:
    """Return the origin of the stage's result after reading all of it."""
    if stage.record is None:
        return _recorded_export(workspace)
    path = workspace.artifact(stage.name)
    artifacts.read(path, stage.record)
    return artifacts.read_provenance(path, stage.record)


def _recorded_export(workspace: Workspace) -> Provenance:
    path = workspace.export_manifest
    hint = f"run `closefit stage export {workspace.root}`"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, files = content["version"], content["files"]
        provenance = Provenance(**content["provenance"])
    except FileNotFoundError as error:
        raise ArtifactMissingError(f"there is no `{path}`", hint=hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactDamagedError(f"`{path}` is not a list of exported files", hint) from error
    if version != EXPORT_VERSION:
        raise ArtifactVersionError(f"`{path}` has version `{version}`", hint=hint)
    for name, size in files.items():
        file = workspace.root / name
        if not file.is_file() or file.stat().st_size != size:
            raise ArtifactDamagedError(f"`{name}` is missing or was changed", hint=hint)
    return provenance


def _fingerprint_of(stage: Stage, workspace: Workspace) -> str:
    """Fingerprint of a stage's result that another one takes as input."""
    if stage.record is None:
        raise ArtifactError(f"`{stage.name}` has no artifact", hint="this is a bug in closefit")
    path = workspace.artifact(stage.name)
    return artifacts.read_provenance(path, stage.record).fingerprint


def _settings_by_content(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the paths of input files by their content's hash."""
    by_content = dict(values)
    for key in settings.file_settings() & values.keys():
        named = values[key]
        if isinstance(named, str):
            by_content[key] = _content_hash(key, Path(named))
        elif named is not None:
            by_content[key] = ", ".join(_content_hash(key, Path(path)) for path in named) or None
    return by_content


def _content_hash(key: str, path: Path) -> str:
    if key == "init.init_from":
        return f"sha256 {content_hash(path)[:16]}"
    if path.is_dir():
        return f"sha256 {sha256_of_folder(path)[:16]}"
    if not path.is_file():
        raise FileMissingError(
            f"there is no file `{path}`", hint=f"check the path given for `{key}`"
        )
    return f"sha256 {sha256_of(path)[:16]}"


def _weights(stage: Stage, situation: Situation, recorded: Provenance | None) -> dict[str, str]:
    """Return which copies of which models the stage uses.

    A model that is not there (any more) counts as unchanged: its absence spoils no finished result.
    """
    before = recorded.weights if recorded is not None else {}
    weights_dir = situation.config.weights_dir
    identities = {
        name: weights.identity(name, weights_dir) or before.get(name)
        for name in [*_needed(stage, situation, before), *_optional(stage)]
    }
    return {name: known for name, known in identities.items() if known is not None}


def required_models(stage: Stage, situation: Situation) -> tuple[str, ...]:
    """Return the manifest names of the models without which `stage` cannot run."""
    return _needed(stage, situation, before={})


def _needed(stage: Stage, situation: Situation, before: Mapping[str, str]) -> tuple[str, ...]:
    config = situation.config
    if stage.name != "track":
        body = weights.body_model(config.body, config.weights_dir)
        return (body, weights.PRIOR) if _uses_prior(stage, config) else (body,)
    if config.track.perception == "auto" and before:
        return tuple(before)  # chosen by device once; another device is no reason to run again
    return weights.track_models(config.track, situation.device)


def _uses_prior(stage: Stage, config: Config) -> bool:
    """Whether the stage reads the checkpoint that ships (another one is a setting)."""
    if config.init.prior_file is not None:
        return False
    if stage.name == "init":
        return config.init.prior
    return stage.name == "optimize" and config.optimize.motion == "prior"


def _optional(stage: Stage) -> tuple[str, ...]:
    models = weights.manifest().values()
    return tuple(model.name for model in models if model.optional and stage.name in model.stages)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"`{key}` {before.get(key, 'unset')} -> {after.get(key, 'unset')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "unset") != after.get(key, "unset")
    ]


def _changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    keys = sorted(before.keys() | after.keys())
    return [f"`{key}`" for key in keys if before.get(key) != after.get(key)]
