"""`closefit train-prior` as users start it, kill it and start it again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from closefit.learning.motions.shards import write_shards
from closefit.learning.training.run import LOG_FILE, PRIOR_FILE, STATE_FILE
from closefit.prior.loading import load_prior
from closefit.storage import checkpoints
from tests.unit.learning.training.conftest import moving_pair

TINY = ("network.width=32", "network.blocks=1", "network.heads=4", "network.feed_forward=32",
        "validate_every=10")  # fmt: skip
STEPS = 40


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion") / "sway"
    write_shards(folder, [moving_pair(60, seed) for seed in range(2)])
    return folder


def arguments(shards: Path, out: Path, *more: str) -> list[str]:
    settings = [part for text in TINY for part in ("--set", text)]
    return ["train-prior", str(shards), "--out", str(out), "--steps", str(STEPS), "--batch", "4",
            "--device", "cpu", *settings, *more]  # fmt: skip


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    """Start the real program with one thread, so that sums have one order."""
    command = [sys.executable, "-c", "from closefit.cli.main import main; main()", *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)


@pytest.fixture(scope="module")
def uninterrupted(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "training"
    process = start(arguments(shards, out))
    _, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr
    return out


def test_a_training_leaves_a_prior_a_state_and_a_log(uninterrupted: Path) -> None:
    assert sorted(path.name for path in uninterrupted.iterdir()) == [
        STATE_FILE, LOG_FILE, PRIOR_FILE,
    ]  # fmt: skip
    network, facts = load_prior(uninterrupted / PRIOR_FILE)
    assert (facts.steps, facts.network.width, facts.body) == (STEPS, 32, "closefit")
    assert "sway" in facts.data
    assert network.state_std.std() > 0
    log = json.loads((uninterrupted / LOG_FILE).read_text())
    assert [entry["step"] for entry in log] == list(range(10, STEPS + 1, 10))
    assert all(np.isfinite(list(entry.values())).all() for entry in log)
    mode = (uninterrupted / PRIOR_FILE).stat().st_mode
    assert mode == (uninterrupted / LOG_FILE).stat().st_mode  # not its owner's alone


def test_a_training_that_was_killed_and_stopped_goes_on_to_the_same_weights(
    shards: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "training"
    process = start(arguments(shards, out))
    while not (out / LOG_FILE).is_file() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    steps = [checkpoints.load(out / STATE_FILE)[1]["step"]]
    (out / f".closefit-partial-1-{STATE_FILE}").write_bytes(b"half")  # killed while it wrote
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(arguments(shards, out))
        assert process.stderr is not None
        for line in process.stderr:
            if "training on" in line:  # the last message before the first step
                break
        process.send_signal(number)
        stderr = process.communicate(timeout=120)[1]
        assert process.returncode == 128 + number, stderr
        assert "stopping after this step" in stderr
        assert "stopped; run the same command again" in stderr
        assert "Traceback" not in stderr
        steps.append(checkpoints.load(out / STATE_FILE)[1]["step"])
    assert steps[0] < steps[1] < steps[2] < STEPS
    process = start(arguments(shards, out))
    stderr = process.communicate(timeout=250)[1]
    assert process.returncode == 0, stderr
    assert f"from step {steps[-1]}" in stderr
    for name in (PRIOR_FILE, LOG_FILE):
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes()
    states = [checkpoints.load(folder / STATE_FILE)[1] for folder in (out, uninterrupted)]
    for part in ("network", "average"):
        first, second = (state[part] for state in states)
        assert all(torch.equal(first[name], second[name]) for name in second)
    assert sorted(path.name for path in out.iterdir()) == [STATE_FILE, LOG_FILE, PRIOR_FILE]


def test_what_no_training_wrote_is_not_overwritten(invoke, shards: Path, tmp_path: Path) -> None:
    for name in (PRIOR_FILE, LOG_FILE):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_bytes(b"mine")
        failed = invoke(*arguments(shards, out))
        assert failed.exit_code == 10, failed.stderr
        assert [path.read_bytes() for path in out.iterdir()] == [b"mine"]


def test_one_training_at_a_time(invoke, shards: Path, uninterrupted: Path) -> None:
    from closefit.learning.folders import alone

    with alone(uninterrupted / ".closefit-lock", uninterrupted):
        failed = invoke(*arguments(shards, uninterrupted))
    assert failed.exit_code == 10
    assert "another closefit is writing" in failed.stderr


def test_a_finished_training_has_nothing_to_do(invoke, shards: Path, uninterrupted: Path) -> None:
    before = (uninterrupted / PRIOR_FILE).stat().st_mtime_ns
    result = invoke(*arguments(shards, uninterrupted))
    assert result.exit_code == 0, result.stderr
    assert (uninterrupted / PRIOR_FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize("more", [("--seed", "7"), ("--set", "lr=0.01"), ("--steps", "50")])
def test_a_folder_of_another_training_is_refused(
    invoke, shards: Path, uninterrupted: Path, more: tuple[str, ...]
) -> None:
    result = invoke(*arguments(shards, uninterrupted, *more))
    assert result.exit_code == 4
    assert "holds a training with other settings" in result.stderr


def test_a_damaged_state_is_not_overwritten(invoke, shards: Path, tmp_path: Path) -> None:
    for content in (b"", b"not a checkpoint", b"PK\x03\x04 cut"):
        (tmp_path / STATE_FILE).write_bytes(content)
        result = invoke(*arguments(shards, tmp_path))
        assert result.exit_code == 6, result.stderr
        assert "cannot go on from it" in result.stderr
        assert (tmp_path / STATE_FILE).read_bytes() == content


def test_a_kill_at_any_moment_leaves_the_state_whole(tmp_path: Path) -> None:
    path = tmp_path / STATE_FILE
    script = (
        "import sys, torch\nfrom pathlib import Path\n"
        "from closefit.storage.checkpoints import save\n"
        "step = 0\n"
        "while True:\n"
        "    step += 1\n"
        "    x = torch.full((400_000,), float(step))\n"
        "    save(Path(sys.argv[1]), '', {'step': step, 'x': x})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        while not path.is_file():
            assert process.poll() is None
            time.sleep(0.01)
        seen, until = set(), time.monotonic() + 0.5
        while time.monotonic() < until:  # also while it is being replaced
            state = checkpoints.load(path)[1]
            assert bool((state["x"] == state["step"]).all())
            seen.add(state["step"])
    finally:
        process.kill()
        process.wait()
    state = checkpoints.load(path)[1]
    assert bool((state["x"] == state["step"]).all())
    assert len(seen) > 1


def test_without_lightning_the_remedy_is_named(shards: Path, tmp_path: Path) -> None:
    stub = tmp_path / "stub" / "lightning"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join([str(stub.parent), os.environ.get("PYTHONPATH", "")])
    process = start(arguments(shards, tmp_path / "out"), PYTHONPATH=path)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "needs the package `lightning`" in stderr
    assert 'pip install "closefit[train]"' in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()


def _empty(folder: Path) -> None:
    (folder / "clips.npz").write_bytes(b"")


def _cut(folder: Path) -> None:
    content = (folder / "pelvis_m.f32").read_bytes()
    (folder / "pelvis_m.f32").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(("spoil", "exit_code"), [(_empty, 6), (_cut, 6)])
def test_damaged_shards_are_refused(invoke, tmp_path: Path, spoil, exit_code: int) -> None:
    folder = tmp_path / "shards"
    write_shards(folder, [moving_pair(20, 0)])
    spoil(folder)
    result = invoke(*arguments(folder, tmp_path / "out"))
    assert result.exit_code == exit_code, result.stderr
    assert str(folder) in result.stderr
    assert "hint:" in result.stderr
    assert not (tmp_path / "out").exists()


def test_shards_for_another_body_are_refused(invoke, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    motion = moving_pair(20, 0)
    write_shards(folder, [type(motion)(**{**vars(motion), "body_name": np.array("smpl")})])
    result = invoke(*arguments(folder, tmp_path / "out"))
    assert result.exit_code == 3
    assert "body `smpl`" in result.stderr


@pytest.mark.parametrize(
    ("more", "exit_code", "message"),
    [
        (("--validate", "held_out"), 4, "`--validate held_out` is not of the form name=folder"),
        (("--validate", "a b=shards"), 4, "not of the form"),
        (("--set", "network.widht=32"), 4, "network.widht"),
        (("--set", "lr=fast"), 4, "lr"),
        (("--validate", "held_out=nowhere"), 6, "`nowhere`"),
        (("--start-from", "nowhere.safetensors"), 5, "`nowhere.safetensors`"),
    ],
)
def test_wrong_requests_are_explained(
    invoke, shards: Path, tmp_path: Path, more: tuple[str, ...], exit_code: int, message: str
) -> None:
    result = invoke(*arguments(shards, tmp_path / "out", *more))
    assert result.exit_code == exit_code, result.stderr
    assert message in result.stderr
    assert "hint:" in result.stderr
    assert not (tmp_path / "out").exists()


def test_missing_shards_are_refused(invoke, tmp_path: Path) -> None:
    result = invoke(*arguments(tmp_path / "nowhere", tmp_path / "out"))
    assert result.exit_code == 6
    assert "no motion shards" in result.stderr


@pytest.mark.slow
def test_two_devices_train_together_and_one_reports(
    shards: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """Each sees other windows, so the weights differ from one device's, but they learn as well."""
    out = tmp_path / "training"
    # Lightning starts the second process from the program's path, which `python -c` has not.
    command = [
        Path(sys.executable).with_name("closefit"),
        *arguments(shards, out, "--devices", "2"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    _, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr
    assert stderr.count("the prior is in") == 1
    assert stderr.count("training on") == 1
    together, alone = (json.loads((path / LOG_FILE).read_text()) for path in (out, uninterrupted))
    assert [entry["step"] for entry in together] == [entry["step"] for entry in alone]
    assert together[-1] != alone[-1]
    assert together[-1]["state"] < 1.2 * alone[-1]["state"]
