"""Whether a stage's result is up to date, and if not, why the stage must run again.

A result is up to date when it loads and its fingerprint equals that of a run now. The fingerprint
covers everything that can change the result: kind and version of the artifact, the stage's
revision, its settings (for files: their content), the fingerprints of its inputs, the model files,
and the content of the video. Paths, device and verbosity are left out.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from closefit import settings
from closefit.boundary.files import read_json, typed
from closefit.boundary.refusals import word
from closefit.boundary.values import RefusedError, refusals_as, shown
from closefit.config import Config
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactError,
    ArtifactMissingError,
    ArtifactVersionError,
    FileMissingError,
    InputError,
)
from closefit.imports.estimates.files import content_hash
from closefit.models import weights
from closefit.perception.kept_detections import are_kept
from closefit.pipeline.declarations import STAGES, Stage
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.hashing import sha256_of, sha256_of_folder, sha256_of_input
from closefit.storage.workspace import Workspace, write_json

MAX_MANIFEST_BYTES = 1 << 28

EXPORT_VERSION = 3
"""Version of the layout of the exported files and of their list."""

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
class ExportManifest:
    """Which result files the last `export` wrote, and from what.

    Attributes:
        version: Version of the layout of the exported files and of this list.
        files: Size in bytes of each file, by its name in the folder.
        content: SHA-256 of each file but meshes, which are too many.
        provenance: What they were made from.
    """

    version: int
    files: dict[str, int]
    content: dict[str, str]
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What all stages of a run depend on."""

    workspace: Workspace
    config: Config
    video_sha256: str
    device: str
    download_dir: str | None


def reason_to_run(stage: Stage, situation: Situation) -> Reason | None:
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
    expected = expected_provenance(stage, situation, recorded)
    reason = compare(recorded, expected)
    if reason is not None and stage.name == "track" and reason.kind == "settings changed":
        changed = _changed_names(recorded.settings, expected.settings)
        if are_kept(situation.workspace, expected, [name.strip("`") for name in changed]):
            return replace(reason, detail=f"{reason.detail} (the detections are kept)")
    return reason


def expected_provenance(
    stage: Stage, situation: Situation, recorded: Provenance | None = None
) -> Provenance:
    """Return the provenance that `stage` would write now.

    `recorded` is that of the existing result, where its freshness is to be decided.

    Raises:
        ArtifactError: An input of the stage is missing, damaged or of another version.
    """
    config = situation.config
    inputs: dict[str, str] = {
        name: _fingerprint_of(STAGES[name], situation.workspace) for name in stage.inputs
    }
    if stage.reads_video:
        inputs["video"] = situation.video_sha256
    values = _settings_by_content(settings.affecting(config, stage.settings))
    models = _weights(stage, situation, recorded)
    content = {
        "kind": stage.name,
        "version": stage.record.VERSION if stage.record is not None else EXPORT_VERSION,
        "revision": stage.revision,
        "inputs": inputs,
        "settings": values,
        "weights": models,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return Provenance(
        stage=stage.name,
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
        revision=stage.revision,
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
        ("settings changed", _changes(settings.renamed(recorded.settings), expected.settings)),
        ("input changed", _changed_names(recorded.inputs, expected.inputs)),
        ("weights changed", _changed_names(recorded.weights, expected.weights)),
    )
    for kind, names in differences:
        if names:
            return Reason(kind, ", ".join(names))
    return Reason("closefit changed", f"`{expected.stage}` works differently in this version")


def write_export_manifest(workspace: Workspace, provenance: Provenance) -> None:
    """Record which result files exist now, and what they were made from."""
    results = [path for path in (*workspace.results, workspace.usd) if path.is_file()]
    meshes = [path for path in sorted(workspace.meshes.rglob("*.*")) if path.is_file()]
    manifest = ExportManifest(
        version=EXPORT_VERSION,
        files={_name(workspace, path): path.stat().st_size for path in (*results, *meshes)},
        content={_name(workspace, path): sha256_of(path) for path in results},
        provenance=provenance,
    )
    write_json(workspace.export_manifest, asdict(manifest))


def note_exported(workspace: Workspace, path: Path) -> None:
    """Record in an existing list of result files that `path` was written again."""
    with suppress(
        OSError, RefusedError
    ):  # a list that cannot be read is written by the next export
        manifest: ExportManifest = typed(
            read_json(workspace.export_manifest, MAX_MANIFEST_BYTES), ExportManifest
        )
        manifest.files[_name(workspace, path)] = path.stat().st_size
        manifest.content[_name(workspace, path)] = sha256_of(path)
        write_json(workspace.export_manifest, asdict(manifest))


def _recorded(stage: Stage, workspace: Workspace) -> Provenance:
    """Return the origin of the stage's result after reading all of it."""
    if stage.record is None:
        return _recorded_export(workspace)
    path = workspace.artifact(stage.name)
    artifacts.read(path, stage.record)
    return artifacts.read_provenance(path, stage.record)


def _recorded_export(workspace: Workspace) -> Provenance:
    path = workspace.export_manifest
    hint = f"run `closefit stage export {word(workspace.root)}`"
    if not os.path.lexists(path):
        raise ArtifactMissingError(f"there is no `{path}`", hint=hint)
    with refusals_as(ArtifactDamagedError, path, hint):
        manifest: ExportManifest = typed(read_json(path, MAX_MANIFEST_BYTES), ExportManifest)
    if manifest.version != EXPORT_VERSION:
        raise ArtifactVersionError(f"`{path}` has version `{manifest.version}`", hint=hint)
    for name, size in manifest.files.items():
        file = workspace.root / name
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise ArtifactDamagedError(f"`{path}` names `{shown(name)}`", hint=hint)
        known = manifest.content.get(name)
        is_same = os.path.isfile(file) and file.stat().st_size == size
        if not is_same or (known is not None and sha256_of(file) != known):
            raise ArtifactDamagedError(f"`{shown(name)}` is missing or was changed", hint=hint)
    return manifest.provenance


def _name(workspace: Workspace, path: Path) -> str:
    return str(path.relative_to(workspace.root))


def _fingerprint_of(stage: Stage, workspace: Workspace) -> str:
    """Fingerprint of a stage's result that another one takes as input."""
    if stage.record is None:
        raise ArtifactError(f"`{stage.name}` has no artifact", hint="this is a bug in closefit")
    path = workspace.artifact(stage.name)
    return artifacts.read_provenance(path, stage.record).fingerprint


def _settings_by_content(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the paths of input files by their content's hash; values are as JSON has them."""
    by_content = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    for key in settings.file_settings() & values.keys():
        named = values[key]
        if isinstance(named, str):
            by_content[key] = _content_hash(key, Path(named))
        elif named is not None:
            by_content[key] = ", ".join(_content_hash(key, Path(path)) for path in named) or None
    return by_content


def _content_hash(key: str, path: Path) -> str:
    try:
        with refusals_as(InputError, path, f"check the path given for `{key}`"):
            return _hash_of_input(key, path)
    except OSError as error:
        raise InputError(
            f"`{path}` cannot be read: {error.strerror}", hint=f"check the path given for `{key}`"
        ) from error


def _hash_of_input(key: str, path: Path) -> str:
    if key == "init.init_from":
        return f"sha256 {content_hash(path)[:16]}"
    if path.is_dir():
        return f"sha256 {sha256_of_folder(path)[:16]}"
    if not path.is_file():
        raise FileMissingError(
            f"there is no file `{path}`", hint=f"check the path given for `{key}`"
        )
    return f"sha256 {sha256_of_input(path)[:16]}"


def required_models(
    stage: Stage, situation: Situation, recorded: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the manifest names of the models without which `stage` cannot run.

    Where the device chooses the models, the `recorded` ones of a finished result stay the right
    ones on another device.
    """
    config = situation.config
    choices = {stage.models(config, device) for device in ("cpu", "cuda")}
    if recorded and len(choices) > 1:
        return tuple(recorded)
    return stage.models(config, situation.device)


def _weights(stage: Stage, situation: Situation, recorded: Provenance | None) -> dict[str, str]:
    """Return the hash of each model that the stage uses.

    A missing model counts as unchanged: its absence does not invalidate a finished result.
    """
    before = recorded.weights if recorded is not None else {}
    optional = stage.optional_models(situation.config, situation.device)
    names = (*required_models(stage, situation, before), *optional)
    weights_dir = situation.config.weights_dir
    hashes = {name: weights.identity(name, weights_dir) or before.get(name) for name in names}
    return {name: known for name, known in hashes.items() if known is not None}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"`{key}` {before.get(key, 'unset')} -> {after.get(key, 'unset')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "unset") != after.get(key, "unset")
    ]


def _changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    keys = sorted(before.keys() | after.keys())
    return [f"`{key}`" for key in keys if before.get(key) != after.get(key)]
