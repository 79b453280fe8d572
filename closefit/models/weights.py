"""Model files: which exist (the manifest), where they are, and whether they are intact."""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from closefit.config import PerceptionBackend, TrackConfig
from closefit.errors import ConfigError, WeightsDamagedError, WeightsMissingError
from closefit.models.file_formats import HEAD_BYTES, format_problem, is_web_page
from closefit.storage.hashing import sha256_of

BodyChoice = Literal["auto", "closefit", "smpl"]
State = Literal["here", "own", "missing", "damaged"]

PRIOR = "closefit_prior"
"""Name of the shipped checkpoint of the proxemics prior."""

LPIPS = "alexnet"
"""Name of the network behind the LPIPS image loss."""

LPIPS_STAND_IN = "squeezenet"
"""Name of the network that may stand in for it (`optimize.lpips_stand_in`)."""

BODIES = {"closefit": "closefit_body", "smpl": "smpl"}
"""Manifest name of each body, by the name that motions give it; the first one ships."""

PACKAGE = Path(__file__).resolve().parents[1]
MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file; without a published hash `sha256` is empty, and its format is checked instead.

    For a file inside a zip archive, `url` is the archive's address, `member` the file's name in it
    and `archive_sha256` the hash of the archive.
    """

    name: str
    sha256: str = ""
    size: int | None = None
    url: str | None = None
    member: str | None = None
    archive_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A folder of the model hub: its repository, the commit, and the files that are needed."""

    repo: str
    revision: str
    files: tuple[ModelFile, ...]


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry of the manifest.

    Attributes:
        stages: Stages that may use it.
        backends: Backends of `track` that need it.
        commercial_use: Whether the licence allows it.
        optional: Without it results only lose quality.
        files: Alternatives; the first one found is used.
        hub: Origin of a model that is a folder.
        about_mb: Approximate size, where not every file's size is known.
        obtain: How to get it, where `closefit download-weights` cannot.
        explanation: More about a model that only its user can fetch.
    """

    name: str
    purpose: str
    stages: tuple[str, ...]
    backends: tuple[PerceptionBackend, ...] = ()
    licence: str
    commercial_use: str
    optional: bool = False
    files: tuple[ModelFile, ...] = ()
    hub: Hub | None = None
    about_mb: int = 0
    obtain: str | None = None
    explanation: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the files or the folder that hold it."""
        return tuple(file.name for file in self.files) or (self.name,)

    @property
    def wanted(self) -> tuple[ModelFile, ...]:
        """The files that a download brings."""
        if self.hub is not None:
            return self.hub.files
        return (*(file for file in self.files if file.url), *self.files)[:1]

    def label(self, file: ModelFile) -> str:
        """Name of one of its files in messages."""
        return f"{self.name}/{file.name}" if self.hub is not None else file.name

    @property
    def size(self) -> int | None:
        """Approximate bytes of a download, or None if unknown."""
        known = sum(file.size or 0 for file in self.wanted)
        return max(known, self.about_mb * MB) or None

    @property
    def size_text(self) -> str:
        """The size in megabytes, as text."""
        if self.size is None:
            return "size unknown"
        return f"{self.size / MB:.1f} MB" if self.size < 10 * MB else f"{self.size / MB:.0f} MB"

    @property
    def not_pinned(self) -> tuple[str, ...]:
        """Names of the files without a published hash; only their format is checked."""
        return tuple(file.name for file in self.wanted if not file.sha256)

    @property
    def checked_by(self) -> str:
        """How an intact copy is recognised."""
        if not self.not_pinned:
            return "SHA-256"
        if len(self.not_pinned) == len(self.wanted):
            return "format (not pinned)"
        return f"SHA-256 ({len(self.not_pinned)} of {len(self.wanted)} files not pinned)"

    @property
    def source(self) -> str:
        """Where a download comes from; empty where there is no such place."""
        if self.hub is not None:
            return f"{self.hub.repo}@{self.hub.revision}"
        return next((file.url for file in self.wanted if file.url), "")


@dataclass(frozen=True, kw_only=True)
class Copy:
    """What is here of a model; `own` is an intact folder that differs from the published one."""

    state: State
    path: Path | None = None
    problem: str = ""


@cache
def manifest() -> Mapping[str, Model]:
    """Every model that closefit can use, by name."""
    content = tomllib.loads((shipped_folder() / "manifest.toml").read_text(encoding="utf-8"))
    return {entry["name"]: _model(**entry) for entry in content["model"]}


def _model(hub: Mapping[str, Any] | None = None, **entry: Any) -> Model:
    entry = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    entry["files"] = _files(entry.get("files", ()))
    return Model(**entry, hub=Hub(**{**hub, "files": _files(hub["files"])}) if hub else None)


def _files(entries: Iterable[Mapping[str, Any]]) -> tuple[ModelFile, ...]:
    return tuple(ModelFile(**entry) for entry in entries)


def shipped_folder() -> Path:
    """Folder of the files that ship with closefit, in an installed wheel or in a checkout."""
    installed = PACKAGE / "_weights"
    return installed if installed.is_dir() else PACKAGE.parent / "weights"


def user_folder() -> Path | None:
    """The user's cache of models; None for a user without a home."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache_home) / "closefit" if os.path.isabs(cache_home) else None


def search_path(weights_dir: str | Path | None) -> tuple[Path, ...]:
    """Folders to look in, in this order."""
    from_environment = os.environ.get("CLOSEFIT_WEIGHTS")
    named = [Path(folder) for folder in (weights_dir, from_environment, user_folder()) if folder]
    return (*named, shipped_folder())


def download_folder(weights_dir: str | Path | None) -> Path:
    """Where downloads go: the folder named, else CLOSEFIT_WEIGHTS, else the user's cache.

    Raises:
        ConfigError: None is named, and the user has no home.
    """
    folder, *others = search_path(weights_dir)
    if not others:
        raise ConfigError(
            "this user has no home folder to keep models in",
            hint="name a folder with --weights DIR or CLOSEFIT_WEIGHTS",
        )
    return folder


def find(name: str, weights_dir: str | Path | None = None) -> Path | None:
    """Return the file (or folder) of model `name` without looking into it, or None."""
    model = get(name)
    candidates = (folder / place for folder in search_path(weights_dir) for place in model.places)
    return next((path for path in candidates if path.exists()), None)


def locate(name: str, weights_dir: str | Path | None = None) -> Path:
    """Return the intact file of model `name`; a folder if it is a hub snapshot.

    Args:
        name: Name in the manifest.
        weights_dir: Folder to look in first; then CLOSEFIT_WEIGHTS, the user's cache and what
            ships with closefit.

    Raises:
        WeightsMissingError: There is no copy.
        WeightsDamagedError: It is there, but cannot be used.
    """
    copy = inspect(get(name), weights_dir)
    if copy.path is None:
        raise missing_error([name], weights_dir)
    if copy.state == "damaged":
        raise WeightsDamagedError(
            f"`{copy.path}` is damaged: {copy.problem}",
            hint=f"delete it, then {obtain_hint(get(name))}",
        )
    return copy.path


def missing_error(names: Iterable[str], weights_dir: str | Path | None) -> WeightsMissingError:
    """Return the error that names the folders searched and how to get the models."""
    models = [get(name) for name in names]
    places = [" or ".join(f"`{place}`" for place in model.places) for model in models]
    wanted = [f"{place} (for {model.purpose})" for place, model in zip(places, models, strict=True)]
    folders = ", ".join(f"`{folder}`" for folder in search_path(weights_dir))
    licences = ", ".join(dict.fromkeys(model.licence for model in models))
    return WeightsMissingError(
        f"the weights {', '.join(wanted)} are in none of {folders}",
        hint=f"{obtain_hint(*models)}; licence: {licences}",
    )


def obtain_hint(*models: Model) -> str:
    """Return how to get `models`, as a hint."""
    hints = [model.obtain for model in models if model.obtain is not None]
    fetched = [model.name for model in models if model.obtain is None]
    if fetched:
        command = f"closefit download-weights {' '.join(fetched)}"
        hints.append(f"run `{command}`, or put the files into a folder named with --weights DIR")
    return "; ".join(hints)


def inspect(model: Model, weights_dir: str | Path | None = None) -> Copy:
    """Check what is here of `model`."""
    path = find(model.name, weights_dir)
    return Copy(state="missing") if path is None else inspect_at(model, path)


def inspect_at(model: Model, path: Path) -> Copy:
    """Check the file or folder `path`.

    A file has to be the publisher's own. A folder may hold weights of the user's own training under
    the same names; it has to be complete and intact.
    """
    if model.hub is None:
        expected = next(file for file in model.files if file.name == path.name)
        problem = file_problem(expected, path)
        return Copy(state="damaged" if problem else "here", path=path, problem=problem or "")
    problem = _snapshot_problem(path)
    if problem is not None:
        return Copy(state="damaged", path=path, problem=problem)
    for file in model.wanted:
        part = path / file.name
        changed = file_problem(file, part) if part.exists() else "it is not there"
        if changed is not None:
            return Copy(state="own", path=path, problem=f"`{file.name}`: {changed}")
    return Copy(state="here", path=path)


def file_problem(expected: ModelFile, path: Path) -> str | None:
    """Return why `path` is not the file that the manifest expects, or None."""
    if not path.is_file():
        return "it is not a file"
    try:
        with path.open("rb") as file:
            if is_web_page(file.read(HEAD_BYTES)):
                return "it is a web page"
        problem = size_problem(expected, path)
        if problem is not None or not expected.sha256:
            return problem or format_problem(path)
        digest = sha256_of(path)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    if digest.startswith(expected.sha256):
        return None
    return f"its SHA-256 is `{digest}` instead of `{expected.sha256}`"


def size_problem(expected: ModelFile, path: Path) -> str | None:
    """Return why `path` does not have the size that the manifest expects, or None."""
    size = path.stat().st_size
    if size and expected.size in (None, size):
        return None
    return f"it has {size} bytes" + (f" instead of {expected.size}" if expected.size else "")


def _snapshot_problem(folder: Path) -> str | None:
    for pattern in ("config.json", "*.safetensors"):
        files = sorted(folder.glob(pattern))
        if not files:
            return f"it has no `{pattern}`"
        for file in files:
            problem = format_problem(file)
            if problem is not None:
                return f"`{file.name}`: {problem}"
    return None


def identity(name: str, weights_dir: str | Path | None = None) -> str | None:
    """Return the hashes of this copy of model `name`, or None if there is no copy."""
    path = find(name, weights_dir)
    if path is None:
        return None
    if path.is_file():
        return sha256_of(path)
    files = sorted([*path.glob("*.json"), *path.glob("*.safetensors")])
    return "+".join(f"{file.name}:{sha256_of(file)}" for file in files)


def body_model(choice: BodyChoice, weights_dir: str | Path | None = None) -> str:
    """Return the manifest name of the body to use: `auto` prefers SMPL once it is imported."""
    if choice == "auto":
        choice = "closefit" if find(BODIES["smpl"], weights_dir) is None else "smpl"
    return BODIES[choice]


def backend_models(backend: PerceptionBackend) -> tuple[str, ...]:
    """Return the manifest names of the models that a backend of `track` needs."""
    return tuple(model.name for model in manifest().values() if backend in model.backends)


def track_models(settings: TrackConfig, device: str) -> tuple[str, ...]:
    """Return the manifest names of the models that `track` needs, in the sizes that are chosen."""
    usual = TrackConfig()
    chosen = {
        f"sam2.1-hiera-{usual.sam2}": f"sam2.1-hiera-{settings.sam2}",
        f"vitpose-{usual.vitpose}": f"vitpose-{settings.vitpose}",
        f"blazepose-{usual.blazepose}": f"blazepose-{settings.blazepose}",
    }
    needed = backend_models(settings.backend(device))
    return tuple(chosen.get(name, name) for name in needed)


def default_downloads() -> tuple[str, ...]:
    """Return the manifest names of the models that a run can use and closefit can fetch."""
    return tuple(
        model.name
        for model in manifest().values()
        if model.obtain is None and (model.backends or model.optional)
    )


def describe(model: Model, weights_dir: str | Path | None = None) -> dict[str, Any]:
    """Return this model's entry in the list of models, ready for JSON."""
    copy = inspect(model, weights_dir)
    return {
        "model": model.name,
        "purpose": model.purpose,
        "stages": list(model.stages),
        "perception": list(model.backends),
        "size": model.size,
        "licence": model.licence,
        "commercial_use": model.commercial_use,
        "state": copy.state,
        "problem": copy.problem,
        "path": None if copy.path is None else str(copy.path),
        "checked_by": model.checked_by,
        "not_pinned": list(model.not_pinned),
        "source": model.source or model.obtain,
    }


def get(name: str) -> Model:
    """Return the manifest's entry `name`.

    Raises:
        ConfigError: There is none.
    """
    try:
        return manifest()[name]
    except KeyError as error:
        raise ConfigError(
            f"there is no model `{name}`", hint="`closefit download-weights --list` names them all"
        ) from error
