"""Cells of an accuracy benchmark: one clip, one source of detections, one variant.

A finished cell is a JSON file whose name holds a hash of all it depends on: the package's code, the
models that ship with it, the clip, and the settings. A second call repeats nothing that is done,
and after a change nothing old is taken for new. Runs use a copy of the code, so that a benchmark of
an hour does not notice what is edited meanwhile.
"""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measuring import PROGRAM, machine, stage_seconds

from closefit.body.model import Body
from closefit.demo.detections import VisiblePeople, simulate_detections
from closefit.storage.hashing import sha256_of

PROJECT = Path(__file__).parent.parent
DETECTORS = ("yolo", "lite", "full")
"""Sources of detections that look at the rendered video instead of the truth."""
OWN = "own"
"""The source that is the clip's own `observations.npz`; other sources are seeds."""
HARD = "hard"
"""Sources of this name and a seed lose a person for a while, and half of the other one."""
LOST_S, HALF_S = 0.9, 1.2
LEGS = slice(11, 17)
LAST_LINES = 15

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Variant:
    """One way of running closefit on a clip.

    Attributes:
        name: What tables and options call it.
        init: Settings of the first motion; variants with equal ones share it.
        optimize: Settings of the joint optimisation; None to stop after `init`.
    """

    name: str
    init: tuple[str, ...] = ()
    optimize: tuple[str, ...] | None = ()

    @property
    def cost(self) -> float:
        """About how long its last stage takes, in units of an init."""
        if self.optimize is None:
            return 0.5
        return 1.0 if "optimize.appearance=false" in self.optimize else 6.0


@dataclass(frozen=True)
class Conditions:
    """What all cells of a benchmark have in common."""

    preset: str = "draft"
    true_focal: bool = True
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One clip, one source of detections (`own`, a seed, or a detector), one variant."""

    clip: Path
    source: str
    variant: Variant

    @property
    def label(self) -> str:
        """Name in progress lines and file names."""
        return f"{self.clip.name}-{self.source}-{self.variant.name}"


@dataclass
class Bench:
    """Runs cells in `out` under the same conditions and keeps their scores.

    Attributes:
        out: Where runs and scores are kept.
        conditions: What all cells have in common.
        jobs: Cells at the same time; they share the machine's cores.
        failed: Labels of cells that ended with an error.
    """

    out: Path
    conditions: Conditions
    jobs: int = 1
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Copy the code aside, unless that was done before."""
        self.out = self.out.resolve()
        self._code = code_digest()
        self._copy = self.out / f"code-{self._code[:12]}"
        if not self._copy.is_dir():
            partial = self.out / f".code.{os.getpid()}.partial"
            skipped = shutil.ignore_patterns("__pycache__", "downloaded")
            for part in ("closefit", "weights"):
                shutil.copytree(PROJECT / part, partial / part, ignore=skipped)
            partial.rename(self._copy)
        self._commit = machine()["commit"]

    def run(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """Return the results of all cells that end well; those finished before are read."""
        open_cells = [cell for cell in cells if not self._file(cell).is_file()]
        if open_cells:
            starts = {self._start_folder(cell): cell for cell in open_cells}
            missing = [cell for folder, cell in starts.items() if not _has_init(folder)]
            progress = Progress(len(missing) + sum(cell.variant.cost for cell in open_cells))
            self._each(missing, self._run_init, progress, is_init=True)
            ready = [cell for cell in open_cells if _has_init(self._start_folder(cell))]
            self._each(ready, self._run_cell, progress)
        files = [self._file(cell) for cell in cells]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]

    def _each(
        self,
        cells: Iterable[Cell],
        work: Callable[[Cell], None],
        progress: "Progress",
        is_init: bool = False,
    ) -> None:
        """Do `work` for all cells; one that fails is remembered and spoils no other."""
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = {pool.submit(_timed, work, cell): cell for cell in cells}
            for future in as_completed(waiting):
                cell = waiting[future]
                label = f"{cell.label} (init)" if is_init else cell.label
                try:
                    line = f"{label}: {future.result():.0f} s"
                except subprocess.CalledProcessError as error:
                    self.failed.append(label)
                    line = f"{label} FAILED:\n{error.output}\n"
                progress.done(line, 1.0 if is_init else cell.variant.cost)

    def _run_init(self, cell: Cell) -> None:
        self._closefit(cell, self._start_folder(cell), "init", cell.variant.init)

    def _run_cell(self, cell: Cell) -> None:
        """Run a cell from its finished init, score it, keep the scores."""
        folder = start = self._start_folder(cell)
        if cell.variant.optimize is not None:
            folder = self.out / "runs" / f"{cell.label}-{self._key(cell)}"
            if not folder.exists():
                partial = folder.with_name(f".{folder.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(start, partial)
                partial.rename(folder)
            settings = (*cell.variant.init, *cell.variant.optimize)
            self._closefit(cell, folder, "optimize", settings)
        result = {
            "clip": cell.clip.name,
            "source": cell.source,
            "variant": cell.variant.name,
            "scores": self.score(cell, folder),
            "seconds": stage_seconds(start) | stage_seconds(folder),
            "depends_on": self._depends_on(cell),
            "commit": self._commit,
            "folder": str(folder.relative_to(self.out)),
        }
        path = self._file(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, path)

    def _closefit(self, cell: Cell, folder: Path, until: str, settings: Iterable[str]) -> None:
        arguments = ["run", str(cell.clip / "video.mp4"), "--out", str(folder), "--until", until]
        arguments += ["--preset", self.conditions.preset]
        if cell.source in DETECTORS:
            arguments += ["--perception", cell.source]
        else:
            arguments += ["--observations", str(self._observations(cell))]
        if self.conditions.true_focal:
            arguments += ["--focal", str(true_focal_px(cell.clip))]
        for assignment in (*settings, *self.conditions.settings):
            arguments += ["--set", assignment]
        self._call(arguments)

    def score(self, cell: Cell, folder: Path) -> Mapping[str, Any]:
        """Scores by stage against the clip's exact truth, as `closefit evaluate` gives them."""
        truth, body = cell.clip / "truth.npz", cell.clip.parent / "body.npz"
        arguments = ["evaluate", str(folder), "--truth", str(truth), "--truth-body", str(body)]
        found: dict[str, Scores] = json.loads(self._call([*arguments, "--json"]))
        return {stage: found[stage] for stage in ("init", "optimize") if stage in found}

    def _call(self, arguments: Sequence[str]) -> str:
        """Run the copied closefit; returns its stdout.

        It takes its share of the cores, unless OMP_NUM_THREADS is set.
        """
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        shared = {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads, "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, *PROGRAM, *arguments],
            cwd=self._copy,
            env=shared | os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
            raise subprocess.CalledProcessError(done.returncode, arguments, output=tail)
        return done.stdout

    def _observations(self, cell: Cell) -> Path:
        """The clip's own detections, or ones simulated with a seed (the same at every call)."""
        if cell.source == OWN:
            return cell.clip / "observations.npz"
        folder = self.out / "runs"
        path = (
            folder / f"{cell.clip.name}-{sha256_of(cell.clip / 'truth.npz')[:12]}-{cell.source}.npz"
        )
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with np.load(cell.clip / "truth.npz") as arrays:
                people = VisiblePeople.from_truth(dict(arrays))
            partial = folder / f".{cell.label}.{os.getpid()}.npz"
            seed = int(cell.source.removeprefix(HARD))
            body = Body.load(cell.clip.parent / "body.npz")
            found = simulate_detections(people, body, seed)
            if cell.source.startswith(HARD):
                hide(found, people.fps, seed)
            np.savez_compressed(partial, **found)
            os.replace(partial, path)
        return path

    def _start_folder(self, cell: Cell) -> Path:
        alone = Cell(cell.clip, cell.source, Variant("init", cell.variant.init, None))
        return self.out / "runs" / f"{alone.label}-{self._key(alone)}"

    def _file(self, cell: Cell) -> Path:
        return self.out / "cells" / f"{cell.label}-{self._key(cell)}.json"

    def _key(self, cell: Cell) -> str:
        text = json.dumps(self._depends_on(cell), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _depends_on(self, cell: Cell) -> dict[str, Any]:
        files = [cell.clip / "video.mp4", cell.clip / "truth.npz", cell.clip.parent / "body.npz"]
        if cell.source == OWN:
            files.append(cell.clip / "observations.npz")
        return {
            "code": self._code,
            "clip": {file.name: sha256_of(file) for file in files if file.is_file()},
            "source": cell.source,
            "init": cell.variant.init,
            "optimize": cell.variant.optimize,
            "preset": self.conditions.preset,
            "true_focal": self.conditions.true_focal,
            "settings": self.conditions.settings,
        }


class Progress:
    """Reports after each piece of work how long the rest will take."""

    def __init__(self, total: float) -> None:
        """Expect work of `total` cost."""
        self._total, self._done = total, 0.0
        self._started = time.monotonic()

    def done(self, line: str, cost: float) -> None:
        """Count a finished piece."""
        self._done += cost
        share = self._done / self._total
        left_s = (time.monotonic() - self._started) * (1.0 / share - 1.0)
        print(f"[{share:4.0%}] {line}, about {left_s / 60:.0f} min left", file=sys.stderr)


def find_clips(folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Clips of a folder that have a truth; of these the named ones.

    Raises:
        SystemExit: There are none, or a name is not among them.
    """
    clips = sorted(truth.parent.resolve() for truth in folder.glob("*/truth.npz"))
    if not clips:
        raise SystemExit(f"`{folder}` holds no clips (NAME/video.mp4, observations.npz, truth.npz)")
    unknown = set(names or ()) - {clip.name for clip in clips}
    if unknown:
        known = ", ".join(clip.name for clip in clips)
        raise SystemExit(f"no clip {', '.join(sorted(unknown))} in `{folder}`, which has {known}")
    return [clip for clip in clips if not names or clip.name in names]


def true_focal_px(clip: Path) -> float:
    """Focal length that the clip was filmed with."""
    with np.load(clip / "truth.npz") as truth:
        return float(truth["K"][0, 0])


def hide(observations: dict[str, np.ndarray], fps: float, seed: int) -> None:
    """Take away one person for a while and the other one's legs for another, in place."""
    rng = np.random.default_rng([seed, 1])
    person = int(rng.integers(2))
    frames = len(observations["boxes"])
    lost = slice(start := frames // 6 + int(rng.integers(8)), start + round(LOST_S * fps))
    half = slice(start := frames // 2 + int(rng.integers(8)), start + round(HALF_S * fps))
    observations["boxes"][lost, person] = np.nan
    observations["keypoints"][lost, person] = (np.nan, np.nan, 0.0)
    observations["keypoints"][half, 1 - person, LEGS] = (np.nan, np.nan, 0.0)


def mean_scores(entries: Sequence[Scores]) -> Scores:
    """Mean of each figure over the clips that have it.

    The share of frames in wrong depth order is over all scored frames: a clip with three of them
    must not count as much as one with sixty.
    """
    mean: Scores = {}
    for name in entries[0]:
        known = [value for entry in entries if (value := entry[name]) is not None]
        mean[name] = math.fsum(known) / len(known) if known else None
    frames = math.fsum(entry["depth_order_frames"] or 0 for entry in entries)
    if frames:
        wrong = [(e["wrong_depth_order"] or 0) * (e["depth_order_frames"] or 0) for e in entries]
        mean["wrong_depth_order"] = math.fsum(wrong) / frames
    return mean


def code_digest() -> str:
    """Hash of the package's code and of the models that ship with it."""
    files = sorted((PROJECT / "closefit").rglob("*.py"))
    files += sorted((PROJECT / "weights").glob("*.*"))
    digest = hashlib.sha256()
    for file in files:
        if file.suffix != ".md":
            digest.update(f"{file.relative_to(PROJECT)} {sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _has_init(folder: Path) -> bool:
    return (folder / "artifacts" / "init.npz").is_file()


def _timed(work: Callable[[Cell], None], cell: Cell) -> float:
    started = time.monotonic()
    work(cell)
    return time.monotonic() - started
