"""What differs between operating systems; tested on Linux only.

Imports next to nothing: the program needs it before anything else.
"""

import os
import signal
import stat

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that end a command: Ctrl-C, a request to end, the end of the terminal."""

NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""Flag of `os.open` that refuses symbolic links, where there is one."""

MOST_THREADS = 1024
BLOCK = bytes(1 << 20)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads() -> int:
    """Threads to compute with: the first number of `OMP_NUM_THREADS`, else one for each core."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    wanted = int(first) if first.isdecimal() and len(first) < 6 else 0
    return min(wanted, MOST_THREADS) or available_cores()


def is_pipe(number: int) -> bool:
    """Whether a stream leads to a pipe."""
    return stat.S_ISFIFO(os.fstat(number).st_mode)


def reader_is_gone(number: int) -> bool:
    """Whether a stream leads to a pipe that nobody reads any more."""
    import select

    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def allocate(path: str | os.PathLike[str]) -> None:
    """Reserve room on the disk for every byte of a file.

    A memory-mapped file with holes ends the process with a bus error once the disk is full.

    Raises:
        OSError: The disk is full.
    """
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if hasattr(os, "posix_fallocate"):
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
            return
        content = file.read(4096)  # the header; the rest is zeros
        file.seek(len(content))
        for start in range(len(content), size, len(BLOCK)):
            file.write(BLOCK[: size - start])
