"""Keeps native libraries off the terminal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard what native code writes to the error stream of this process."""
    error_stream = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(error_stream, 2)
        os.close(error_stream)


def network_threads() -> int:
    """Threads for a network of a few milliseconds, which is slower with more than two."""
    return min(2, os.cpu_count() or 1)
