"""Checkpoints of the prior on disk: safetensors, with everything else as JSON in their header."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save

from closefit.errors import WeightsDamagedError, WeightsMissingError
from closefit.prior.network import WINDOW, Denoiser, NetworkConfig
from closefit.prior.state import STATE_SIZE

FORMAT = "closefit-prior"
VERSION = 1
META_KEY = "closefit"
HINT = (
    "run `closefit download-weights`, train one with `closefit train-prior`, or leave the prior "
    "out with `--set init.prior=false`"
)


@dataclass(frozen=True, kw_only=True)
class PriorFacts:
    """Header of a checkpoint.

    Attributes:
        network: Size of the network.
        body: Body model of the training data.
        features: Kind of image features it was trained with, or `none`.
        steps: Training steps.
        data: Description of the training data.
    """

    network: NetworkConfig
    body: str
    features: str = "none"
    steps: int = 0
    data: str = ""


def save_prior(path: Path, network: Denoiser, facts: PriorFacts) -> None:
    """Write a checkpoint in half precision, all or nothing."""
    tensors = {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in network.state_dict().items()
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "window": WINDOW,
        "state": STATE_SIZE,
        **dataclasses.asdict(facts),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    # The library's own writer makes files that only their owner may read.
    content = save(tensors, metadata={META_KEY: json.dumps(header, sort_keys=True)})
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_prior(path: Path, device: torch.device | str = "cpu") -> tuple[Denoiser, PriorFacts]:
    """Read a checkpoint; the network is in evaluation mode and has no gradients.

    Raises:
        WeightsMissingError: There is no such file.
        WeightsDamagedError: It is damaged, or of another architecture.
    """
    if not path.is_file():
        raise WeightsMissingError(f"there is no prior checkpoint `{path}`", hint=HINT)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(META_KEY, "null"))
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _unusable(path, "it is damaged or not a safetensors file") from error
    facts = _facts(path, header)
    network = Denoiser(facts.network)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))[0][0]
        raise _unusable(
            path, f"its `{wrong}` has shape {found.get(wrong)}, expected {expected.get(wrong)}"
        )
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise _unusable(path, "it holds values that are not numbers")
    network.load_state_dict(tensors)
    return network.to(device).eval().requires_grad_(False), facts


def _facts(path: Path, header: Any) -> PriorFacts:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _unusable(path, "it is not a prior of closefit")
    for name, expected in (("version", VERSION), ("window", WINDOW), ("state", STATE_SIZE)):
        if header.get(name) != expected:
            raise _unusable(path, f"its {name} is `{header.get(name)}`, expected `{expected}`")
    names = {f.name for f in dataclasses.fields(PriorFacts)}
    try:
        values = {key: value for key, value in header.items() if key in names}
        values["network"] = NetworkConfig(**values["network"])
        return PriorFacts(**values)
    except (KeyError, TypeError) as error:
        raise _unusable(path, f"its header does not fit: {error}") from error


def _unusable(path: Path, reason: str) -> WeightsDamagedError:
    return WeightsDamagedError(f"cannot use the prior `{path}`: {reason}", hint=HINT)
