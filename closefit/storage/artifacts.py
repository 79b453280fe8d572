"""Records <-> `.npz`: written all or nothing, checked completely on the way back in.

An artifact holds one array per field of its record plus `__meta__`, a JSON text with the kind
of file (format, kind, version) and its origin (`Provenance`). The record's annotations are
the schema: kinds of numbers, shapes, and axes that several fields share.
"""

import json
import os
import platform
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from closefit import __version__
from closefit.boundary.arrays import Npz
from closefit.boundary.files import parse_json, typed
from closefit.boundary.refusals import word
from closefit.boundary.schema import check_schema
from closefit.boundary.values import RefusedError, shown
from closefit.errors import (
    FULL_DISK_ERRNOS,
    ArtifactDamagedError,
    ArtifactError,
    ArtifactMissingError,
    ArtifactVersionError,
    OutputFolderError,
    ResultError,
    disk_full_guard,
)
from closefit.records import DetectedPeople, Motion, Track

FORMAT = "closefit-artifact"
META_KEY = "__meta__"


TEMPORARY_PREFIX = ".closefit-partial-"

Record = DetectedPeople | Track | Motion  # and what derives from them
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where an artifact comes from.

    Attributes:
        stage: Stage that wrote it.
        fingerprint: Hash over everything below except `device` (see `pipeline/freshness.py`).
        revision: The stage's revision (`pipeline/declarations.py`).
        inputs: Fingerprints of the artifacts it was made from; the content hash of the video.
        settings: Settings that affect the stage, by dotted name.
        weights: SHA-256 (or hub revision) of the model files it used, by name.
        seed: Seed of the run.
        device: Where it was computed.
    """

    stage: str
    fingerprint: str
    revision: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"


def write(path: Path, record: Record, provenance: Provenance) -> None:
    """Write `record` to `path`, all or nothing.

    Raises:
        ResultError: Its values cannot be right; `path` is untouched, as in the other cases.
        DiskFullError: The disk is full.
        OutputFolderError: It cannot be written.
    """
    try:
        record.check()
    except ValueError as error:
        raise ResultError(
            f"the result of `{provenance.stage}` cannot be right, and was not written: {error}",
            hint="look at the input and the settings, `--camera` and `--set` above all; without "
            "them, report this",
        ) from error
    arrays = {f.name: np.asarray(getattr(record, f.name), order="C") for f in fields(record)}
    arrays[META_KEY] = np.array(json.dumps(_meta(record, provenance), sort_keys=True))
    with (
        atomic_write(path) as file,
        # Fastest level: masks, which are the most, are deflated already.
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def read(path: Path, record_type: type[R]) -> R:
    """Read and check the record in `path`.

    Raises:
        ArtifactMissingError: There is no such file.
        ArtifactVersionError: Its layout is of another version.
        ArtifactDamagedError: It is cut short, of another kind, or does not follow the schema.
    """
    meta, arrays = _load(path)
    _check_identity(path, meta, record_type)
    try:
        check_schema(arrays, record_type)
        record = record_type(**arrays)
        record.check()
    except (RefusedError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return record


def read_provenance(path: Path, record_type: type[R]) -> Provenance:
    """Read the origin of the artifact in `path`, without its arrays.

    Raises:
        ArtifactError: As `read`, except that arrays stay unread.
    """
    meta, _ = _load(path, only_meta=True)
    _check_identity(path, meta, record_type)
    return provenance_of(path, meta)


def is_artifact(path: Path) -> bool:
    """Whether closefit has written this file, whatever the stage and version."""
    try:
        meta, _ = _load(path, only_meta=True)
    except ArtifactError:
        return False
    return meta.get("format") == FORMAT


def provenance_of(path: Path, content: Any) -> Provenance:
    """Return the origin in the metadata of a file.

    Raises:
        ArtifactDamagedError: It is missing or malformed.
    """
    try:
        found: Provenance = typed(content, Provenance)
    except RefusedError as refused:
        raise _damaged(path, f"its origin is missing: {refused.problem}") from refused
    return found


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed process has left in a folder, but not below: another may write there."""
    for partial in folder.glob(f"{TEMPORARY_PREFIX}*"):
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling of `path` that takes its place once the block ends well.

    Raises:
        DiskFullError: The disk is full; the previous content of `path` is untouched.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    with disk_full_guard(path):
        try:
            temporary.unlink(missing_ok=True)
            with open(temporary, "xb") as file:  # never through a link that somebody has put there
                yield file
                file.flush()
                os.fsync(file.fileno())
            _replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in FULL_DISK_ERRNOS:
            raise
        raise OutputFolderError(
            f"cannot write `{path}`: {error.strerror}", hint="move away what is there"
        ) from error


def _meta(record: Record, provenance: Provenance) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": record.KIND,
        "version": record.VERSION,
        "tool_version": __version__,
        "libraries": library_versions(),
        **asdict(provenance),
    }


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    versions = {"python": platform.python_version()}
    for name in ("numpy", "torch", "numba", "warp-lang", "ultralytics", "transformers", "gsplat"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _load(path: Path, only_meta: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not os.path.lexists(path):
        raise ArtifactMissingError(
            f"there is no `{path}`",
            hint=f"run `closefit stage {path.stem} {word(path.parent.parent)}`",
        )
    try:
        archive = Npz(path, kinds="biufU")
        meta = parse_json(str(archive[META_KEY]))
        arrays = {} if only_meta else {n: archive[n] for n in archive if n != META_KEY}
    except RefusedError as refused:
        raise _damaged(path, refused.problem) from refused
    if not isinstance(meta, dict):
        raise _damaged(path, "its description is missing")
    return meta, arrays


def _check_identity(path: Path, meta: Mapping[str, Any], record_type: type[R]) -> None:
    if meta.get("format") != FORMAT:
        raise _damaged(path, "it is not an artifact of closefit")
    if meta.get("kind") != record_type.KIND:
        raise _damaged(path, f"it holds `{shown(meta.get('kind'))}`, not `{record_type.KIND}`")
    version = meta.get("version")
    if version != record_type.VERSION:
        raise ArtifactVersionError(
            f"`{path}` has layout version `{shown(version)}`; this closefit reads "
            f"{record_type.VERSION}",
            hint=_rerun_hint(path),
        )


def _damaged(path: Path, reason: str) -> ArtifactError:
    return ArtifactDamagedError(f"cannot use `{path}`: {reason}", hint=_rerun_hint(path))


def _rerun_hint(path: Path) -> str:
    return f"run `closefit stage {path.stem} {word(path.parent.parent)}` to make it again"
