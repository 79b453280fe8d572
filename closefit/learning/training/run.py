"""`closefit train-prior`: from shards to a checkpoint, in a folder that a killed run continues."""

import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from closefit.body.model import Body
from closefit.errors import ArtifactDamagedError, ConfigError, InputError, OutputFolderError
from closefit.events import Emit, Notice, Step, ignore
from closefit.interruption import Held
from closefit.learning.folders import alone, writing_to
from closefit.learning.motions.shards import MotionShards
from closefit.learning.training.loop import Trainer, TrainingConfig
from closefit.learning.training.validation import validate
from closefit.learning.training.windows import WindowSource
from closefit.models.weights import locate
from closefit.prior.loading import PriorFacts, load_prior, prior_content
from closefit.prior.network import Denoiser
from closefit.prior.objective import GeometryOf
from closefit.storage import checkpoints
from closefit.storage.artifacts import atomic_write, remove_partial_files

CHECKPOINT_EVERY_S = 120.0
PRIOR_FILE = "prior.safetensors"
STATE_FILE = "last.ckpt"
LOG_FILE = "log.json"

Accelerator = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Where to train."""

    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1


def train(
    folders: Sequence[Path],
    held_out: Mapping[str, Path],
    out: Path,
    config: TrainingConfig,
    machines: Machines,
    emit: Emit,
    start_from: Path | None = None,
) -> Path | None:
    """Train a prior on shards of motion, or continue a training that was stopped.

    A folder's share of the draws is its length to the power of `share_exponent`, so that minutes of
    real motion are not outweighed by hours of generated motion.

    Args:
        folders: Shards to train on.
        held_out: Shards to validate on, by name; never trained on.
        out: Folder of `prior.safetensors` (the averaged weights, after every validation),
            `last.ckpt` (everything needed to continue) and `log.json`.
        config: Settings.
        machines: Devices.
        emit: Listener for progress.
        start_from: Checkpoint to begin with instead of random weights.

    Returns:
        Path of the checkpoint; None in all processes but the first, which alone writes.

    Raises:
        InputError, ArtifactError: Shards cannot be used.
        ConfigError: Lightning is not installed, or `out` belongs to a training with other settings.
        ArtifactDamagedError: The state of a stopped training cannot be read.
        OutputFolderError: `out` holds files of something else, or another training writes to it.
        WeightsError: `start_from` cannot be used.
    """
    fabric = _fabric(machines)
    body = Body.load(locate("closefit_body"))
    shards = _open(folders)
    shares = [shard.seconds**config.share_exponent for shard in shards]
    source = WindowSource(shards, shares, body)
    checks = {name: WindowSource(_open([path]), [1.0], body) for name, path in held_out.items()}
    key = _identity(config, folders, start_from)
    _require_own(out)
    saved = _saved(out / STATE_FILE, key)
    begin_with = None if start_from is None or saved is not None else load_prior(start_from)[0]
    trainer = Trainer(config, body, source, fabric, saved)
    if begin_with is not None:
        trainer.start_from(begin_with)
    facts = _facts(config, source, folders)
    with _only_one(out) if fabric.is_global_zero else nullcontext(), Held() as signal:
        if fabric.is_global_zero:
            if saved is None:  # from now on, the other files are this training's
                checkpoints.save(out / STATE_FILE, key, trainer.state_dict())
            text = f"training on {source.hours:.2f} hours of motion, on {fabric.device}"
            if trainer.step:
                text += f", from step {trainer.step}"
            emit(Notice(text))
        listen = emit if trainer.is_first else ignore
        _loop(trainer, checks, body, out, facts, key, listen, signal)
    return out / PRIOR_FILE if trainer.is_first else None


def named_folders(texts: Sequence[str]) -> dict[str, Path]:
    """Read `name=folder` texts.

    Raises:
        ConfigError: A text is not of that form.
    """
    named = {}
    for text in texts:
        name, separator, folder = text.partition("=")
        if not separator or not name.isidentifier():
            raise ConfigError(
                f"`--validate {text}` is not of the form name=folder",
                hint="write for example --validate salsa=shards/salsa",
            )
        named[name] = Path(folder)
    return named


def _loop(
    trainer: Trainer,
    checks: Mapping[str, WindowSource],
    body: Body,
    out: Path,
    facts: PriorFacts,
    key: str,
    emit: Emit,
    signal: Held,
) -> None:
    """Train to the end; validate and save on the way, and save when a signal ends it."""
    config, first = trainer.config, trainer.is_first
    saved = time.monotonic()
    for terms in trainer.steps():
        step = trainer.step
        for name, value in ({"steps": 1.0} | terms).items():
            trainer.sums[name] = trainer.sums.get(name, 0.0) + value
        emit(Step("train-prior", step, config.steps, terms))
        last = step == config.steps
        validated = step % config.validate_every == 0 or last
        if first and validated:
            steps = trainer.sums.pop("steps")
            entry = {"step": float(step)} | {k: v / steps for k, v in trainer.sums.items()}
            trainer.sums = {}
            network = trainer.average
            entry |= validate(network.cpu(), dict(checks), GeometryOf(body), config)
            network.to(trainer.device)
            trainer.log.append(entry)
            _write_text(out / LOG_FILE, json.dumps(trainer.log, indent=1))
            scores = ", ".join(f"{k} {v:.1f}" for k, v in entry.items() if k.endswith("_mm"))
            emit(Notice(f"step {step}: {scores}"))
            _write(out / PRIOR_FILE, network, dataclasses.replace(facts, steps=step))
        due = validated or signal.came or time.monotonic() - saved > CHECKPOINT_EVERY_S
        if first and due:
            checkpoints.save(out / STATE_FILE, key, trainer.state_dict())
            saved = time.monotonic()
        if signal.came:
            signal.take_effect()
    if first and not (out / PRIOR_FILE).is_file():
        _write(out / PRIOR_FILE, trainer.average, dataclasses.replace(facts, steps=config.steps))


def _require_own(out: Path) -> None:
    """Refuse a folder with files under the names of a training's that no training wrote.

    Raises:
        OutputFolderError: There is one.
    """
    taken = [name for name in (PRIOR_FILE, LOG_FILE) if os.path.lexists(out / name)]
    if taken and not os.path.lexists(out / STATE_FILE):
        raise OutputFolderError(
            f"`{out}` holds `{taken[0]}`, but no `{STATE_FILE}` of a training: it would be lost",
            hint="choose another --out",
        )


@contextmanager
def _only_one(out: Path) -> Iterator[None]:
    """Make the folder and hold it; incomplete files of a killed training are removed."""
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
    with alone(out / ".closefit-lock", out):
        remove_partial_files(out)
        yield


def _fabric(machines: Machines) -> Any:
    try:
        from lightning import Fabric
    except ImportError as error:
        raise ConfigError(
            "training needs the package `lightning`, which is not installed",
            hint='run `pip install "closefit[train]"`',
        ) from error
    cuda = torch.cuda.is_available() and machines.accelerator != "cpu"
    if machines.accelerator == "cuda" and not cuda:
        raise ConfigError(
            "`--device cuda` is given, but PyTorch finds no CUDA device",
            hint="leave out --device to train on the CPU",
        )
    for name in ("lightning", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A CPU without such instructions emulates them, 13 times slower than float32.
    has_bf16 = cuda or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=machines.devices,
        num_nodes=machines.nodes,
        precision="bf16-mixed" if has_bf16 else "32-true",
    )
    fabric.launch()
    return fabric


def _open(folders: Sequence[Path]) -> list[MotionShards]:
    shards = list(MotionShards.open_many(list(folders)))
    for folder, shard in zip(folders, shards, strict=True):
        if shard.fps != 30.0 or shard.body_name != "closefit":
            raise InputError(
                f"`{folder}` has {shard.fps:g} fps and body `{shard.body_name}`; the prior learns "
                "at 30 fps on `closefit`",
                hint="make it with `closefit prior prepare`",
            )
    return shards


def _facts(config: TrainingConfig, source: WindowSource, folders: Sequence[Path]) -> PriorFacts:
    names = ", ".join(folder.name for folder in folders)
    return PriorFacts(
        network=config.network, body="closefit", data=f"{source.hours:.2f} hours: {names}"
    )


def _identity(config: TrainingConfig, folders: Sequence[Path], start_from: Path | None) -> str:
    """Settings and data that must be the same for a stopped training to be continued."""
    content = {
        "config": dataclasses.asdict(config),
        "folders": [folder.name for folder in folders],
        "start": start_from.name if start_from else None,
    }
    return json.dumps(content, sort_keys=True)


def _saved(path: Path, key: str) -> dict[str, Any] | None:
    """State of the trainer in `path`, if there is one."""
    if not os.path.lexists(path):
        return None
    try:
        found, trainer = checkpoints.load(path)
    except ArtifactDamagedError as error:
        raise ArtifactDamagedError(
            f"{error.message}, so the training cannot go on from it",
            hint=f"delete it to begin again; --start-from {path.parent / PRIOR_FILE} with another "
            "--out begins with the weights of the last validation",
        ) from error
    if found != key:
        raise ConfigError(
            f"`{path.parent}` holds a training with other settings or other motion",
            hint="give the same ones to go on with it, or choose another --out",
        )
    state: dict[str, Any] = trainer
    return state


def _write(path: Path, network: Denoiser, facts: PriorFacts) -> None:
    # The library's own writer makes files that only their owner may read.
    with atomic_write(path) as file:
        file.write(prior_content(network, facts))


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
