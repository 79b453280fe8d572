"""Batches through the real program: processes that die, disks that fill, clips that vanish."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from closefit.batch import cluster
from closefit.batch.clips import find_clips
from closefit.batch.record import ClipRecord
from closefit.batch.run import Progress, Request, run_batch
from closefit.batch.task import Task, perform
from closefit.demo import DemoClip
from tests.demo_clips import demo_clip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PROGRAM = (sys.executable, "-c", "from closefit.cli.main import main; main()")
PATIENCE_S = 400
OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
"""Otherwise each node needs the head's token, and works only where nothing else does."""

WITHOUT = """
import sys

class Without:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "closefit":
            raise ModuleNotFoundError("No module named 'closefit'")

sys.meta_path.insert(0, Without())
"""
"""Of a Python that closefit is not installed for."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DemoClip:
    return demo_clip(tmp_path_factory.mktemp("clip"), 8)


@pytest.fixture
def footage(clip: DemoClip, tmp_path: Path) -> Path:
    """Six good clips, two of them of one name, and one that is none."""
    folder = tmp_path / "clips"
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", "more/a.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip.video, folder / name)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def request(clip: DemoClip, footage: Path, out: Path) -> Request:
    values = {
        "track.observations": (str(clip.observations),),
        "device": "cpu",
        "offline": True,
    }
    clips = find_clips([str(footage)], out, values)
    return Request(clips=clips, out=out, values=values, last="track")


def index(out: Path) -> list[ClipRecord]:
    text = (out / "index.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def processes(*words: str) -> list[int]:
    """Processes whose command lines have all these words."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if entry.name.isdigit() and all(word in text for word in words):
            found.append(int(entry.name))
    return found


def workers_of(parent: int) -> list[int]:
    """Its processes for clips; libraries start others."""
    started = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in processes("closefit.batch.worker") if str(pid) in started]


def test_one_process_does_all_clips_and_its_death_costs_none(
    clip: DemoClip, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Ray. A clip vanishes before its turn, and the process is killed under another."""
    monkeypatch.setattr(cluster, "is_installed", lambda: False)
    out, workers = tmp_path / "out", set()

    def listen(progress: Progress) -> None:
        (worker,) = workers_of(os.getpid()) or [None]
        workers.add(worker)
        if progress.ended is not None and progress.ended["name"] == "a":
            (footage / "e.mp4").unlink()
        if worker is not None and progress.running == ("c",) and len(workers) == 2:
            os.kill(worker, signal.SIGKILL)

    ended = run_batch(request(clip, footage, out), listen)
    assert (ended.total, ended.done, ended.failed) == (7, 5, 2)
    assert len(workers - {None}) == 2, "a process for each clip, not a warm one"
    records = {record["name"]: record for record in index(out)}
    second = next(name for name in records if name.startswith("a-"))
    assert records.keys() == {"a", "b", "c", "d", "e", "broken", second}
    assert {name for name, record in records.items() if record["attempts"] > 1} == {"c"}
    assert {records[name]["exit_code"] for name in ("broken", "e")} == {3}
    assert "not a video" in records["broken"]["error"]
    assert "there is no file" in records["e"]["error"]
    good = records["c"]
    assert (good["status"], good["frames"], good["exit_code"]) == ("done", 8, 0)
    assert 0.0 < good["stages"]["track"] <= good["seconds"]
    assert good["quality"]["identity_confidence_mean"] > 0.5
    assert (out / "c" / "artifacts" / "track.npz").is_file()


def start(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*PROGRAM, "batch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def events(process: "subprocess.Popen[str]") -> Iterator[dict[str, object]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def batch(clip: DemoClip, footage: Path, out: Path) -> Sequence[object]:
    return (
        *(footage, "--out", out, "--observations", clip.observations, "--device", "cpu"),
        *("--offline", "--until", "track"),
    )


def test_a_killed_batch_goes_on_where_it_was(clip: DemoClip, footage: Path, tmp_path: Path) -> None:
    """On Ray, of this machine alone."""
    out = tmp_path / "out"
    process = start(*batch(clip, footage, out))
    for event in events(process):
        if event["event"] == "clip" and event["done"] == 2:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=PATIENCE_S)
    with (out / "index.jsonl").open("a") as file:
        file.write('{"name": "c", "cl')
    before = {record["name"] for record in index_without_torn_line(out)}
    status = subprocess.run([*PROGRAM, "batch", "status", out, "--json"], capture_output=True)
    shown = json.loads(status.stdout)
    assert (shown["clips"], shown["running"]) == (7, False)

    process = start(*batch(clip, footage, out))
    lines = list(events(process))
    _, printed = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, printed
    assert "broken (exit code 3)" in printed
    assert "Traceback" not in printed
    assert not before & {line.get("name") for line in lines}, "finished clips were done again"
    names = [record["name"] for record in index(out)]
    assert len(names) == len(set(names)) == 7
    assert sum(record["status"] == "done" for record in index(out)) == 6


def index_without_torn_line(out: Path) -> list[ClipRecord]:
    *lines, _ = (out / "index.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def test_two_nodes_of_a_cluster_share_a_batch(
    clip: DemoClip, footage: Path, tmp_path: Path
) -> None:
    """Each node is a `ray start` of its own, in a folder of its own; paths have to hold in all."""
    nodes, logs, address = [], [], ""
    try:
        for number in range(2):
            folder = tmp_path / f"node_{number}"
            folder.mkdir()
            logs.append(folder / "log")
            role = f"--address={address}" if address else "--head"
            nodes.append(start_node(folder, role, *(["--port=0"] if not address else [])))
            printed = wait_for("Ray runtime started", logs[-1])
            address = address or re.findall(r"--address='([\d.]+:\d+)'", printed)[0]
        out = tmp_path / "out"
        process = start(
            *batch(clip, footage, out),
            "--ray-address",
            address,
            "--threads",
            1,
            env={**os.environ, **OPEN},
        )
        parents = set()
        for event in events(process):
            if event["event"] == "clip":
                parents |= {parent(pid) for pid in processes("ray::closefit")}
        _, printed = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1, printed
    finally:
        for node in nodes:
            os.killpg(node.pid, signal.SIGTERM)
        for node in nodes:
            node.wait(timeout=60)
    assert len(parents) >= 2, "one node did everything"
    assert len(index(out)) == 7


def test_a_machine_without_closefit_costs_its_clips_a_sentence(
    clip: DemoClip, footage: Path, tmp_path: Path
) -> None:
    """Ray tells it where this machine's modules are; that is no help there."""
    text = "No module named 'closefit'"
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    node = start_node(tmp_path, "--head", "--port=0", PYTHONPATH=str(tmp_path))
    try:
        printed = wait_for("Ray runtime started", tmp_path / "log")
        (address,) = re.findall(r"--address='([\d.]+:\d+)'", printed)
        more = ("--ray-address", address, "--threads", 1, "--retries", 1)
        out = tmp_path / "out"
        process = start(*batch(clip, footage, out), *more, env={**os.environ, **OPEN})
        _, printed = process.communicate(timeout=PATIENCE_S)
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(timeout=60)
    assert process.returncode == 1, printed
    assert len(index(out)) == 7
    for record in index(out):
        assert (record["status"], record["attempts"]) == ("failed", 2)
        assert text in str(record["error"])
        assert "cannot load closefit" in str(record["error"])
        assert "on all machines" in str(record["hint"])


def start_node(folder: Path, *role: str, **environment: str) -> "subprocess.Popen[bytes]":
    """Start a node of one core with `folder` as its working folder."""
    program = Path(sys.executable).with_name("ray")
    command = [program, "start", *role, "--num-cpus=1", "--block", "--disable-usage-stats"]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            [*command, "--object-store-memory=80000000"],
            cwd=folder,
            env={**os.environ, **OPEN, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_for(text: str, log: Path) -> str:
    """Return what a log says once it has `text`."""
    deadline = time.monotonic() + PATIENCE_S
    while text not in log.read_text() or not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    time.sleep(1.0)
    return log.read_text()


def parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def test_a_machine_that_does_not_see_the_folder_ends_the_batch(tmp_path: Path) -> None:
    task = Task(
        name="a", video="a.mp4", batch=str(tmp_path), batch_id="another", values={}
    ).__dict__
    outcome = perform(task)
    assert (outcome["exit_code"], outcome["ends_batch"]) == (10, True)
    assert "does not see the folder of this batch" in outcome["error"]
    outcome = perform(task | {"closefit": "0.0.1"})
    assert (outcome["exit_code"], outcome["ends_batch"]) == (4, True)
    assert not any(tmp_path.iterdir()), "something was written"
