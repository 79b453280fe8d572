"""Checkpoints of the prior: what is written is read back, and nothing else is."""

import json
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import save_file

from closefit.errors import WeightsDamagedError, WeightsMissingError
from closefit.models.weights import PRIOR, locate
from closefit.prior.conditions import Conditions
from closefit.prior.loading import META_KEY, PriorFacts, load_prior, prior_content
from closefit.prior.network import Denoiser
from closefit.prior.view import View

Parts = tuple[dict[str, torch.Tensor], dict[str, object]]


@pytest.fixture
def path(network: Denoiser, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "prior.safetensors"
    facts = PriorFacts(network=network.config, body="closefit", steps=7, data="2 hours: dances")
    path.parent.mkdir()
    path.write_bytes(prior_content(network, facts))
    return path


def parts(path: Path) -> Parts:
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[META_KEY])
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def rewrite(path: Path, tensors: dict[str, torch.Tensor], header: object) -> None:
    save_file(tensors, path, metadata={META_KEY: json.dumps(header)})


def test_a_network_comes_back(path: Path, network: Denoiser, keypoints: torch.Tensor) -> None:
    found, facts = load_prior(path)
    assert (facts.steps, facts.data, facts.network) == (7, "2 hours: dances", network.config)
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], value.half().float())
    x = torch.randn(3, 16, 2, 157)
    conditions = Conditions.of(keypoints, View.of(keypoints))
    timestep = torch.tensor([0, 37, 99])
    torch.testing.assert_close(
        found(x, timestep, conditions), network(x, timestep, conditions), atol=0.05, rtol=0.05
    )


def test_a_missing_checkpoint_is_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match="there is no prior checkpoint"):
        load_prior(tmp_path / "prior.safetensors")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x00" * 100])
def test_something_else_is_no_checkpoint(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(WeightsDamagedError, match="damaged or not a safetensors file"):
        load_prior(path)


def test_a_cut_file_is_damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsDamagedError, match="damaged"):
        load_prior(path)


IMPOSSIBLE_NETWORKS = (
    *({"blocks": 1.5}, {"blocks": 10**12}, {"blocks": 10**30}, {"width": -2}, {"width": "256"}),
    *({"dropout": -1}, {"dropout": float("nan")}, {"heads": 0}, {"feed_forward": True}, [1]),
)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", "it is not a prior of closefit"),
        ("version", 99, "its version is `99`"),
        ("window", 32, "its window is `32`"),
        ("state", 150, "its state is `150`"),
        ("network", {"depth": 3}, "its network has `depth`"),
        ("network", None, "does not follow its format"),
        *(("network", network, "does not follow its format") for network in IMPOSSIBLE_NETWORKS),
        ("network", {"heads": 7}, "does not divide by 7 heads"),
        ("network", {"blocks": 64, "width": 4096}, "has shape .*, expected"),
        ("steps", float("inf"), "does not follow its format"),
    ],
)
def test_a_foreign_header_is_named(path: Path, key: str, value: object, message: str) -> None:
    tensors, header = parts(path)
    rewrite(path, tensors, {**header, key: value})
    with pytest.raises(WeightsDamagedError, match=message):
        load_prior(path)


def test_other_safetensors_are_no_prior(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsDamagedError, match="it is not a prior of closefit"):
        load_prior(path)


def test_another_architecture_is_named_by_its_tensor(path: Path) -> None:
    tensors, header = parts(path)
    wider = {**header, "network": {**header["network"], "feed_forward": 128}}
    rewrite(path, tensors, wider)
    with pytest.raises(WeightsDamagedError, match=r"feed_forward.* has shape .*, expected"):
        load_prior(path)
    tensors.pop("hidden_state")
    rewrite(path, tensors, header)
    with pytest.raises(WeightsDamagedError, match="`hidden_state` has shape None"):
        load_prior(path)


def test_values_that_are_not_numbers_are_refused(path: Path) -> None:
    tensors, header = parts(path)
    tensors["hidden_state"][0] = float("nan")
    rewrite(path, tensors, header)
    with pytest.raises(WeightsDamagedError, match="not numbers"):
        load_prior(path)


def test_a_header_that_states_no_image_features_changes_nothing(
    tmp_path: Path, keypoints: torch.Tensor
) -> None:
    """Earlier checkpoints have `feature_size` 0: same bits as without it."""
    shipped = locate(PRIOR)
    tensors, header = parts(shipped)
    stated = {**header, "features": "none", "network": {**header["network"], "feature_size": 0}}
    rewrite(tmp_path / "stated.safetensors", tensors, stated)
    one, other = (load_prior(file)[0] for file in (shipped, tmp_path / "stated.safetensors"))
    assert one.state_dict().keys() == tensors.keys()
    x, timestep = torch.randn(3, 16, 2, 157), torch.tensor([0, 37, 99])
    conditions = Conditions.of(keypoints, View.of(keypoints))
    assert torch.equal(one(x, timestep, conditions), other(x, timestep, conditions))


def test_a_prior_of_image_features_is_refused(path: Path) -> None:
    tensors, header = parts(path)
    rewrite(path, tensors, {**header, "network": {**header["network"], "feature_size": 384}})
    with pytest.raises(WeightsDamagedError, match="its network has `feature_size`"):
        load_prior(path)
