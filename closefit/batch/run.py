"""A batch from its first clip to its last: what is left, who does it, what becomes of it."""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from closefit import __version__, settings
from closefit.batch import cluster
from closefit.batch.clips import RESULTS_MARK, Clip
from closefit.batch.engines import Died, Engine, OneWorker, Result, stopped_at_end
from closefit.batch.folder import BatchFolder, assign_names
from closefit.batch.inputs import inputs_of, stamp
from closefit.batch.record import ClipRecord
from closefit.batch.resources import Needs, default_threads
from closefit.batch.shots import ShotRule, known_pieces, pieces_as_clips, remember_pieces
from closefit.batch.task import Outcome, Task
from closefit.config import StageName
from closefit.errors import (
    ClosefitError,
    ConfigError,
    OutputError,
    PeopleError,
    WeightsError,
)

POLL_S = 0.5

ENDINGS: dict[int, type[ClosefitError]] = {
    kind.exit_code: kind for kind in (ConfigError, WeightsError)
}
"""Of failures that end a batch; all others are of the output."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a batch is to do.

    Attributes:
        clips: The clips; long videos where there is a rule for pieces.
        out: Folder of the batch.
        values: Settings that hold for all clips unless a clip has its own.
        first: As `--from` of `closefit run`.
        last: As `--until`.
        force: Do finished clips again.
        retry_failed: Do failed clips again.
        retries: How often a clip is tried again after the process that did it has ended.
        threads: Threads of a clip; None for as many as there are cores to share.
        jobs: Most clips at once.
        gpu_share: Share of a GPU for each clip.
        ray_address: Of a Ray cluster.
        shots: How long videos are cut into pieces; None if they are not.
    """

    clips: list[Clip]
    out: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    first: StageName | None = None
    last: StageName | None = None
    force: bool = False
    retry_failed: bool = False
    retries: int = 3
    threads: int | None = None
    jobs: int | None = None
    gpu_share: float = 1.0
    ray_address: str | None = None
    shots: ShotRule | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a batch stands.

    Attributes:
        total: Number of clips.
        done: Clips with a result.
        failed: Clips that failed for good.
        running: Names of those under way.
        left_s: Roughly how long the rest takes; None before the first is done.
        ended: The clip that has just ended.
        notice: Something to tell.
    """

    total: int
    done: int
    failed: int
    running: tuple[str, ...] = ()
    left_s: float | None = None
    ended: ClipRecord | None = None
    notice: str | None = None


Listen = Callable[[Progress], None]


@dataclass
class _Job:
    """A task and what is recorded about it."""

    task: Task
    clip: Clip
    fingerprint: str
    inputs: list[list[int] | None]
    attempts: int = 0


def run_batch(request: Request, listen: Listen) -> Progress:
    """Do all clips that are not done yet, and return how it ended.

    Raises:
        ClosefitError: Something that every further clip would fail of; what is done is recorded,
            and the same call goes on from there.
    """
    folder = BatchFolder(request.out)
    folder.create()
    with folder.locked():
        return _Batch(request, folder, listen).run()


class _Batch:
    """The state of a batch while it runs."""

    def __init__(self, request: Request, folder: BatchFolder, listen: Listen) -> None:
        self._request, self._folder, self._listen = request, folder, listen
        plan = folder.plan()
        self._names = {} if plan is None else dict(plan["names"])
        self._clips: list[str] = []
        self._identity = folder.ensured_identity()
        self._records, damaged = folder.records()
        self._is_damaged = bool(damaged)
        self._queue: deque[_Job] = deque()
        self._running: dict[int, _Job] = {}
        self._done = self._failed = self._ended_now = 0
        self._started = time.monotonic()
        if damaged:
            lines = ", ".join(map(str, damaged[:5]))
            self._tell(
                notice=f"damaged lines of the index are dropped, their clips redone: {lines}"
            )

    def run(self) -> Progress:
        """Everything."""
        self._plan(self._request.clips)
        self._tell()
        if self._queue:
            with self._engine() as engine:
                self._work(engine)
        return self._progress()

    def _plan(self, clips: list[Clip]) -> None:
        """Give each clip its folder, and queue those that are not done."""
        pieces = None if self._request.shots is None else known_pieces(self._folder.shots)
        whole: list[Clip] = []
        searched: list[Clip] = []
        for clip in clips:
            found = None if pieces is None else pieces.get(_search_key(clip, self._request))
            if pieces is None:
                whole.append(clip)
            elif found is None:
                searched.append(clip)
            else:
                whole += pieces_as_clips(clip, found)
        self._add(whole, "run")
        self._add(searched, "shots")

    def _add(self, clips: list[Clip], kind: Any) -> None:
        """Queue clips; forget what is recorded of those that are to be done again."""
        self._names = assign_names(clips, self._names)
        # The same piece may be found in a whole film and in a part of it.
        jobs = {self._names[clip.key]: self._job(clip, kind) for clip in clips}
        jobs = {name: job for name, job in jobs.items() if name not in self._clips}
        again, is_renewed = [], False
        for name, job in jobs.items():
            record = self._records.get(name)
            if record is not None:
                is_renewed |= _renewed(record, job.clip)
            if record is None or not self._is_finished(job, record):
                self._queue.append(job)
                if record is not None:
                    again.append(name)
            elif record["status"] == "done":
                self._done += 1
            else:
                self._failed += 1
        if again or is_renewed or self._is_damaged:
            for name in again:
                del self._records[name]
            self._folder.index.replace(self._records.values())
            self._is_damaged = False
        self._clips += jobs
        self._folder.write_plan(self._names, self._clips)

    def _job(self, clip: Clip, kind: Any) -> _Job:
        request = self._request
        values = {**request.values, **clip.values}
        task = Task(
            kind=kind,
            name=self._names[clip.key],
            video=clip.video,
            batch=str(self._folder.root),
            batch_id=self._identity,
            values=values,
            first=request.first,
            last=request.last,
            force=request.force,
            threads=request.threads or default_threads(len(request.clips), self._most_at_once),
            least_s=0.0 if request.shots is None else request.shots.least_s,
        )
        config = settings.build_config(values=values)
        whole = [settings.fingerprinted(config), request.last, kind, task.least_s]
        text = json.dumps(whole, sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
        return _Job(task, clip, fingerprint, inputs_of(task))

    def _is_finished(self, job: _Job, record: ClipRecord) -> bool:
        """Whether a record still stands for what this batch would do."""
        request = self._request
        if request.force or request.first is not None:
            return False
        if record["status"] == "failed" and request.retry_failed:
            return False
        same = record["fingerprint"] == job.fingerprint and record["clip"] == job.clip.video
        same = same and len(record["inputs"]) == len(job.inputs)
        for now, then in zip(job.inputs, record["inputs"], strict=False):
            same = same and now in (None, then)  # the clip of a finished result may be gone
        is_there = (self._folder.results(job.task.name) / RESULTS_MARK).is_file()
        return same and (is_there or record["status"] == "failed")

    @property
    def _most_at_once(self) -> int | None:
        return self._request.jobs if cluster.is_installed() else 1

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        request = self._request
        first = self._queue[0].task
        needs = Needs(
            device=str(request.values.get("device", "auto")),
            threads=first.threads,
            gpu_share=request.gpu_share,
        )
        if cluster.is_installed():
            log = self._folder.log
            with cluster.ray_engine(request.ray_address, request.jobs, needs, log) as engine:
                yield engine
            return
        if request.ray_address is not None or (request.jobs or 1) > 1:
            option = "--jobs" if request.ray_address is None else "--ray-address"
            raise ConfigError(
                f"`{option}` needs Ray, which is not installed",
                hint="install it with `pip install 'closefit[cluster]'`",
            )
        with stopped_at_end(OneWorker(self._folder.log, first.threads)) as engine:
            yield engine

    def _work(self, engine: Engine) -> None:
        """Keep the engine busy until nothing is left."""
        ticket = 0
        while self._queue or self._running:
            before = ticket
            while self._queue and len(self._running) < engine.slots():
                job = self._queue.popleft()
                job.attempts += 1
                ticket += 1
                self._running[ticket] = job
                engine.submit(ticket, job.task)
            if ticket > before:
                self._tell()
            for ended, result in engine.wait(POLL_S):
                self._take(self._running.pop(ended), result)

    def _take(self, job: _Job, result: Result) -> None:
        """Record how a clip ended, or queue it once more."""
        if isinstance(result, Died):
            if job.attempts <= self._request.retries:
                self._queue.append(job)
                return
            result = _given_up(result, job.attempts, self._folder.log)
        if result.ends_batch:
            kind = ENDINGS.get(result.exit_code, OutputError)
            raise kind(
                f"`{job.task.name}`: {result.error}",
                hint=f"{result.hint}; the same command goes on",
            )
        if result.pieces is not None:
            self._take_pieces(job, result)
            return
        self._record(job, result)

    def _take_pieces(self, job: _Job, result: Outcome) -> None:
        """Queue the pieces of a long video, each as a clip."""
        pieces = result.pieces or []
        if not pieces:
            error = PeopleError(
                f"no two people are together for {job.task.least_s:g} s in `{job.task.video}`",
                hint="ask for less with --together, or run the clip without --split-shots",
            )
            ended = replace(result, exit_code=error.exit_code, error=error.message, hint=error.hint)
            self._record(job, ended)
            return
        key = _search_key(job.clip, self._request)
        remember_pieces(self._folder.shots, key, job.task.video, pieces)
        self._clips.remove(job.task.name)
        self._add(pieces_as_clips(job.clip, pieces), "run")

    def _record(self, job: _Job, outcome: Outcome) -> None:
        values, clip = job.task.values, job.clip
        record = ClipRecord(
            name=job.task.name,
            clip=clip.video,
            start_s=values.get("track.start_s"),
            end_s=values.get("track.end_s"),
            source=clip.source,
            licence=clip.licence,
            subjects=clip.subjects,
            status="failed" if outcome.exit_code else "done",
            exit_code=outcome.exit_code,
            error=outcome.error,
            hint=outcome.hint,
            attempts=job.attempts,
            seconds=outcome.seconds,
            stages=outcome.stages,
            frames=outcome.frames,
            quality=outcome.quality,
            warnings=outcome.warnings,
            host=outcome.host,
            closefit=__version__,
            finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            fingerprint=job.fingerprint,
            inputs=inputs_of(job.task) if outcome.exit_code else job.inputs,
        )
        self._folder.index.append(record)
        self._records[job.task.name] = record
        self._ended_now += 1
        if outcome.exit_code:
            self._failed += 1
        else:
            self._done += 1
        self._tell(ended=record)

    def _progress(self) -> Progress:
        left = len(self._queue) + len(self._running)
        taken = time.monotonic() - self._started
        return Progress(
            total=self._done + self._failed + left,
            done=self._done,
            failed=self._failed,
            running=tuple(job.task.name for job in self._running.values()),
            left_s=taken / self._ended_now * left if self._ended_now else None,
        )

    def _tell(self, ended: ClipRecord | None = None, notice: str | None = None) -> None:
        self._listen(replace(self._progress(), ended=ended, notice=notice))


def _given_up(died: Died, attempts: int, log: Path) -> Outcome:
    """How a clip ends whose last attempt was this."""
    if died.hint is not None:
        return Outcome(
            exit_code=1,
            error=f"the last of {attempts} attempts failed: {died.how}",
            hint=died.hint,
        )
    return Outcome(
        exit_code=1,
        error=f"the process that did this clip ended {attempts} times, the last time {died.how}",
        hint=f"it may lack memory, or crash: see `{log}`",
    )


def _renewed(record: ClipRecord, clip: Clip) -> bool:
    """Put the words of today's list into a record; return whether they are others."""
    before = dict(record)
    record["source"], record["licence"] = clip.source, clip.licence
    record["subjects"] = clip.subjects
    return before | {"subjects": before.get("subjects")} != record


def _search_key(clip: Clip, request: Request) -> str:
    """What the pieces of a long video depend on."""
    rule = request.shots
    values = {**request.values, **clip.values}
    part = (values.get("track.start_s"), values.get("track.end_s"))
    return json.dumps([clip.key, part, stamp(clip.video), None if rule is None else rule.least_s])
