"""One benchmark from the data set to the tables: footage, batches, scores.

OUT/clips/NAME.mp4, OUT/cameras/NAME.npz    what closefit gets
OUT/runs/VARIANT/                           a batch each (docs/batch.md): continued when run again
OUT/scores.json, OUT/table.md               the result
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from closefit import __version__
from closefit.batch.clips import Clip
from closefit.batch.folder import BatchFolder
from closefit.batch.run import Listen, run_batch
from closefit.batch.run import Request as BatchRequest
from closefit.benchmark import chi3d, expi, harmony4d, hi4d, threedpw
from closefit.benchmark.footage import write_footage
from closefit.benchmark.scoring import Scores, mean_of, score
from closefit.benchmark.sequences import Entry, Found, JointSet, Options
from closefit.benchmark.tables import as_markdown
from closefit.boundary.refusals import RefusedError, word
from closefit.config import StageName
from closefit.errors import (
    ClosefitError,
    ConfigError,
    InputError,
    OutputError,
    WeightsMissingError,
)
from closefit.models import weights
from closefit.storage.artifacts import atomic_write
from closefit.storage.workspace import create_writable, write_json

Dataset = Literal["hi4d", "chi3d", "3dpw", "harmony4d", "expi"]
Row = Literal["initial", "no-appearance", "no-proxemics", "no-physics", "full"]

READERS: Mapping[Dataset, Callable[[Path, Options], Found]] = {
    "hi4d": hi4d.find,
    "chi3d": chi3d.find,
    "3dpw": threedpw.find,
    "harmony4d": harmony4d.find,
    "expi": expi.find,
}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "no-appearance": {"optimize.appearance": False},
    "no-proxemics": {"init.prior": False},
    "no-physics": {"optimize.physics": 0.0},
}
"""Settings that a row adds to those of the command; `initial` is the first stage of `full`."""

WITH_VERTICES: Sequence[Dataset] = ("hi4d", "harmony4d")
"""Data sets whose truth has vertices of SMPL."""

MISSING = "it is not there"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run.

    Attributes:
        dataset: Name of the data set.
        root: Its folder.
        out: Folder of the benchmark.
        options: Which part of it.
        rows: Rows of the table.
        joints: Joints that count.
        values: Settings that hold for every sequence.
        observations: Folder with detections of the user's own, named after the sequences.
        jobs: Most sequences at once.
        threads: Threads of each.
        retry_failed: Run failed sequences again.
    """

    dataset: Dataset
    root: Path
    out: Path
    options: Options = field(default_factory=Options)
    rows: Sequence[str] = ("initial", "full")
    joints: JointSet = "smpl"
    values: Mapping[str, Any] = field(default_factory=dict)
    observations: Path | None = None
    jobs: int | None = None
    threads: int | None = None
    retry_failed: bool = False

    @property
    def weights_dir(self) -> str | None:
        """Folder of model files that the user named."""
        folder: str | None = self.values.get("weights_dir")
        return folder


@dataclass
class _Progress:
    """What is known of each sequence.

    Attributes:
        failed: Why a sequence has no score, by its name.
        incomplete: What of a scored sequence is missing, by its name.
        scores: Scores by row and sequence.
    """

    failed: dict[str, str] = field(default_factory=dict)
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)


def run_benchmark(request: Request, listen: Listen, say: Say) -> dict[str, Any]:
    """Run and score a data set; return what is in `scores.json`.

    Sequences that cannot be read, run or scored are named, and the rest is scored.

    Raises:
        InputError: The folder is not of this data set, or no sequence could be scored.
        WeightsError: A body model is missing.
        ClosefitError: As `run_batch`.
    """
    if request.joints == "lsp":
        _require_lsp(request)
    found = READERS[request.dataset](request.root, request.options)
    progress = _Progress(failed=dict.fromkeys(found.missing, MISSING))
    for name in ("clips", "cameras", "runs"):
        create_writable(request.out / name)
    clips = _prepare(found.entries, request, progress, say)
    if not clips:
        raise InputError(
            f"no sequence of `{request.root}` can be used: {_first(progress.failed)}",
            hint="docs/benchmarks.md describes the folders of each data set",
        )
    for variant in dict.fromkeys("full" if row == "initial" else row for row in request.rows):
        _run(variant, clips, request, progress, listen, say)
    _score(found.entries, request, progress, say)
    report = _report(found, request, progress)
    if not report["sequences"]["scored"]:
        raise InputError(
            f"no sequence could be scored: {_first(progress.failed)}",
            hint=f"`closefit batch status {word(request.out / 'runs' / 'full')}` lists what failed",
        )
    write_json(request.out / "scores.json", report)
    with atomic_write(request.out / "table.md") as file:
        file.write(as_markdown(report).encode())
    return report


def _require_lsp(request: Request) -> None:
    """Refuse LSP-14 before anything runs.

    Raises:
        ConfigError: The data set has no vertices.
        WeightsMissingError: SMPL has not been imported.
    """
    if request.dataset not in WITH_VERTICES:
        raise ConfigError(
            f"`--joints lsp` needs vertices of the truth, which {request.dataset} lacks",
            hint=f"use `--joints smpl`; {' and '.join(WITH_VERTICES)} have vertices",
        )
    if weights.find(weights.BODIES["smpl"], request.weights_dir) is None:
        raise WeightsMissingError(
            "`--joints lsp` takes the truth's joints from SMPL, which has not been imported",
            hint="`closefit import-smpl FILE` with your own copy of it, or use `--joints smpl`",
        )


def _prepare(
    entries: Sequence[Entry], request: Request, progress: _Progress, say: Say
) -> list[Clip]:
    """Write what closefit gets of each sequence."""
    clips = []
    for number, entry in enumerate(entries, 1):
        video = request.out / "clips" / f"{entry.name}.mp4"
        camera = request.out / "cameras" / f"{entry.name}.npz"
        try:
            recording = entry.read()
            write_footage(recording, video, camera)
            values = _own_detections(request.observations, entry.name)
        except RefusedError as refused:
            where = f"`{refused.path}`: " if refused.path else ""
            progress.failed[entry.name] = where + refused.problem
        except OutputError:  # the disk is full: every other one fails, too
            raise
        except ClosefitError as error:
            progress.failed[entry.name] = error.message
        else:
            if recording.problems:
                progress.incomplete[entry.name] = list(recording.problems)
            values["camera.file"] = str(camera.absolute())
            clips.append(
                Clip(video=str(video.absolute()), name=entry.name, values=values, origin=entry.name)
            )
        say(f"reading the data set: {number} of {len(entries)}")
    return clips


def _own_detections(folder: Path | None, name: str) -> dict[str, Any]:
    """The setting for detections of a sequence.

    Raises:
        RefusedError: There are none of this sequence.
    """
    if folder is None:
        return {}
    found = sorted(folder.glob(f"{name}.*")) or [p for p in [folder / name] if p.is_dir()]
    if not found:
        raise RefusedError(f"`{folder}` has no detections that are called `{name}`")
    return {"track.observations": tuple(str(path.absolute()) for path in found)}


def _run(
    variant: str,
    clips: Sequence[Clip],
    request: Request,
    progress: _Progress,
    listen: Listen,
    say: Say,
) -> None:
    """Run closefit on all sequences, as far as a row needs it."""
    say(f"running `{variant}` on {len(clips)} sequences")
    out = request.out / "runs" / variant
    last: StageName = "init" if set(request.rows) == {"initial"} else "optimize"
    run_batch(
        BatchRequest(
            clips=list(clips),
            out=out,
            values={**request.values, **VARIANTS[variant]},
            last=last,
            jobs=request.jobs,
            threads=request.threads,
            retry_failed=request.retry_failed,
        ),
        listen,
    )
    records, _ = BatchFolder(out).records()
    for clip in clips:
        record = records.get(str(clip.name))
        if record is not None and record["status"] == "failed":
            progress.failed[str(clip.name)] = f"`{variant}`: {record['error']}"


def _score(entries: Sequence[Entry], request: Request, progress: _Progress, say: Say) -> None:
    """Score every row of every sequence."""
    for number, entry in enumerate(entries, 1):
        if entry.name in progress.failed:
            continue
        try:
            recording = entry.read()
            for row in request.rows:
                variant, stage = ("full", "init") if row == "initial" else (row, "optimize")
                folder = request.out / "runs" / variant / entry.name
                found = score(folder, stage, recording, request.joints, request.weights_dir)
                progress.scores.setdefault(row, {})[entry.name] = found
        except RefusedError as refused:
            progress.failed[entry.name] = refused.problem
        except ClosefitError as error:
            progress.failed[entry.name] = error.message
        say(f"scoring: {number} of {len(entries)}")
    for by_name in progress.scores.values():  # a row of its own means of other sequences
        for name in progress.failed:
            by_name.pop(name, None)


def _report(found: Found, request: Request, progress: _Progress) -> dict[str, Any]:
    scored = sorted(progress.scores.get(request.rows[-1], {}))
    rows = {
        row: {
            **mean_of(by_name.values()),
            "frames": sum(scores.frames for scores in by_name.values()),
            "guessed": _guessed(by_name.values()),
        }
        for row, by_name in progress.scores.items()
    }
    return {
        "dataset": request.dataset,
        "closefit": __version__,
        "joints": request.joints,
        "protocol": list(found.protocol),
        "sequences": {
            "scored": len(scored),
            "of": len(found.entries) + len(found.missing),
            "failed": progress.failed,
            "incomplete": {n: p for n, p in progress.incomplete.items() if n in scored},
        },
        "rows": {row: rows[row] for row in request.rows if row in rows},
        "by_sequence": {
            row: {name: _finite(scores.values) for name, scores in sorted(by_name.items())}
            for row, by_name in progress.scores.items()
        },
    }


def _guessed(scores: Any) -> float | None:
    every = [(s.guessed, s.weights["mpjpe"]) for s in scores]
    total = sum(weight for _, weight in every)
    return sum(share * weight for share, weight in every) / total if total else None


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _first(failed: Mapping[str, str]) -> str:
    """One of the reasons, for a sentence; rather of a sequence that is there."""
    ordered = sorted(failed.items(), key=lambda entry: entry[1] == MISSING)
    return f"`{ordered[0][0]}`: {ordered[0][1]}" if ordered else "there is none"
