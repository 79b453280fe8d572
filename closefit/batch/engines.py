"""Who does the tasks: one process on this machine, kept warm from clip to clip; or Ray."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from closefit.batch.task import Outcome, Task
from closefit.boundary.files import to_json, typed

STOP_S = 30.0
"""How long a process may take to end a clip in order before it is killed."""

WORKER = (sys.executable, "-c", "from closefit.batch.worker import serve; serve()")


@dataclass(frozen=True)
class Died:
    """The process that did a task ended under it, or could not begin it.

    Attributes:
        how: How it ended; with a hint a sentence of its own.
        hint: What to do about it, where that is known.
    """

    how: str
    hint: str | None = None


Result = Outcome | Died


@runtime_checkable
class Engine(Protocol):
    """Does tasks; `submit` and `wait` never raise because of a clip."""

    def slots(self) -> int:
        """How many tasks may be under way."""

    def submit(self, ticket: int, task: Task) -> None:
        """Begin a task; `ticket` is any number that is not in use."""

    def wait(self, seconds: float) -> list[tuple[int, Result]]:
        """Return the tasks that have ended; waits at most so long for the first."""

    def stop(self) -> None:
        """End everything that is under way, in order if that is quick."""


class OneWorker:
    """A process of its own, so that a crash costs one clip; it is started again after one."""

    def __init__(self, log: Path, threads: int) -> None:
        """Start nothing yet. What the process writes goes to the end of `log`."""
        self._log, self._threads = log, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._ticket: int | None = None
        self._received = b""

    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, ticket: int, task: Task) -> None:
        """Send a task to the process."""
        if self._process is not None and self._process.poll() is not None:
            self._left(self._process)
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._ticket = ticket
        with suppress(BrokenPipeError):  # `wait` notices that it has ended
            self._process.stdin.write(to_json(asdict(task)).encode() + b"\n")
            self._process.stdin.flush()

    def wait(self, seconds: float) -> list[tuple[int, Result]]:
        """Return the task that has ended, if it has."""
        process, ticket = self._process, self._ticket
        if process is None or ticket is None or process.stdout is None:
            return []
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        if not ready:
            return []
        content = os.read(process.stdout.fileno(), 1 << 20)
        self._received += content
        if content and not self._received.endswith(b"\n"):
            return []
        received, self._received, self._ticket = self._received, b"", None
        if received.endswith(b"\n"):
            outcome: Outcome = typed(json.loads(received), Outcome)
            return [(ticket, outcome)]
        return [(ticket, Died(_ending(self._left(process))))]

    def stop(self) -> None:
        """Interrupt the clip, which saves what it can, and end the process."""
        process = self._process
        if process is None:
            return
        if self._ticket is not None:
            process.terminate()
        elif process.stdin is not None:
            process.stdin.close()
        deadline = time.monotonic() + STOP_S
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        self._left(process)

    def _left(self, process: "subprocess.Popen[bytes]") -> int:
        """Forget a process that ends; returns its exit code."""
        self._process = self._ticket = None
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()
        return process.wait()

    def _start(self) -> None:
        environment = os.environ | {
            "OMP_NUM_THREADS": str(self._threads),
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches it through `stop` only
            )


def _ending(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


@contextmanager
def stopped_at_end(engine: Engine) -> Iterator[Any]:
    """End the engine's processes with the block, however that ends."""
    try:
        yield engine
    finally:
        engine.stop()
