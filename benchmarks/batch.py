"""What `closefit batch` adds to each clip: `python benchmarks/batch.py --out DIR`.

Clips of eight frames with detections of their own are tracked (`--until track`): as short as work
on a clip can be. Two batches:

- all clips: time that the engine adds, and memory of its processes from first to last;
- clips whose processes are killed (SIGKILL) again and again: every clip has to end, once.

A batch that was stopped goes on; only one that ran in one go says something about time.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring import PROGRAM, publish, table

from closefit.demo import make_clip

FRAMES, SIZE_WH = 8, (160, 120)
LOOKS = 10
"""Memory is looked at so often."""

WARM = 8
"""Clips that do not count as time: the processes start and load PyTorch under them."""

Sample = dict[str, Any]


def main() -> None:
    """Run both batches and publish what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--killed-clips", type=int, default=300)
    parser.add_argument("--kills", type=int, default=100)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cells = (("quiet", options.clips, 0), ("killed", options.killed_clips, options.kills))
    for name, clips, kills in cells:
        cell = options.out / f"{name}.json"
        if not cell.is_file():
            cell.write_text(json.dumps(_measured(options.out, name, clips, kills)))
    _publish({name: json.loads((options.out / f"{name}.json").read_text()) for name, *_ in cells})


def _measured(out: Path, name: str, clips: int, kills: int) -> dict[str, Any]:
    """Run one batch to its end."""
    folder, observations = _footage(out, name, clips)
    results = out / f"{name}_results"
    shutil.rmtree(results, ignore_errors=True)
    command = [sys.executable, *PROGRAM, "batch", str(folder), "--out", str(results)]
    command += ["--observations", str(observations), "--device", "cpu", "--offline"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--until", "track"], stdout=subprocess.PIPE, text=True)
    samples: list[Sample] = []
    killer = _Killer(kills, clips)
    for number, line in enumerate(_ends(process)):
        killer.after(number, line)
        if number == WARM:
            warm = time.perf_counter()
        if number > WARM and number % max(1, clips // LOOKS) == 0:
            samples.append({"clips": number, **_memory(process.pid)})
    ended, code = time.perf_counter(), process.wait()
    records = [json.loads(line) for line in (results / "index.jsonl").open()]
    counted = records[WARM + 1 :]
    return {
        "clips": clips,
        "kills": killer.done,
        "exit_code": code,
        "seconds": ended - started,
        "records": len(records),
        "names": len({record["name"] for record in records}),
        "status": dict(Counter(record["status"] for record in records)),
        "attempts": dict(Counter(record["attempts"] for record in records)),
        "slots": len(os.sched_getaffinity(0)),
        "warm_seconds": ended - warm,
        "warm_clips": len(counted),
        "inside_seconds": sum(record["seconds"] for record in counted),
        "memory": samples,
    }


def _footage(out: Path, name: str, clips: int) -> tuple[Path, Path]:
    """A folder of equal clips, and the detections of each."""
    demo = out / "clip"
    if not (demo / "video.mp4").is_file():
        make_clip(demo, frames=FRAMES, size=SIZE_WH)
    folder = out / name
    folder.mkdir(exist_ok=True)
    for number in range(clips):
        path = folder / f"{name}_{number:05}.mp4"
        if not path.is_file():
            shutil.copyfile(demo / "video.mp4", path)
    return folder, demo / "observations.npz"


def _ends(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """The line of each clip that has ended, when it has."""
    assert process.stdout is not None
    for line in process.stdout:
        content = json.loads(line)
        if content["event"] == "clip":
            yield content


class _Killer:
    """Kills a process at work on a clip, evenly over the batch."""

    def __init__(self, kills: int, clips: int) -> None:
        self._kills, self._clips, self.done = kills, clips, 0
        self._chance = random.Random(0)

    def after(self, number: int, line: dict[str, Any]) -> None:
        """Kill one, if it is time."""
        del line
        while self.done < self._kills and self.done < self._kills * (number + 1) / self._clips:
            found = [
                pid for pid, text in _processes(lambda text: text.startswith("ray::closefit "))
            ]
            if not found:
                return
            os.kill(self._chance.choice(found), signal.SIGKILL)
            self.done += 1


def _processes(wanted: Callable[[str], bool]) -> list[tuple[int, str]]:
    """Processes by their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if wanted(text):
                found.append((int(entry.name), text))
    return found


def _memory(batch: int) -> dict[str, float]:
    """Megabytes of its own that the batch's process has, and the largest of those at work."""
    workers = [pid for pid, _ in _processes(lambda text: text.startswith("ray::"))]
    return {"batch_mb": _own_mb(batch), "worker_mb": max(map(_own_mb, workers), default=0.0)}


def _own_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024.0


def _publish(cells: dict[str, Any]) -> None:
    quiet, killed = cells["quiet"], cells["killed"]
    spent = quiet["warm_seconds"] * quiet["slots"]
    overhead = (spent - quiet["inside_seconds"]) / quiet["warm_clips"]
    rows = [
        [name, cell["clips"], cell["kills"], cell["status"].get("done", 0),
         cell["status"].get("failed", 0), cell["records"], cell["names"], cell["seconds"]]
        for name, cell in cells.items()
    ]  # fmt: skip
    header = ["batch", "clips", "kills", "done", "failed", "lines", "names in them", "seconds"]
    time_rows = [
        ["clips after the first few", quiet["warm_clips"]],
        ["seconds inside of a clip, mean", quiet["inside_seconds"] / quiet["warm_clips"]],
        ["seconds that the engine adds to a clip, mean", overhead],
        ["wall seconds from clip to clip", quiet["warm_seconds"] / quiet["warm_clips"]],
    ]
    memory = [[s["clips"], s["batch_mb"], s["worker_mb"]] for s in quiet["memory"]]
    attempts = [[tries, count] for tries, count in sorted(killed["attempts"].items())]
    publish(
        "batch",
        cells,
        [
            table(header, rows),
            table(["of the first batch", ""], time_rows),
            table(["after clips", "own memory of the batch (MB)", "largest worker (MB)"], memory),
            table(["times begun (second batch)", "clips"], attempts),
        ],
    )


if __name__ == "__main__":
    main()
