"""Runs the command line in a fork of this process, which has imported everything it needs.

A fresh process takes seconds for its imports alone; a fork takes milliseconds. Each fork is isolated:
a file system that is read-only but for its own folder, no network, limits on memory and time.
"""

import ctypes
import importlib
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MEMORY_BYTES = 3 << 30
"""Address space of a case, beyond what the imports take."""
CPU_S, WALL_S = 20, 60
PROGRAM = (sys.executable, "-c", "from closefit.cli.main import main; main()")

NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x40000000  # user, mount, network
BIND, PRIVATE, RECURSIVE = 0x1000, 0x40000, 0x4000
MOUNT_SETATTR, READ_ONLY, AT_RECURSIVE, HERE = 442, 1, 0x8000, -100
KILLED_BY_LIMIT = 137


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        exit_code: As shells have it: 128 plus the signal that ended it.
        stdout: What it printed, at most `SHOWN` characters.
        stderr: What it reported.
        seconds: Wall-clock time.
        peak_bytes: Most memory in use.
        timed_out: Whether it was ended by a limit on time.
    """

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int
    timed_out: bool


def import_everything() -> None:
    """Import all of closefit, so that a fork imports nothing."""
    import closefit

    for module in pkgutil.walk_packages(closefit.__path__, "closefit."):
        importlib.import_module(module.name)


def can_isolate() -> bool:
    """Whether this machine lets a process have namespaces of its own."""
    child = os.fork()
    if child == 0:
        try:
            _isolate(Path("/tmp"))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def run(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], isolated: bool) -> Outcome:
    """Call `closefit ARGUMENTS` in `folder` in a fork, and wait for it."""
    sys.stdout.flush()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            _call(arguments, folder, environment, isolated)
        finally:
            os._exit(99)
    return _outcome(child, folder, started)


def run_fresh(arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> Outcome:
    """As `run`, in a process of its own that imports everything."""
    started = time.monotonic()
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(
            [*PROGRAM, *arguments], cwd=folder, env={**os.environ, **environment}, stdout=out,
            stderr=err, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        outcome = _outcome(process.pid, folder, started)
        process.returncode = outcome.exit_code
    return outcome


def _call(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], isolated: bool) -> None:
    os.setsid()
    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if isolated:
        _isolate(folder)
        os.chdir(folder)
    os.environ.update(environment)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = ["closefit", *arguments]
    from closefit.cli.main import main

    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _isolate(folder: Path) -> None:
    """Make everything but `folder` read-only, and all networks unreachable."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "isolation")

    user, group = os.getuid(), os.getgid()
    check(libc.unshare(NEW_NAMESPACES))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    place = str(folder).encode()
    check(libc.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None))
    check(libc.mount(place, place, None, BIND, None))
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    check(libc.syscall(MOUNT_SETATTR, HERE, b"/", AT_RECURSIVE, attributes, 32))
    attributes = (ctypes.c_uint64 * 4)(0, READ_ONLY, 0, 0)
    check(libc.syscall(MOUNT_SETATTR, HERE, place, 0, attributes, 32))


def _outcome(child: int, folder: Path, started: float) -> Outcome:
    """Wait for a child, end it when its time is up, and collect what it left."""
    done, status, usage = 0, 0, None
    timed_out = False
    while not done:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if not done:
            if time.monotonic() - started > WALL_S:
                timed_out = True
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.005)
    code = os.waitstatus_to_exitcode(status)
    code = 128 - code if code < 0 else code
    timed_out = timed_out or code in (128 + signal.SIGXCPU, KILLED_BY_LIMIT)
    texts = [(folder / name).read_bytes()[:100_000].decode(errors="replace") for name in ("stdout", "stderr")]
    return Outcome(code, *texts, time.monotonic() - started, usage.ru_maxrss * 1024, timed_out)
