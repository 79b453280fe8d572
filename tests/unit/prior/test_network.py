"""Laws of the denoiser: symmetry in the people, masks that hide, gradients."""

import torch

from closefit.prior.conditions import Conditions
from closefit.prior.network import Denoiser, NetworkConfig
from closefit.prior.state import STATE_SIZE
from closefit.prior.view import View


def noisy(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 16, 2, STATE_SIZE, generator=torch.Generator().manual_seed(1))


TIMESTEP = torch.tensor([0, 37, 99])


def test_swapping_the_people_swaps_the_output(network: Denoiser, keypoints: torch.Tensor) -> None:
    x = noisy()
    out = network(x, TIMESTEP, Conditions.of(keypoints, View.of(keypoints)))
    swapped_keypoints = keypoints.flip(2)
    swapped = network(
        x.flip(2), TIMESTEP, Conditions.of(swapped_keypoints, View.of(swapped_keypoints))
    )
    assert (out - out.flip(2)).abs().max() > 0.1  # the law is not met by ignoring the people
    torch.testing.assert_close(swapped, out.flip(2), atol=1e-5, rtol=1e-5)


def test_hidden_values_cannot_reach_the_output(network: Denoiser, keypoints: torch.Tensor) -> None:
    keypoints[:, 4:9, 0, :, 2] = 0.0
    other = keypoints.clone()
    other[:, 4:9, 0, :, :2] += 5.0
    x = noisy()
    first = network(x, TIMESTEP, Conditions.of(keypoints, View.of(keypoints)))
    second = network(x, TIMESTEP, Conditions.of(other, View.of(other)))
    assert torch.equal(first, second)


def test_hidden_states_cannot_reach_the_output(network: Denoiser, keypoints: torch.Tensor) -> None:
    conditions = Conditions.of(keypoints, View.of(keypoints))
    hidden = torch.zeros(3, 16, 2, dtype=torch.bool)
    hidden[:, 2:7, 1] = True
    x, other = noisy(), noisy()
    other[hidden] = 9.0
    first = network(x, TIMESTEP, conditions, hidden)
    assert torch.equal(first, network(other, TIMESTEP, conditions, hidden))
    assert not torch.equal(first, network(other, TIMESTEP, conditions))


def test_each_person_listens_to_the_other(network: Denoiser, keypoints: torch.Tensor) -> None:
    view = View.of(keypoints)
    conditions = Conditions.of(keypoints, view)
    alone = conditions._replace(known=conditions.known & torch.tensor([True, False]))
    x = noisy()
    change = network(x, TIMESTEP, conditions) - network(x, TIMESTEP, alone)
    assert change[:, :, 0].abs().max() > 1e-3


def test_gradient_agrees_with_finite_differences(
    network: Denoiser, keypoints: torch.Tensor
) -> None:
    network = network.double()
    conditions = Conditions.of(keypoints[:1].double(), View.of(keypoints[:1].double()))
    x = noisy(1).double().requires_grad_()
    direction = torch.randn(x.shape, dtype=torch.float64)
    timestep = torch.tensor([20])

    def value(at: torch.Tensor) -> torch.Tensor:
        return network(at, timestep, conditions).square().sum()

    (gradient,) = torch.autograd.grad(value(x), x)
    step = 1e-5
    with torch.no_grad():
        slope = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-6)


def test_normalisation_round_trip(network: Denoiser) -> None:
    network.state_mean.copy_(torch.randn(STATE_SIZE))
    network.state_std.copy_(torch.rand(STATE_SIZE) + 0.1)
    x = noisy()
    torch.testing.assert_close(network.denormalise(network.normalise(x)), x, atol=1e-5, rtol=1e-5)


def test_the_default_size_is_about_the_papers() -> None:
    count = sum(parameter.numel() for parameter in Denoiser(NetworkConfig()).parameters())
    assert 4.5e6 < count < 6.5e6
