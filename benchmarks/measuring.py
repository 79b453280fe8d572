"""What the benchmarks of whole runs share: start `closefit`, measure it, write the results."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


POLL_S = 0.05


@dataclass(frozen=True)
class Cost:
    """What a child process took.

    Attributes:
        seconds: From start to end.
        peak_memory_gb: Of all pages in memory, those of mapped files too.
        peak_own_gb: Of its own pages; seen every `POLL_S`.
    """

    seconds: float
    peak_memory_gb: float
    peak_own_gb: float


PROGRAM = ("-c", "from closefit.cli.main import main; main()")
"""What makes this Python run closefit: the one beside the working directory, if there is one."""


def run_closefit(arguments: Sequence[str], program: Sequence[str] = PROGRAM) -> Cost:
    """Run `closefit` as a child process; its own words go to the terminal."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *program, *arguments])
    peak_kb = own_kb = 0
    while process.poll() is None:
        peak_kb = max(peak_kb, _memory_kb(process.pid, "VmHWM"))
        own_kb = max(own_kb, _memory_kb(process.pid, "RssAnon"))
        time.sleep(POLL_S)
    if process.returncode:
        raise SystemExit(f"closefit ended with exit code {process.returncode}")
    seconds = time.perf_counter() - started
    return Cost(seconds=seconds, peak_memory_gb=peak_kb / 2**20, peak_own_gb=own_kb / 2**20)


def _memory_kb(pid: int, kind: str) -> int:
    """What the system reports about a running process: `VmHWM` is its high-water mark.

    `ru_maxrss` would not do: a child starts with its parent's, and a benchmark that has just made a
    clip is larger than what it measures.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith(kind)]
    return int(found[0]) if found else 0


def stage_seconds(folder: Path) -> dict[str, float]:
    """Seconds of each stage of a results folder."""
    stages = json.loads((folder / "run.json").read_text(encoding="utf-8"))["stages"]
    return {name: entry["seconds"] for name, entry in stages.items()}


def machine() -> dict[str, Any]:
    """Where and on which version this was measured."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "commit": _commit()}


def _commit() -> str | None:
    """The version of the checkout, or None where there is no git or no checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() or None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; floats with three significant digits, None as a dash."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else _plain(value)


def _plain(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def publish(name: str, data: dict[str, Any], tables: Sequence[str]) -> None:
    """Write `results/NAME.json` and `.md`, and show the tables."""
    RESULTS.mkdir(exist_ok=True)
    where = machine()
    content = json.dumps({"machine": where, **data}, indent=1)
    (RESULTS / f"{name}.json").write_text(content + "\n", encoding="utf-8")
    heading = f"{where['cpu']}, {where['cores']} cores, commit {where['commit']}"
    text = "\n\n".join([f"# {name}", heading, *tables]) + "\n"
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
