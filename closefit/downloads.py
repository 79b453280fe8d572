"""Fetching model files: from their publisher, from a folder, or from another address."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from closefit import weights
from closefit.artifacts import TEMPORARY_PREFIX, disk_full_guard
from closefit.errors import OutputFolderError, WeightsDamagedError, WeightsError
from closefit.events import Emit, Notice
from closefit.weights import Model, ModelFile

TIMEOUT_S = 30


def fetch(model: Model, folder: Path, emit: Emit, source: str | None = None) -> Path:
    """Put an intact copy of `model` into `folder` and return its path.

    Args:
        model: Entry of the manifest.
        folder: Where to put it; made if needed.
        emit: Told what is fetched, and under which licence.
        source: A folder, or an address (`http://...`) under which the files lie by their names;
            by default the model's own publisher.

    Raises:
        WeightsError: It cannot be fetched, or is not what the manifest says.
        OutputFolderError: `folder` cannot be written to.
        DiskFullError: The disk is full.
    """
    emit(Notice(f"fetching `{model.name}` ({model.purpose}); licence: {model.licence}"))
    with disk_full_guard(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{model.name}"
            partial.touch()
            partial.unlink()
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise OutputFolderError(
                f"cannot write to `{folder}`: {error.strerror}",
                hint="name a folder that you may write to with --weights DIR",
            ) from error
        try:
            name = _obtain(model, partial, source)
            return _accept(model, partial, folder / name)
        finally:
            _remove(partial)


def _obtain(model: Model, partial: Path, source: str | None) -> str:
    """Write the model to `partial` and return the name that it must get."""
    if source is not None and urlsplit(source).scheme not in ("http", "https"):
        return _copy(model, Path(source), partial)
    if source is None and model.hub_repo is not None:
        return _from_hub(model, partial)
    file = _file_of(model, source)
    _download(file.url if source is None else f"{source.rstrip('/')}/{file.name}", partial)
    return file.name


def _file_of(model: Model, source: str | None) -> ModelFile:
    file = model.downloadable if source is None else next(iter(model.files), None)
    if file is None:
        raise WeightsError(
            f"`{model.name}` has no file that can be downloaded", hint=weights.obtain_hint(model)
        )
    return file


def _copy(model: Model, source: Path, partial: Path) -> str:
    found = next((source / place for place in model.places if (source / place).exists()), None)
    if found is None:
        names = " or ".join(f"`{place}`" for place in model.places)
        raise WeightsError(f"`{source}` has no {names}", hint="check the folder given with --from")
    weights.verify(model, found)
    if found.is_dir():
        shutil.copytree(found, partial)
    else:
        shutil.copyfile(found, partial)
    return found.name


def _download(url: str | None, partial: Path) -> None:
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(timeout=TIMEOUT_S)(url, str(partial), None)
    except requests.RequestException as error:
        raise _unreachable(str(url), error) from error


def _from_hub(model: Model, partial: Path) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    address = f"{model.hub_repo}@{model.hub_revision}"
    try:
        snapshot_download(
            str(model.hub_repo),
            revision=model.hub_revision,
            local_dir=partial,
            allow_patterns=["*.json", "*.safetensors"],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise _unreachable(address, error) from error
    return model.name


def _unreachable(address: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"cannot download `{address}`: {type(error).__name__}",
        hint="check the network, or fetch the file elsewhere and name its folder with --from DIR",
    )


def _accept(model: Model, partial: Path, target: Path) -> Path:
    """Check what was fetched and let it take its place."""
    try:
        weights.verify(model, partial, target.name)
    except WeightsDamagedError as error:
        raise WeightsDamagedError(
            f"what was fetched for `{model.name}` is not what the manifest says: {error.message}",
            hint="try again; if it stays so, the publisher's file has changed: please report it",
        ) from error
    _remove(target)
    return partial.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
