"""Checkpoints of the prior on disk: safetensors, with everything else as JSON in their header."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import safetensors
import torch
from msgspec import Meta
from safetensors.torch import save

from closefit.boundary.files import UNREADABLE, parse_json, typed
from closefit.boundary.values import RefusedError, named, refuse, shown
from closefit.errors import WeightsDamagedError, WeightsMissingError
from closefit.prior.network import WINDOW, Denoiser, NetworkConfig
from closefit.prior.state import STATE_SIZE

FORMAT = "closefit-prior"
VERSION = 1
META_KEY = "closefit"
FEATURES = "feature_size"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
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
        steps: Training steps.
        data: Description of the training data.
    """

    network: NetworkConfig
    body: str
    steps: Annotated[int, Meta(ge=0, le=10**12)] = 0
    data: str = ""


def prior_content(network: Denoiser, facts: PriorFacts) -> bytes:
    """Return the bytes of a checkpoint in half precision."""
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
    return bytes(save(tensors, metadata={META_KEY: json.dumps(header, sort_keys=True)}))


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
            facts = _facts(parse_json((file.metadata() or {}).get(META_KEY, "null")))
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _check_shapes(found, facts.network)
            tensors = {name: file.get_tensor(name) for name in found}
    except RefusedError as refused:
        raise _unusable(path, refused.problem) from refused
    except (safetensors.SafetensorError, *UNREADABLE) as error:
        raise _unusable(path, "it is damaged or not a safetensors file") from error
    if any(t.dtype not in FLOATS or not t.isfinite().all() for t in tensors.values()):
        raise _unusable(path, "it holds values that are not numbers")
    if not (tensors["state_std"] > 0).all():
        raise _unusable(path, "its `state_std` is not positive")
    network = Denoiser(facts.network)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network.to(device).eval().requires_grad_(False), facts


def _facts(header: Any) -> PriorFacts:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        refuse("it is not a prior of closefit")
    for name, expected in (("version", VERSION), ("window", WINDOW), ("state", STATE_SIZE)):
        if header.get(name) != expected:
            refuse(f"its {name} is `{shown(header.get(name))}`, expected `{expected}`")
    facts: PriorFacts = typed(header, PriorFacts)
    # Headers of earlier checkpoints, the shipped one too, state that there are no image features.
    retired = {FEATURES} if header["network"].get(FEATURES) == 0 else set()
    unknown = header["network"].keys() - dataclasses.asdict(facts.network).keys() - retired
    if unknown:
        refuse(f"its network has {named(sorted(unknown))}, which this closefit does not know")
    if facts.network.width % facts.network.heads:
        refuse(f"its width {facts.network.width} does not divide by {facts.network.heads} heads")
    return facts


def _check_shapes(found: dict[str, tuple[int, ...]], config: NetworkConfig) -> None:
    """Compare the file with the network that it describes, before that takes any memory."""
    with torch.device("meta"):
        state = Denoiser(config).state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            refuse(f"its `{name}` has shape {found.get(name)}, expected {expected.get(name)}")


def _unusable(path: Path, reason: str) -> WeightsDamagedError:
    return WeightsDamagedError(f"cannot use the prior `{path}`: {reason}", hint=HINT)
