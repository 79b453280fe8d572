"""Fetches model files: from their publisher, from a mirror, or from a folder.

A model is collected in a private folder beside its place (`.closefit-download-NAME`), checked
there, and moved into its place in one step. A later run continues with what that folder holds. A
lock beside it makes a second process wait for the first one and use its result.
"""

import os
import shutil
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from errno import EPERM
from itertools import chain, count
from pathlib import Path

from filelock import FileLock, Timeout

from closefit.errors import (
    FULL_DISK_ERRNOS,
    ClosefitError,
    DiskFullError,
    OutputError,
    OutputFolderError,
    WeightsError,
)
from closefit.events import ALL_FILES, Emit, Event, Notice, Transferred
from closefit.models import sources, weights
from closefit.models.delivery import Delivery, Patience, StoppedError
from closefit.models.transfer import TransferError
from closefit.models.weights import MB, Model, ModelFile

PREFIX = ".closefit-download-"
PARALLEL = 4
POLL_S = 0.1
SPARE_BYTES = 10 * MB
"""Disk space that must remain after a download."""

PATIENCE = Patience()


def fetch_all(
    models: Sequence[Model],
    folder: Path,
    emit: Emit,
    source: str | None = None,
    patience: Patience = PATIENCE,
) -> dict[str, Path]:
    """Put intact copies of `models` into `folder`; leave intact ones as they are.

    Args:
        models: Entries of the manifest.
        folder: Receives them; it is created if needed.
        emit: Receives what is fetched, under which licence, and the progress.
        source: A folder, or an address (`http://...`) with the files under their names or as the
            model hub has them; by default each model's own publisher.
        patience: Limits on retries and waiting times.

    Returns:
        The path of each model, by name.

    Raises:
        WeightsError: One of them cannot be fetched, or does not match the manifest; the others
            are there.
        OutputFolderError: `folder` cannot be written to.
        DiskFullError: The disk is full.
    """
    sources.check(source)
    models = list(dict.fromkeys(models))
    copies = {model.name: _copy_in(folder, model) for model in models}
    for copy in copies.values():
        if copy is not None and copy.state == "own":
            text = f"`{copy.path}` stays as it is: it holds weights of your own ({copy.problem})"
            emit(Notice(f"{text}; delete it to fetch the published ones"))
    paths = {name: copy.path for name, copy in copies.items() if copy is not None and copy.path}
    absent = [model for model in models if model.name not in paths]
    if absent:
        sources.check_certificates(source)
        _make(folder)
        _require_space(absent, folder)
        paths.update(_fetch(absent, folder, emit, source, patience))
    return {model.name: paths[model.name] for model in models}


def _copy_in(folder: Path, model: Model) -> weights.Copy | None:
    """Return the copy of `model` in `folder` that needs no renewal."""
    places = (folder / place for place in model.places)
    copies = (weights.inspect_at(model, place) for place in places if place.exists())
    return next((copy for copy in copies if copy.state != "damaged"), None)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{PREFIX}{os.getpid()}-probe"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise _unwritable(folder, error) from error


def _require_space(models: Sequence[Model], folder: Path) -> None:
    parts = [_collected(model, folder) / file.name for model in models for file in model.wanted]
    arrived = sum(path.lstat().st_size for path in parts if path.is_file())
    needed = sum(model.size or 0 for model in models) - arrived + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"`{folder}` has {free / MB:.0f} MB left, but {needed / MB:.0f} MB are needed",
            hint="free some space, or name a folder on another disk with --weights DIR",
        )


def _unwritable(folder: Path, error: OSError) -> OutputError:
    if error.errno in FULL_DISK_ERRNOS:
        return DiskFullError(
            f"no space left to write to `{folder}`",
            hint="free some space and run the same command again: it continues where it stopped; "
            "or name a folder on another disk with --weights DIR",
        )
    return OutputFolderError(
        f"cannot write to `{folder}`: {error.strerror or error}",
        hint="name a folder that you may write to with --weights DIR",
    )


def _fetch(
    models: Sequence[Model], folder: Path, emit: Emit, source: str | None, patience: Patience
) -> dict[str, Path]:
    """Fetch several models at once."""
    stop, emit = threading.Event(), _Tally(emit, models).forward
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="closefit-download") as pool:
        futures = {}
        for model in models:
            delivery = Delivery(
                model=model,
                folder=_collected(model, folder),
                patience=patience,
                emit=emit,
                stop=stop,
            )
            futures[model.name] = pool.submit(_fetch_one, folder, source, delivery)
        try:
            for future in as_completed(futures.values()):
                if isinstance(future.exception(), OutputError):
                    break  # no other file can be written either
        finally:
            stop.set()
    return _outcome(futures)


class _Tally:
    """Forwards events, one at a time, and adds the bytes of all files."""

    def __init__(self, emit: Emit, models: Sequence[Model]) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._keys: dict[str, str] = {}  # one of a model's alternatives comes
        for model in models:
            labels = [model.label(file) for file in model.wanted]
            sizes = [file.size or 0 for file in model.wanted]
            self._totals.update(zip(labels, sizes, strict=True))
            if labels and model.size is not None:  # the last file is the large one
                self._totals[labels[-1]] += model.size - sum(sizes)
            self._keys.update({model.label(file): labels[0] for file in model.files})

    def forward(self, event: Event) -> None:
        """Forward `event`, and the sum if it is about a file."""
        with self._lock:
            self._emit(event)
            if isinstance(event, Transferred) and len(self._totals) > 1:
                key = self._keys.get(event.name, event.name)
                self._done[key] = event.done
                self._totals[key] = event.total or max(self._totals.get(key, 0), event.done)
                done, total = sum(self._done.values()), sum(self._totals.values())
                self._emit(Transferred(ALL_FILES, done, total))


def _outcome(futures: Mapping[str, Future[Path]]) -> dict[str, Path]:
    """Return the paths; raise all failures as one error, in which a shared reason appears once."""
    errors = {name: future.exception() for name, future in futures.items()}
    failures = {name: error for name, error in errors.items() if isinstance(error, ClosefitError)}
    others = [
        error for error in errors.values() if not isinstance(error, (ClosefitError, StoppedError))
    ]
    fatal = [error for error in failures.values() if isinstance(error, OutputError)]
    for error in (*filter(None, others), *fatal):
        raise error
    if not failures:
        return {name: future.result() for name, future in futures.items()}
    if len(failures) == 1:
        raise next(iter(failures.values()))
    names: dict[str, list[str]] = {}
    for name, error in failures.items():
        reason = error.reason if isinstance(error, TransferError) else error.message
        names.setdefault(reason, []).append(f"`{name}`")
    reasons = "; ".join(f"{', '.join(models)}: {reason}" for reason, models in names.items())
    hints = dict.fromkeys(error.hint for error in failures.values())
    raise WeightsError(f"cannot fetch {reasons}", hint="; ".join(hints))


def _private(model: Model, folder: Path) -> Path:
    return folder / f"{PREFIX}{model.name}"


def _collected(model: Model, folder: Path) -> Path:
    """Return where the files of `model` are collected; a hub's folder is moved as a whole."""
    private = _private(model, folder)
    return private if model.hub is None else private / model.name


def _fetch_one(folder: Path, source: str | None, delivery: Delivery) -> Path:
    """Fetch one model, or wait for another process that does."""
    if delivery.stop.is_set():
        raise StoppedError
    model, private = delivery.model, _private(delivery.model, folder)
    try:
        with _locked(private.with_name(f"{private.name}.lock"), delivery):
            copy = _copy_in(folder, model)
            if copy is not None and copy.path is not None:  # fetched by another process
                return copy.path
            sources.require(model, source)
            delivery.emit(Notice(announcement(model)))
            _make_private(private)
            delivery.folder.mkdir(exist_ok=True)
            try:
                path = _install(folder, delivery, sources.bring(source, delivery))
                shutil.rmtree(private, ignore_errors=True)
                return path
            finally:
                with suppress(OSError):  # parts to continue with remain
                    delivery.folder.rmdir()
                    private.rmdir()
    except OSError as error:
        raise _unwritable(folder, error) from error


def announcement(model: Model) -> str:
    """Describe what is about to be fetched: its purpose, size and licence."""
    return (
        f"fetching `{model.name}` ({model.purpose}), {model.size_text}; licence: {model.licence}; "
        f"commercial use: {model.commercial_use}"
    )


def _make_private(folder: Path) -> None:
    """Create the folder for the parts, without anything through which a write would leave it."""
    if folder.is_symlink():
        folder.unlink()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.stat().st_uid != os.geteuid():
            raise PermissionError(EPERM, f"`{folder.name}` belongs to another user") from None
        folder.chmod(0o700)
    for path in list(folder.rglob("*")):
        status = path.lstat()
        plain = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if not (plain or stat.S_ISDIR(status.st_mode)):
            path.unlink()


def _install(folder: Path, delivery: Delivery, files: Sequence[ModelFile]) -> Path:
    """Move what was collected into its place."""
    names = {file.name for file in files}
    for path in delivery.folder.iterdir():
        if path.name in names:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        else:
            path.unlink()  # parts for another version of the manifest
    if delivery.model.hub is None:
        (name,) = names
        source, place = delivery.folder / name, folder / name
    else:
        source, place = delivery.folder, folder / delivery.model.name
    _set_aside(place, delivery.emit)
    os.replace(source, place)
    return place


def _set_aside(place: Path, emit: Emit) -> None:
    """Rename what cannot be used: closefit did not write it, so it does not delete it."""
    if not os.path.lexists(place):
        return
    names = chain([f"{place.name}.damaged"], (f"{place.name}.damaged-{n}" for n in count(2)))
    free = next(place.with_name(name) for name in names if not os.path.lexists(place.parent / name))
    os.replace(place, free)
    emit(Notice(f"what was there before cannot be used; it is kept as `{free}`"))


@contextmanager
def _locked(path: Path, delivery: Delivery) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when this process ends, however it ends."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        text = f"another closefit fetches `{delivery.model.name}`: waiting for it"
        delivery.emit(Notice(text))
        try:
            lock.acquire(poll_interval=POLL_S, cancel_check=delivery.stop.is_set)
        except Timeout as error:
            raise StoppedError from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # filelock notices where another process waits for this one
        lock.release()
