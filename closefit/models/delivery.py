"""A model on its way: limits of patience, and the files while they are written."""

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from closefit.events import Emit, Transferred
from closefit.models.weights import Model, ModelFile
from closefit.system import NO_LINKS

REPORT_S = 0.1
"""Least time between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Limits on retries and waiting times.

    Attributes:
        attempts: Failures in a row before giving up.
        first_pause_s: Pause after the first failure; it doubles with each further one.
        read_s: Time without a byte.
        slow_s: Time for the headers, and the period over which the least rate must be kept up.
    """

    attempts: int = 6
    first_pause_s: float = 0.5
    read_s: float = 15.0
    slow_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A model on its way.

    Attributes:
        model: The model.
        folder: Receives its files; it may hold parts of them, and nobody else can write to it.
        patience: Limits on retries and waiting times.
        emit: Receives events.
        stop: Ends the delivery when set.
    """

    model: Model
    folder: Path
    patience: Patience
    emit: Emit
    stop: threading.Event


class StoppedError(Exception):
    """The transfer was stopped from outside."""


@dataclass(frozen=True)
class Part:
    """A file of a delivery while it is written."""

    file: ModelFile
    delivery: Delivery

    @property
    def path(self) -> Path:
        """Where it is written."""
        return self.delivery.folder / self.file.name

    @property
    def resumable(self) -> bool:
        """Whether bytes of an earlier attempt may be kept, because a hash is checked later."""
        return bool(self.file.sha256)

    @property
    def length(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def write(self, blocks: Iterable[bytes], offset: int = 0, total: int | None = None) -> None:
        """Replace what follows byte `offset` by `blocks`; ignore what exceeds the known size.

        Raises:
            StoppedError: `stop` was set.
            OSError: It cannot be written.
        """
        total, reported_s = self.file.size or total, 0.0
        label = self.delivery.model.label(self.file)
        # Unbuffered: a process that is killed leaves everything that has arrived.
        with open(self.path, "ab", buffering=0, opener=_open_without_links) as file:
            file.truncate(offset)
            for block in blocks:
                if self.delivery.stop.is_set():
                    raise StoppedError
                offset += file.write(block if total is None else block[: total - offset])
                if offset == total or time.monotonic() - reported_s > REPORT_S:
                    reported_s = time.monotonic()
                    self.delivery.emit(Transferred(label, offset, total))
                if offset == total:
                    break


def _open_without_links(path: str, flags: int) -> int:
    return os.open(path, flags | NO_LINKS, 0o666)
