"""Fetching model files: from their publisher, from a mirror, or from a folder.

A model is gathered in a hidden folder beside its place (`.closefit-download-NAME`), checked there,
and takes its place in one step. That folder is what a later run goes on with. A lock beside it
makes a second process wait and use what the first one has brought.
"""

import fcntl
import logging
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from closefit.errors import (
    ClosefitError,
    DiskFullError,
    OutputError,
    OutputFolderError,
    WeightsError,
)
from closefit.events import ALL_FILES, Emit, Event, Notice, Transferred
from closefit.models import sources, weights
from closefit.models.sources import Delivery
from closefit.models.transfer import PATIENT, Patience, StoppedError, TransferError, length_of
from closefit.models.weights import MB, Model, ModelFile
from closefit.storage.artifacts import FULL_DISK_ERRNOS

PREFIX = ".closefit-download-"
PARALLEL = 4
POLL_S = 0.1
SPARE_BYTES = 10 * MB
"""Disk that must remain after a download."""


logger = logging.getLogger(__name__)


def fetch(
    model: Model,
    folder: Path,
    emit: Emit,
    source: str | None = None,
    patience: Patience = PATIENT,
) -> Path:
    """Put an intact copy of `model` into `folder` and return its path; see `fetch_all`."""
    return fetch_all([model], folder, emit, source, patience)[model.name]


def fetch_all(
    models: Sequence[Model],
    folder: Path,
    emit: Emit,
    source: str | None = None,
    patience: Patience = PATIENT,
) -> dict[str, Path]:
    """Put intact copies of `models` into `folder`; what is intact there is left as it is.

    Args:
        models: Entries of the manifest.
        folder: Where to put them; made if needed.
        emit: Told what is fetched, under which licence, and how far it is.
        source: A folder, or an address (`http://...`) under which the files lie by their names or
            as the model hub has them; by default each model's own publisher.
        patience: How much to put up with from servers.

    Returns:
        The path of each model, by name.

    Raises:
        WeightsError: One of them cannot be fetched, or is not what the manifest says; the others
            are there.
        OutputFolderError: `folder` cannot be written to.
        DiskFullError: The disk is full.
    """
    sources.check(source)
    models = list(dict.fromkeys(models))
    paths = {model.name: _intact(model, folder) for model in models}
    absent = [model for model in models if paths[model.name] is None]
    for model in models:
        _tell_of_own_weights(model, paths[model.name], emit)
    if absent:
        sources.check_certificates(source)
        _make(folder)
        _require_space(absent, folder)
        crew = _Crew(folder=folder, source=source, patience=patience)
        paths.update(crew.work(absent, emit))
    return {name: path for name, path in paths.items() if path is not None}


def _intact(model: Model, folder: Path) -> Path | None:
    """Return the copy of `model` in `folder` that needs no renewal."""
    candidates = (folder / place for place in model.places)
    return next((p for p in candidates if p.exists() and weights.is_usable(model, p)), None)


def _tell_of_own_weights(model: Model, path: Path | None, emit: Emit) -> None:
    """A folder of the user's own training is never replaced."""
    changed = weights.published_problem(model, path) if path is not None else None
    if changed is not None:
        text = f"`{path}` stays as it is: it holds weights of your own ({changed})"
        emit(Notice(f"{text}; delete it to fetch the published ones"))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{PREFIX}{os.getpid()}-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from error


def _require_space(models: Sequence[Model], folder: Path) -> None:
    arrived = sum(
        length_of(_gathering(model, folder) / file.name)
        for model in models
        for file in model.wanted
    )
    needed = sum(model.size or 0 for model in models) - arrived + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"`{folder}` has {free / MB:.0f} MB left, but {needed / MB:.0f} MB are needed",
            hint="free some space, or name a folder on another disk with --weights DIR",
        )


def announcement(model: Model) -> str:
    """Say what is about to be fetched, how much it is, and under which licence."""
    return (
        f"fetching `{model.name}` ({model.purpose}), {model.size_text}; licence: {model.licence}; "
        f"commercial use: {model.commercial_use}"
    )


def _gathering(model: Model, folder: Path) -> Path:
    return folder / f"{PREFIX}{model.name}"


def _unwritable(folder: Path, error: OSError) -> OutputError:
    if error.errno in FULL_DISK_ERRNOS:
        return DiskFullError(
            f"no space left to write to `{folder}`",
            hint="free some space and run the same command again: it goes on where it stopped; or "
            "name a folder on another disk with --weights DIR",
        )
    return OutputFolderError(
        f"cannot write to `{folder}`: {error.strerror or error}",
        hint="name a folder that you may write to with --weights DIR",
    )


@dataclass(frozen=True, kw_only=True)
class _Crew:
    """Several models on their way at once; only the calling thread talks to the listener."""

    folder: Path
    source: str | None
    patience: Patience

    def work(self, models: Sequence[Model], emit: Emit) -> dict[str, Path]:
        """Bring `models` and return their paths."""
        said: queue.SimpleQueue[Event] = queue.SimpleQueue()
        stop = threading.Event()
        tally = _Tally(emit, models)
        pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="closefit-download")
        try:
            futures = {
                model.name: pool.submit(self._errand(model, said.put, stop).run) for model in models
            }
            pending = set(futures.values())
            while pending:
                done, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
                tally.pass_on(said)
                if any(isinstance(future.exception(), OutputError) for future in done):
                    break  # no other file can be written either
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            tally.pass_on(said)
        return _outcome(futures)

    def _errand(self, model: Model, tell: Emit, stop: threading.Event) -> "_Errand":
        delivery = Delivery(
            model=model,
            folder=_gathering(model, self.folder),
            patience=self.patience,
            tell=tell,
            stop=stop,
        )
        return _Errand(folder=self.folder, source=self.source, delivery=delivery)


class _Tally:
    """Passes events on and adds up the bytes of all files."""

    def __init__(self, emit: Emit, models: Sequence[Model]) -> None:
        self._emit = emit
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._same: dict[str, str] = {}
        for model in models:
            labels = [model.label(file) for file in model.wanted]
            sizes = [file.size or 0 for file in model.wanted]
            self._totals.update(zip(labels, sizes, strict=True))
            if labels and model.size is not None:  # the last file is the large one
                self._totals[labels[-1]] += model.size - sum(sizes)
            self._same.update({model.label(file): labels[0] for file in model.files})

    def pass_on(self, said: "queue.SimpleQueue[Event]") -> None:
        """Pass on everything that was said so far."""
        while not said.empty():
            event = said.get()
            self._emit(event)
            if isinstance(event, Transferred) and len(self._totals) > 1:
                name = self._same.get(event.name, event.name)
                self._done[name] = event.done
                self._totals[name] = event.total or max(self._totals.get(name, 0), event.done)
                done, total = sum(self._done.values()), sum(self._totals.values())
                self._emit(Transferred(ALL_FILES, done, total))


def _outcome(futures: Mapping[str, Future[Path]]) -> dict[str, Path]:
    """Return the paths; raise what went wrong, all of it in one sentence."""
    failures: dict[str, ClosefitError] = {}
    paths = {}
    for name, future in futures.items():
        if future.cancelled():
            continue
        error = future.exception()
        if error is None:
            paths[name] = future.result()
        elif isinstance(error, ClosefitError):
            failures[name] = error
        elif not isinstance(error, StoppedError):
            raise error
    fatal = next((error for error in failures.values() if isinstance(error, OutputError)), None)
    if fatal is not None:
        raise fatal
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise _summary(failures)
    return paths


def _summary(failures: Mapping[str, ClosefitError]) -> WeightsError:
    """Say in one sentence why several models are not here; what they share is said once."""
    names: dict[str, list[str]] = {}
    for name, error in failures.items():
        reason = error.reason if isinstance(error, TransferError) else error.message
        names.setdefault(reason, []).append(f"`{name}`")
    reasons = "; ".join(f"{', '.join(models)}: {reason}" for reason, models in names.items())
    hints = dict.fromkeys(error.hint for error in failures.values())
    return WeightsError(f"cannot fetch {reasons}", hint="; ".join(hints))


@dataclass(frozen=True, kw_only=True)
class _Errand:
    """One model on its way."""

    folder: Path
    source: str | None
    delivery: Delivery

    def run(self) -> Path:
        """Bring the model, or wait for another process that does."""
        model, gathering = self.delivery.model, self.delivery.folder
        try:
            with _locked(gathering.with_name(f"{gathering.name}.lock"), self._wait):
                path = _intact(model, self.folder)
                if path is not None:  # another process has brought it in the meantime
                    return path
                sources.require(model, self.source)
                self.delivery.tell(Notice(announcement(model)))
                gathering.mkdir(exist_ok=True)
                try:
                    files = sources.bring(self.source, self.delivery)
                    return self._install(files)
                finally:
                    with suppress(OSError):  # something is left to go on with
                        gathering.rmdir()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _wait(self, first: bool) -> None:
        if first:
            self.delivery.tell(
                Notice(f"another closefit fetches `{self.delivery.model.name}`: waiting for it")
            )
        if self.delivery.stop.wait(POLL_S):
            raise StoppedError

    def _install(self, files: Sequence[ModelFile]) -> Path:
        """Let what was gathered take its place."""
        gathering, names = self.delivery.folder, {file.name for file in files}
        for path in gathering.iterdir():
            if path.name in names:
                _sync(path)
            else:
                path.unlink()  # parts of what another version of the manifest asked for
        if self.delivery.model.hub is None:
            (name,) = names
            os.replace(gathering / name, self.folder / name)
            return self.folder / name
        place = self.folder / self.delivery.model.name
        replaced = gathering.with_name(f"{gathering.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if place.exists():
            place.rename(replaced)
        gathering.rename(place)
        shutil.rmtree(replaced, ignore_errors=True)
        return place


@contextmanager
def _locked(path: Path, wait_for: Callable[[bool], None]) -> Iterator[None]:
    """Hold the lock file `path`; the system drops it when this process ends, however it ends.

    Args:
        path: Lock file; it is gone afterwards.
        wait_for: Called again and again while another process holds it, first with True.
    """
    first = True
    while True:
        lock = open(path, "a", encoding="ascii")  # noqa: SIM115 - closed below, with the lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            wait_for(first)
            first = False
            continue
        except OSError:
            logger.warning("%s: this file system has no locks", path.parent)
            break
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                break
        lock.close()  # its last holder has removed it in between
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.close()


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
