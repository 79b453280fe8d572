"""Runs the command line in a fork of this process, which has imported everything it needs.

A fresh process takes seconds for its imports alone; a fork takes milliseconds. Each fork is
isolated: its disk is read-only but for its own folder, it has no network but itself, and limits on
memory and time.
"""

import ctypes
import fcntl
import gc
import importlib
import os
import pkgutil
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.campaign.page import click_instead_of_waiting

MEMORY_BYTES = 3 << 30
"""Address space of a case, beyond what the imports take."""
CPU_S, WALL_S = 20, 60
"""Limits of a case; the second without the time in which it waits for a core."""

PROGRAM = (sys.executable, "-c", "from closefit.cli.main import main; main()")

NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x40000000  # user, mount, network
BIND, PRIVATE, RECURSIVE = 0x1000, 0x40000, 0x4000
MOUNT_SETATTR, READ_ONLY, AT_RECURSIVE, HERE = 442, 1, 0x8000, -100
CAPABILITIES_3, PASS_OVER_PERMISSIONS = 0x20080522, 0b110
SET_INTERFACE, UP = 0x8914, 1
KILLED_BY_LIMIT = 137

LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        exit_code: As shells have it: 128 plus the signal that ended it.
        stdout: What it printed, at most `SHOWN` characters.
        stderr: What it reported.
        seconds: Wall-clock time.
        cpu_s: Processor time.
        peak_bytes: Most memory in use.
        timed_out: Whether it was ended by a limit on time.
    """

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    cpu_s: float
    peak_bytes: int
    timed_out: bool


@cache
def import_everything() -> None:
    """Import all of closefit, so that a fork imports nothing; done before, it does nothing."""
    import closefit

    for module in pkgutil.walk_packages(closefit.__path__, "closefit."):
        importlib.import_module(module.name)
    for optional in ("viser", "pxr.UsdSkel"):
        with suppress(ImportError):
            importlib.import_module(optional)
    sys.modules["ray"] = None  # type: ignore[assignment]  # it would start a cluster for each case
    gc.freeze()  # a collection in a fork would copy all that was imported


def can_isolate() -> bool:
    """Whether this machine lets a process have namespaces of its own."""
    child = os.fork()
    if child == 0:
        try:
            isolate(Path("/tmp"))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def run(
    arguments: tuple[str, ...],
    folder: Path,
    environment: dict[str, str],
    isolated: bool,
    prepare: Callable[[], None] = lambda: None,
) -> Outcome:
    """Call `closefit ARGUMENTS` in `folder` in a fork, and wait for it; `prepare` comes first."""
    sys.stdout.flush()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            prepare()
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


def _call(
    arguments: tuple[str, ...], folder: Path, environment: dict[str, str], isolated: bool
) -> None:
    os.setsid()
    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if isolated:
        isolate(folder)
        os.chdir(folder)
    obey_permissions()
    os.environ.update(environment)
    tempfile.tempdir = None  # found out before TMPDIR was this one
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if arguments[:1] == ("view",):
        click_instead_of_waiting()
    code = call_here(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def call_here(arguments: tuple[str, ...]) -> int:
    """Call `closefit ARGUMENTS` in this process; returns the exit code."""
    from closefit.cli.main import main

    sys.argv = ["closefit", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def own_mounts() -> None:
    """Give this process mounts and a network of its own."""
    user, group = os.getuid(), os.getgid()
    _check(LIBC.unshare(NEW_NAMESPACES))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _check(LIBC.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None))


def obey_permissions() -> None:
    """Let permissions of files count for this process, also where it is root's."""
    header = struct.pack("II", CAPABILITIES_3, 0)
    data = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; twice 32 bits
    _check(LIBC.capget(header, data))
    sets = list(struct.unpack("6I", data.raw))
    for place in range(3):
        sets[place] &= ~PASS_OVER_PERMISSIONS
    _check(LIBC.capset(header, struct.pack("6I", *sets)))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "isolation")


def isolate(folder: Path) -> None:
    """Make everything but `folder` read-only, and all networks unreachable."""
    own_mounts()
    place = str(folder).encode()
    _check(LIBC.mount(place, place, None, BIND, None))
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    _check(LIBC.syscall(MOUNT_SETATTR, HERE, b"/", AT_RECURSIVE, attributes, 32))
    attributes = (ctypes.c_uint64 * 4)(0, READ_ONLY, 0, 0)
    _check(LIBC.syscall(MOUNT_SETATTR, HERE, place, 0, attributes, 32))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # the viewer listens
        fcntl.ioctl(any_socket, SET_INTERFACE, struct.pack("16sh14x", b"lo", UP))


def _waited_s(process: int) -> float:
    """Time that a process and its child were ready to run but did not get a core.

    Others take their part of the machine.
    """
    waited = [0.0]
    for file in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError):  # the thread has ended
            waited.append(int(file.read_text().split()[1]) / 1e9)
    return max(waited) + max(map(_waited_s, _children(process)), default=0.0)


def _children(process: int) -> list[int]:
    """Processes that this one has started and that are alive."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state = file.read_text().rpartition(")")[2].split()
            if int(state[1]) == process:
                found.append(int(file.parent.name))
    return found


def _outcome(child: int, folder: Path, started: float) -> Outcome:
    """Wait for a child, end it when its time is up, and collect what it left."""
    done, status, usage = 0, 0, None
    timed_out = False
    while not done:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if not done:
            elapsed = time.monotonic() - started
            if elapsed > WALL_S and elapsed - _waited_s(child) > WALL_S:
                timed_out = True
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.005)
    code = os.waitstatus_to_exitcode(status)
    code = 128 - code if code < 0 else code
    timed_out = timed_out or code in (128 + signal.SIGXCPU, KILLED_BY_LIMIT)
    texts = [
        (folder / name).read_bytes()[:100_000].decode(errors="replace")
        for name in ("stdout", "stderr")
    ]
    return Outcome(
        exit_code=code,
        stdout=texts[0],
        stderr=texts[1],
        seconds=time.monotonic() - started,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
        timed_out=timed_out,
    )
