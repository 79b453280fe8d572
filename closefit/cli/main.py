"""The entry point: signals and streams first, then the commands, whose imports take a second."""

# What `signal` is made of: without its imports, which take longer than everything before them.
import _signal  # type: ignore[import-not-found]
import os
import sys

# Until `install`, Ctrl-C ends the process at once, as a signal: without Python's traceback.
if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

from closefit import interruption
from closefit.system import is_pipe, reader_is_gone

OUTPUT_UNREAD = 141
"""Exit code where the reader of a pipe has gone, as shells have it for SIGPIPE."""


def main() -> None:
    """Run the `closefit` program."""
    interruption.install()
    _repair_streams()
    pipes = [number for number in (1, 2) if is_pipe(number)]
    # Idle OpenMP threads that spin starve the rasteriser's threads: on 2 busy cores the joint
    # optimisation took three times as long. Has to be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from closefit.cli.app import run_program

    try:
        code = run_program()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = 1
    except OSError as error:  # of the flush: stdout is a file on a full disk
        _silence(1)
        print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        print("\nhint: free some space, or redirect the output elsewhere", file=sys.stderr)  # noqa: T201
        code = 10
    # Libraries that notice it first put the null device in the place of the pipe.
    if code == 1 and any(not is_pipe(number) or reader_is_gone(number) for number in pipes):
        _silence(1, 2)
        code = OUTPUT_UNREAD
    sys.exit(code)


def _repair_streams() -> None:
    """Put the null device where a stream is closed; characters that it lacks are escaped.

    The next file to be opened would get a closed stream's number, and what is printed.
    """
    for number in range(3):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _silence(*numbers: int) -> None:
    """Lead streams nowhere, so that their last bytes cause no error at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in numbers:
        os.dup2(nowhere, number)
