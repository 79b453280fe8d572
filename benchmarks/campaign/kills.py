"""Runs that are killed, interrupted or starved of disk at every point where they write.

`python -m benchmarks.campaign.kills`: at each `os.replace` and `os.fsync` (artifacts, checkpoints,
results), before and after it, a run is killed; then the disk is filled; then signals come at
random. After each, the same command has to end with the same bits as an undisturbed run.
`--publish` writes the counts into `results/kills.md`.
"""

import argparse
import ctypes
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.campaign import corpus, forkserver
from benchmarks.campaign.__main__ import ENVIRONMENT
from benchmarks.measuring import publish, table

DISK_MIB = 64
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
SETTINGS = tuple(word for setting in corpus.ALL_PARTS for word in ("--set", setting))

DONE_TO = {
    "kill": "killed at a point (SIGKILL)",
    "fill": f"the disk of {DISK_MIB} MiB fills at a point",
    "signal": "a signal at random (SIGKILL, SIGINT, SIGTERM)",
}

At = Callable[[], None]


@dataclass
class Count:
    """What a series of runs came to.

    Attributes:
        points: Times that something was done to a run.
        runs: All runs, those that had to finish too.
        wrong: What was not as it should be.
    """

    points: int
    runs: int
    wrong: list[str]


class Runs:
    """Runs of one command on one results folder."""

    def __init__(self, disk: Path, place: Path, inputs: Path, skip: int = 0) -> None:
        """Find out how many points there are, and the bits of a run that nothing happens to.

        Args:
            disk: Small disk for the results.
            place: Folder for what the program prints.
            inputs: The corpus.
            skip: How many of the points, in the order in which they are drawn, were done before.
        """
        self.out, self.disk, self.place = disk / "out", disk, place
        self.arguments = (
            "run", str(inputs / "large.mp4"), "--observations", str(inputs / "large.npz"),
            *SETTINGS, "--out", str(self.out),
        )  # fmt: skip
        forkserver.call_here(self.arguments)  # compiles kernels, which each fork would do again
        self.reset()
        self.runs = 0
        counter = place / "points"
        outcome = self.run(lambda: _hook(None, counter))
        if outcome.exit_code != 0:
            raise RuntimeError(outcome.stderr)
        self.points, self.seconds = int(counter.read_text()), outcome.seconds
        self.order = random.Random(0).sample(range(self.points), self.points)[skip:]
        self.bits = self._bits()
        self.reset()

    def run(self, prepare: At = lambda: None) -> forkserver.Outcome:
        """Run the command; `prepare` is called in its process."""
        self.runs += 1
        return forkserver.run(self.arguments, self.place, ENVIRONMENT, False, prepare)

    def reset(self) -> None:
        """Begin with no results."""
        shutil.rmtree(self.out, ignore_errors=True)

    def finish(self) -> str:
        """Run to the end; returns what is wrong with the results, or nothing."""
        outcome = self.run()
        if outcome.exit_code != 0:
            return f"exit code {outcome.exit_code}: {outcome.stderr[-300:]}"
        if left := [p.name for p in self.out.rglob(".closefit-*")] + [*self.out.rglob("crop_*")]:
            return f"left over: {left}"
        different = [name for name, bits in self._bits().items() if bits != self.bits[name]]
        return f"other bits: {different}" if different else ""

    def _bits(self) -> dict[str, bytes]:
        """Results that hold no time of day."""
        names = ("motion.npz", "scene.glb", "contacts.json", "overlay.mp4", "person_0.bvh",
                 "gaussians/person_1.ply")  # fmt: skip
        return {name: (self.out / name).read_bytes() for name in names}


def _hook(at: tuple[int, At] | None, counter: Path | None = None) -> None:
    """Count the points of this process; do something at one of them; save each step."""
    from closefit.stages import optimize

    optimize.CHECKPOINT_EVERY_S = -1.0
    passed = 0

    def reach() -> None:
        nonlocal passed
        if at is not None and passed == at[0]:
            at[1]()
        passed += 1
        if counter is not None:
            counter.write_text(str(passed))

    for name in ("replace", "fsync"):
        real = getattr(os, name)

        def hooked(*given: object, real: Callable[..., object] = real) -> None:
            reach()
            real(*given)
            reach()

        setattr(os, name, hooked)


def kill_everywhere(runs: Runs, end: float) -> Count:
    """Kill a run at each point, and let the next one finish."""
    wrong, before, done = [], runs.runs, 0
    for point in runs.order:
        if time.monotonic() > end:
            break
        done += 1
        runs.reset()
        act = point, lambda: os.kill(os.getpid(), signal.SIGKILL)
        outcome = runs.run(lambda act=act: _hook(act))
        if outcome.exit_code != 137:
            wrong.append(f"point {point}: exit code {outcome.exit_code}: {outcome.stderr[-200:]}")
        print(point, outcome.exit_code, flush=True)
        if problem := runs.finish():
            wrong.append(f"killed at point {point}: {problem}")
    return Count(done, runs.runs - before, wrong)


def fill_everywhere(runs: Runs, end: float) -> Count:
    """Fill the disk at each point; after room was made, the next run has to finish."""
    filler = runs.disk / "filler"

    def fill() -> None:
        with open(filler, "wb", buffering=0) as file:
            for block in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while file.write(bytes(block)):
                        pass

    wrong, before, done = [], runs.runs, 0
    for point in runs.order:
        if time.monotonic() > end:
            break
        done += 1
        runs.reset()
        outcome = runs.run(lambda point=point: _hook((point, fill)))
        if outcome.exit_code not in (0, 10) or "Traceback" in outcome.stderr:
            wrong.append(
                f"full at point {point}: exit code {outcome.exit_code}: {outcome.stderr[-300:]}"
            )
        if outcome.exit_code == 10 and "\n\nhint: " not in outcome.stderr:
            wrong.append(f"full at point {point}: no hint: {outcome.stderr[-300:]}")
        filler.unlink(missing_ok=True)
        if problem := runs.finish():
            wrong.append(f"after a full disk at point {point}: {problem}")
    return Count(done, runs.runs - before, wrong)


def signal_at_random(runs: Runs, count: int, seed: int, end: float) -> Count:
    """Signal runs at any time, again and again on one folder, until one gets to its end."""
    draw, wrong, before, sent = random.Random(seed), [], runs.runs, 0
    runs.reset()
    while sent < count and time.monotonic() < end:
        number, delay = draw.choice(SIGNALS), draw.uniform(0.0, 1.1 * runs.seconds)

        def later(number: int = number, delay: float = delay) -> None:
            parent = os.getpid()
            if os.fork() == 0:
                time.sleep(delay)
                if os.getppid() == parent:
                    os.kill(parent, number)
                os._exit(0)

        outcome = runs.run(later)
        sent += 1
        if outcome.exit_code not in (0, 128 + number) or "Traceback" in outcome.stderr:
            wrong.append(
                f"signal {number} after {delay:.2f} s: {outcome.exit_code}: {outcome.stderr[-400:]}"
            )
        if outcome.exit_code == 0 or draw.random() < 0.2:
            if problem := runs.finish():
                wrong.append(f"after signal {number} at {delay:.2f} s: {problem}")
            runs.reset()
    return Count(sent, runs.runs - before, wrong)


def main() -> None:
    """Run all three series on a small disk of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("campaign"))
    parser.add_argument("--signals", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=1e6, help="stop each series after this time"
    )
    parser.add_argument("--skip", type=int, default=0, help="points that were done before")
    parser.add_argument("--series", default="kill,fill,signal")
    parser.add_argument("--publish", action="store_true", help="write kills.md")
    given = parser.parse_args()
    if not ENVIRONMENT.items() <= os.environ.items():
        os.environ.update(ENVIRONMENT)  # libraries start threads as they are imported
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.campaign.kills", *sys.argv[1:]])
    corpus.build(given.out.absolute() / "corpus")
    place = given.out.absolute() / "kills"
    disk = place / "disk"
    disk.mkdir(parents=True, exist_ok=True)
    forkserver.own_mounts()  # before the imports, which start threads
    size = f"size={DISK_MIB}m".encode()
    if ctypes.CDLL(None).mount(b"none", str(disk).encode(), b"tmpfs", 0, size) != 0:
        raise SystemExit("this machine lets no user mount a disk")
    forkserver.import_everything()
    runs = Runs(disk, place, given.out.absolute() / "corpus", given.skip)
    print(f"{runs.points} points in a run of {runs.seconds:.1f} s", flush=True)
    found = {}
    for name in given.series.split(","):
        end = time.monotonic() + 60 * given.minutes
        if name == "kill":
            found[name] = kill_everywhere(runs, end)
        elif name == "fill":
            found[name] = fill_everywhere(runs, end)
        else:
            found[name] = signal_at_random(runs, given.signals, given.seed, end)
        print(name, json.dumps(asdict(found[name]), indent=1), flush=True)
    if given.publish:
        rows = [(DONE_TO[name], count.points, count.runs, len(count.wrong))
                for name, count in found.items()]  # fmt: skip
        publish(
            "kills",
            {name: asdict(count) for name, count in found.items()},
            [f"A run has {runs.points} points at which it writes.",
             table(("what is done to a run", "times", "runs", "wrong"), rows)],
        )  # fmt: skip


if __name__ == "__main__":
    main()
