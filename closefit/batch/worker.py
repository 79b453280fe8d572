"""The process that does tasks for `OneWorker`: a JSON line in, a JSON line out."""

import faulthandler
import json
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any

from closefit import interruption
from closefit.boundary.files import to_json

INTERRUPTED = 130


def serve() -> None:
    """Do one task after the other until the input ends; end at once if that is during a task.

    Libraries may print what they like: it goes to stderr.
    """
    interruption.install()
    faulthandler.enable()  # a crash of a library leaves its place in the log
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    from closefit.batch.task import perform

    while (line := lines.get()) is not None:
        try:
            with interruption.InOrder():
                outcome = perform(json.loads(line))
        except KeyboardInterrupt as stopped:
            # Not `sys.exit`: the thread that waits for input would be in its way.
            os._exit(getattr(stopped, "exit_code", INTERRUPTED))
        _State.busy = False
        answers.write(to_json(outcome).encode() + b"\n")
        answers.flush()


class _State:
    """Whether a task is under way."""

    busy = False


def _read(lines: "SimpleQueue[Any]") -> None:
    """Pass on the tasks; the input ends when the process that sends them does."""
    for line in sys.stdin:
        _State.busy = True
        lines.put(line)
    if _State.busy:
        os._exit(1)
    lines.put(None)
