"""A batch without its processes: an engine that ends tasks as a test says."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from closefit.batch import run
from closefit.batch.clips import Clip
from closefit.batch.engines import Died, Result
from closefit.batch.record import ClipRecord
from closefit.batch.run import Progress, Request, run_batch
from closefit.batch.shots import ShotRule
from closefit.batch.status import read_status
from closefit.batch.task import Outcome, Task
from closefit.errors import ArtifactVersionError, DiskFullError, OutputError, OutputFolderError
from closefit.storage.workspace import Workspace

Fate = Callable[[Task], Result]


class Killed(BaseException):
    """The process of the batch ends here and now."""


class ScriptedEngine:
    """Ends tasks in any order; a task that is done leaves a results folder."""

    def __init__(self, fate: Fate) -> None:
        self.fate, self.begun = fate, Counter[str]()
        self.under_way: dict[int, Task] = {}
        self.order = random.Random(0)

    def slots(self) -> int:
        return 3

    def submit(self, ticket: int, task: Task) -> None:
        assert ticket not in self.under_way
        assert len(self.under_way) < self.slots()
        self.under_way[ticket] = task
        self.begun[task.name] += 1

    def wait(self, seconds: float) -> list[tuple[int, Result]]:
        assert seconds > 0
        ticket = self.order.choice(list(self.under_way))
        task = self.under_way.pop(ticket)
        result = self.fate(task)
        if isinstance(result, Outcome) and not result.exit_code and result.pieces is None:
            folder = Path(task.batch, task.name)
            folder.mkdir(exist_ok=True)
            Workspace(folder).update_run({"closefit": "0"})
        return [(ticket, result)]

    def stop(self) -> None:
        self.under_way.clear()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """Does all tasks of this test."""
    engine = ScriptedEngine(lambda _: Outcome(seconds=1.0))

    @contextmanager
    def with_it(self: object) -> Iterator[ScriptedEngine]:
        del self
        try:
            yield engine
        finally:
            engine.stop()

    monkeypatch.setattr(run._Batch, "_engine", with_it)
    return engine


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., Request]:
    """A request for clips of these names, whose files exist."""

    def make(count: int, **options: object) -> Request:
        videos = [tmp_path / f"{number}.mp4" for number in range(count)]
        for video in videos:
            video.open("a").close()
        return Request(
            clips=[Clip(video=str(video)) for video in videos], out=tmp_path / "out", **options
        )

    return make


def ignore(progress: Progress) -> None:
    del progress


def index(request: Request) -> list[ClipRecord]:
    text = (request.out / "index.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_each_clip_ends_once_whatever_dies_and_whenever_the_batch_is_killed(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    chance, request = random.Random(1), request_of(40, retries=2)

    def fate(task: Task) -> Result:
        roll = chance.random()
        if roll < 0.1:
            raise Killed
        if roll < 0.3:
            return Died("by SIGKILL")
        bad = int(task.name) % 5 == 0
        return Outcome(exit_code=9, error="one person", hint="cut") if bad else Outcome()

    engine.fate = fate
    for _ in itertools.count():
        try:
            ended = run_batch(request, ignore)
            break
        except Killed:
            engine.under_way.clear()
            with (request.out / "index.jsonl").open("ab") as file:
                file.write(b'{"name": "to')  # what a kill in the middle of a line leaves
    names = [record["name"] for record in index(request)]
    assert Counter(names) == Counter(map(str, range(40)))
    failed = {record["name"] for record in index(request) if record["status"] == "failed"}
    assert {str(number) for number in range(0, 40, 5)} <= failed
    assert (ended.done, ended.failed, ended.total) == (40 - len(failed), len(failed), 40)


def test_what_is_finished_is_not_done_again(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    engine.fate = lambda task: Outcome(exit_code=9 if task.name == "1" else 0)
    run_batch(request_of(3), ignore)
    before = index(request_of(3))
    engine.begun.clear()
    ended = run_batch(request_of(5), ignore)
    assert engine.begun == {"3": 1, "4": 1}
    assert index(request_of(5))[:3] == before
    assert (ended.total, ended.done, ended.failed) == (5, 4, 1)


def test_words_of_a_completed_list_reach_the_index_without_doing_anything_again(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    request = request_of(2)
    run_batch(request, ignore)
    engine.begun.clear()
    words = {"source": "film", "licence": "CC BY 4.0", "subjects": "anna, ben"}
    first, second = request.clips
    run_batch(replace(request, clips=[replace(first, **words), second]), ignore)
    assert engine.begun == {}
    found = {record["name"]: {key: record.get(key) for key in words} for record in index(request)}
    assert found == {"0": words, "1": dict.fromkeys(words)}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"retry_failed": True}, {"1"}),
        ({"force": True}, {"0", "1", "2"}),
        ({"values": {"seed": 1}}, {"0", "1", "2"}),
        ({"values": {"offline": True, "device": "cpu"}}, set()),
        ({"last": "track"}, {"0", "1", "2"}),
        ("file", {"0"}),
        ("file gone", set()),
        ("results gone", {"2"}),
        ("corrections", {"0"}),
    ],
)
def test_what_is_done_again(
    engine: ScriptedEngine, request_of: Callable[..., Request], change: object, again: set[str]
) -> None:
    engine.fate = lambda task: Outcome(exit_code=9 if task.name == "1" else 0)
    request = request_of(3)
    run_batch(request, ignore)
    engine.begun.clear()
    if change == "file":
        (request.out.parent / "0.mp4").write_text("new")
    elif change == "file gone":
        (request.out.parent / "0.mp4").unlink()
    elif change == "results gone":
        (request.out / "2" / "run.json").unlink()
    elif change == "corrections":
        (request.out.parent / "0.corrections.json").write_text("{}")
    else:
        request = request_of(3, **change)
    run_batch(request, ignore)
    assert engine.begun.keys() == again
    assert sorted(record["name"] for record in index(request)) == ["0", "1", "2"]


def test_a_clip_under_which_every_process_dies_fails_in_the_end(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    engine.fate = lambda task: Died("by SIGSEGV") if task.name == "0" else Outcome()
    ended = run_batch(request_of(2, retries=2), ignore)
    assert (ended.done, ended.failed) == (1, 1)
    (record,) = [record for record in index(request_of(2)) if record["status"] == "failed"]
    assert (record["attempts"], record["exit_code"]) == (3, 1)
    assert "3 times, the last time by SIGSEGV" in record["error"]


def test_a_machine_that_cannot_begin_clips_costs_no_others(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    died = Died("the machine `far` cannot load closefit", "install it there")
    engine.fate = lambda task: died if task.name == "0" else Outcome()
    ended = run_batch(request_of(3, retries=1), ignore)
    assert (ended.done, ended.failed) == (2, 1)
    (record,) = [record for record in index(request_of(3)) if record["status"] == "failed"]
    assert record["error"] == f"the last of 2 attempts failed: {died.how}"
    assert record["hint"] == died.hint


def test_a_full_disk_ends_the_batch_and_the_same_call_goes_on(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    full = Outcome(exit_code=10, error="no space left", hint="free some", ends_batch=True)
    engine.fate = lambda task: full if task.name == "2" else Outcome()
    with pytest.raises(OutputError, match="`2`: no space left"):
        run_batch(request_of(5), ignore)
    assert "2" not in {record["name"] for record in index(request_of(5))}
    engine.fate = lambda _: Outcome()
    assert run_batch(request_of(5), ignore).done == 5


def test_a_full_disk_under_the_index_loses_nothing(
    engine: ScriptedEngine, request_of: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("closefit.batch.json_lines.os.write", refuse)
        with pytest.raises(DiskFullError):
            run_batch(request_of(2), ignore)
    engine.begun.clear()
    assert run_batch(request_of(2), ignore).done == 2
    assert engine.begun.keys() == {"0", "1"}


def test_the_pieces_of_a_long_video_are_clips_with_their_time_in_it(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    def fate(task: Task) -> Result:
        if task.kind == "run":
            return Outcome()
        return Outcome(pieces=[] if task.name == "1" else [(1.0, 3.5), (8.0, 12.0)])

    engine.fate = fate
    request = request_of(2, shots=ShotRule(2.0))
    told: list[Progress] = []
    ended = run_batch(request, told.append)
    assert (ended.total, ended.done, ended.failed) == (3, 2, 1)
    beginnings = [one for one in told if not one.running and one.ended is None]
    assert len(beginnings) == 1, "a batch begins once, also when pieces are found"
    records = {record["name"]: record for record in index(request)}
    assert records.keys() == {"1", "0_1.00-3.50", "0_8.00-12.00"}
    assert (records["1"]["exit_code"], "together" in records["1"]["error"]) == (9, True)
    piece = records["0_8.00-12.00"]
    assert (piece["start_s"], piece["end_s"]) == (8.0, 12.0)
    assert piece["clip"] == request.clips[0].video
    engine.begun.clear()
    again = run_batch(request, ignore)
    assert (again.total, engine.begun) == (3, {})


def test_the_status_counts_every_clip_once(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    def fate(task: Task) -> Result:
        if task.name == "3":
            raise Killed
        return Outcome(exit_code=9 if task.name == "1" else 0, error="why", hint="what")

    engine.fate = fate
    with pytest.raises(Killed):
        run_batch(request_of(5), ignore)
    status = read_status(request_of(5).out)
    assert status.total == 5
    assert "3" in status.waiting
    assert not status.is_running
    assert [record["error"] for record in status.failed] == ["why"] * len(status.failed)


def test_a_folder_of_something_else_or_of_a_later_version_is_refused(
    engine: ScriptedEngine, request_of: Callable[..., Request]
) -> None:
    request = request_of(1)
    run_batch(request, ignore)
    plan = request.out / "batch.json"
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps(content | {"version": 99}))
    with pytest.raises(ArtifactVersionError, match="version `99`"):
        run_batch(request, ignore)
    plan.unlink()
    (request.out / "run.json").write_text("{}")
    with pytest.raises(OutputFolderError, match="results of one clip"):
        run_batch(request, ignore)
    assert engine.begun == {"0": 1}
