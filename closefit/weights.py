"""Model files: what there is (the manifest), where they lie, and whether they are intact."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from closefit.config import Backend
from closefit.errors import ConfigError, WeightsDamagedError, WeightsMissingError
from closefit.hashing import sha256_of

BodyChoice = Literal["auto", "closefit", "smpl"]

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file; `sha256` may be shortened to what its publisher states, or empty if not pinned.

    Where its publisher has it only inside a zip archive, `url` is the archive's address, `member`
    the file's name in there and `archive_sha256` the archive's own hash.
    """

    name: str
    sha256: str = ""
    size: int | None = None
    url: str | None = None
    member: str | None = None
    archive_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry of the manifest.

    Attributes:
        name: How closefit calls it.
        purpose: What it is for.
        stages: Stages that may use it.
        backends: Backends of `track` that need it.
        licence: Its licence.
        commercial_use: Whether that licence lets products use it.
        optional: Results only lose quality without it.
        files: Alternatives; the first one found is used.
        hub_repo: Model hub repository of a model that is a folder.
        hub_revision: Its branch, tag or commit.
        obtain: How to get it, where `closefit download-weights` cannot.
    """

    name: str
    purpose: str
    stages: tuple[str, ...]
    backends: tuple[Backend, ...] = ()
    licence: str
    commercial_use: str
    optional: bool = False
    files: tuple[ModelFile, ...] = ()
    hub_repo: str | None = None
    hub_revision: str | None = None
    obtain: str | None = None

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the files or the folder that hold it."""
        return tuple(file.name for file in self.files) or (self.name,)

    @property
    def downloadable(self) -> ModelFile | None:
        """The file that has an address, if any."""
        return next((file for file in self.files if file.url is not None), None)


@cache
def manifest() -> Mapping[str, Model]:
    """Every model that closefit can use, by name."""
    content = tomllib.loads((shipped_folder() / "manifest.toml").read_text(encoding="utf-8"))
    models = [_model(entry) for entry in content["model"]]
    return {model.name: model for model in models}


def _model(entry: Mapping[str, Any]) -> Model:
    hub = entry.get("hub", {})
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry.items()
        if key != "hub"
    }
    values["files"] = tuple(ModelFile(**file) for file in entry.get("files", []))
    return Model(**values, hub_repo=hub.get("repo"), hub_revision=hub.get("revision"))


def shipped_folder() -> Path:
    """Folder of the files that ship with closefit, in an installed wheel or in a checkout."""
    installed = PACKAGE / "_weights"
    return installed if installed.is_dir() else PACKAGE.parent / "weights"


def user_folder() -> Path:
    """Where downloads go unless a folder is named."""
    cache_home = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache_home) if cache_home else Path.home() / ".cache") / "closefit"


def search_path(weights_dir: str | Path | None) -> tuple[Path, ...]:
    """Folders to look in, in this order."""
    from_environment = os.environ.get("CLOSEFIT_WEIGHTS")
    named = [Path(folder) for folder in (weights_dir, from_environment) if folder]
    return (*named, user_folder(), shipped_folder())


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
        WeightsMissingError: It is nowhere.
        WeightsDamagedError: It is there, but not what the manifest says.
    """
    path = find(name, weights_dir)
    if path is None:
        raise missing_error(name, weights_dir)
    verify(get(name), path)
    return path


def missing_error(name: str, weights_dir: str | Path | None) -> WeightsMissingError:
    """Say where model `name` was looked for and how to get it."""
    model = get(name)
    names = " or ".join(f"`{place}`" for place in model.places)
    folders = ", ".join(f"`{folder}`" for folder in search_path(weights_dir))
    return WeightsMissingError(
        f"the weights {names} (for {model.purpose}) are in none of {folders}",
        hint=f"{obtain_hint(model)}; licence: {model.licence}",
    )


def obtain_hint(model: Model) -> str:
    """How to get `model`."""
    if model.obtain is not None:
        return model.obtain
    return (
        f"run `closefit download-weights {model.name}`, or put the file into a folder and name it "
        "with --weights DIR"
    )


def verify(model: Model, path: Path, name: str | None = None) -> None:
    """Check that `path` is what the manifest says about its file `name` (default: its own name).

    Raises:
        WeightsDamagedError: It is not.
    """
    if path.is_dir():
        problem = _snapshot_problem(path)
    else:
        expected = next(file for file in model.files if file.name == (name or path.name))
        problem = _file_problem(expected, path)
    if problem is not None:
        raise WeightsDamagedError(
            f"`{path}` is damaged: {problem}", hint=f"delete it, then {obtain_hint(model)}"
        )


def _snapshot_problem(folder: Path) -> str | None:
    for pattern in ("config.json", "*.safetensors"):
        if not any(file.stat().st_size > 0 for file in folder.glob(pattern)):
            return f"it has no `{pattern}`"
    return None


def _file_problem(expected: ModelFile, path: Path) -> str | None:
    size = path.stat().st_size
    if expected.size not in (None, size) or size == 0:
        return f"it has {size} bytes" + (f" instead of {expected.size}" if expected.size else "")
    digest = sha256_of(path)
    if not digest.startswith(expected.sha256):
        return f"its SHA-256 is `{digest}` instead of `{expected.sha256}`"
    return None


def identity(name: str, weights_dir: str | Path | None = None) -> str | None:
    """Return what tells this copy of model `name` from others, or None where there is none."""
    path = find(name, weights_dir)
    if path is None:
        return None
    if path.is_file():
        return sha256_of(path)
    sizes = [f"{file.name}:{file.stat().st_size}" for file in sorted(path.glob("*.safetensors"))]
    config = path / "config.json"
    return "+".join([sha256_of(config) if config.is_file() else "no config", *sizes])


def body_model(choice: BodyChoice, weights_dir: str | Path | None = None) -> str:
    """Return the manifest name of the body to use: `auto` prefers SMPL once it is imported."""
    if choice == "smpl" or (choice == "auto" and find("smpl", weights_dir) is not None):
        return "smpl"
    return "closefit_body"


def backend_models(backend: Backend) -> tuple[str, ...]:
    """Return the manifest names of the models that a backend of `track` needs."""
    return tuple(model.name for model in manifest().values() if backend in model.backends)


def default_downloads() -> tuple[str, ...]:
    """Return the manifest names of what a run can use and closefit may fetch by itself."""
    return tuple(
        model.name
        for model in manifest().values()
        if model.obtain is None and (model.backends or model.optional)
    )


def describe(model: Model, weights_dir: str | Path | None = None) -> dict[str, str]:
    """Return what a list of models says about this one."""
    path = find(model.name, weights_dir)
    return {
        "model": model.name,
        "purpose": model.purpose,
        "stage": ", ".join(model.stages),
        "licence": model.licence,
        "commercial use": model.commercial_use,
        "here": str(path) if path is not None else "no",
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
