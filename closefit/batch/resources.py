"""What a clip takes: cores, memory by its length, a share of a GPU."""

import re
from dataclasses import dataclass
from pathlib import Path

from closefit import ffmpeg
from closefit.batch.task import Task
from closefit.system import available_cores

BASE_BYTES = int(1.4e9)
FRAME_BYTES = 120_000
"""Largest stage of any detector, and how it grows: benchmarks/results/memory.md."""

UNKNOWN_FRAMES = 300


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Of each clip of a batch.

    Attributes:
        device: As `--device`.
        threads: Threads, and so cores, of a clip.
        gpu_share: Share of a GPU, where there are GPUs.
    """

    device: str
    threads: int
    gpu_share: float

    def gpus(self, has_gpus: bool) -> float:
        """Share of a GPU that a task takes."""
        return self.gpu_share if has_gpus and self.device != "cpu" else 0.0

    def most_at_once(self, cores: float, gpus: float, jobs: int | None) -> int:
        """How many clips fit into cores and GPUs; memory is counted for each clip."""
        count = cores // self.threads
        if share := self.gpus(gpus > 0):
            count = min(count, (gpus + 1e-6) // share)
        return max(1, int(min(count, jobs or count)))

    def memory_bytes(self, task: Task) -> int:
        """Memory that a task takes at its peak; longer clips take more."""
        return BASE_BYTES + FRAME_BYTES * _frames(task)


def default_threads(clips: int, jobs: int | None) -> int:
    """Threads of a clip on this machine: one if there are enough clips for all cores."""
    return max(1, available_cores() // max(1, min(clips, jobs or clips)))


def _frames(task: Task) -> int:
    """Roughly how many frames a clip has, from the header of its file."""
    text = ffmpeg.run(ffmpeg.input_of(Path(task.video)), verbosity="info").stderr.decode(
        errors="replace"
    )
    length = re.search(r"Duration: (\d+):(\d+):(\d+(?:\.\d+)?)", text)
    rate = re.search(r"Video: .* ([\d.]+) fps", text)
    if length is None or rate is None:
        return UNKNOWN_FRAMES
    hours, minutes, seconds = map(float, length.groups())
    whole_s = 3600.0 * hours + 60.0 * minutes + seconds
    start_s = task.values.get("track.start_s") or 0.0
    end_s = task.values.get("track.end_s") or whole_s
    return max(0, round((min(end_s, whole_s) - start_s) * float(rate[1])))
