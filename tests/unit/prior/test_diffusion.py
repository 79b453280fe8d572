"""Laws of the noise schedule and of deterministic sampling."""

import pytest
import torch

from closefit.prior.diffusion import (
    ALPHA_BAR,
    SAMPLING_TIMESTEPS,
    ddim_step,
    diffuse,
    sample,
)


def test_signal_falls_from_almost_all_to_almost_nothing() -> None:
    assert bool((ALPHA_BAR.diff() < 0).all())
    assert float(ALPHA_BAR[0]) > 0.999
    assert float(ALPHA_BAR[-1]) < 1e-4


@pytest.mark.parametrize(
    ("timestep", "expected"), [(80, 0.0851), (60, 0.3261), (40, 0.6325), (20, 0.8891), (0, 0.9994)]
)
def test_signal_at_the_sampling_levels_is_that_of_the_release(
    timestep: int, expected: float
) -> None:
    assert float(ALPHA_BAR[timestep]) == pytest.approx(expected, abs=1e-4)


def test_noise_keeps_the_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(200, 500, generator=generator) for _ in range(2))
    for timestep in (0, 50, 99):
        x = diffuse(x0, noise, torch.full((200,), timestep))
        assert float(x.var()) == pytest.approx(1.0, abs=0.02)


def test_a_step_with_the_right_answer_stays_on_the_path() -> None:
    x0, noise = torch.randn(4, 7), torch.randn(4, 7)
    x = diffuse(x0, noise, torch.full((4,), 60))
    expected = diffuse(x0, noise, torch.full((4,), 20))
    torch.testing.assert_close(ddim_step(x, x0, 60, 20), expected, atol=1e-5, rtol=1e-5)


def test_sampling_finds_the_only_answer() -> None:
    clean = torch.randn(3, 5)
    found = sample(lambda x, _: clean.expand_as(x), torch.randn(3, 5))
    assert torch.equal(found, clean)


def test_sampling_a_gaussian_gives_its_distribution() -> None:
    """For data N(m, s^2) the best denoiser is known; its samples have mean m and spread s."""
    mean, spread = 1.5, 0.4

    def denoise(x: torch.Tensor, timestep: int) -> torch.Tensor:
        signal = ALPHA_BAR[timestep]
        variance = signal * spread**2 + 1.0 - signal
        return mean + spread**2 * signal.sqrt() / variance * (x - signal.sqrt() * mean)

    timesteps = tuple(range(99, -1, -1))
    found = sample(
        denoise, torch.randn(20_000, 1, generator=torch.Generator().manual_seed(1)), timesteps
    )
    assert float(found.mean()) == pytest.approx(mean, abs=0.02)
    assert float(found.std()) == pytest.approx(spread, abs=0.03)
    assert SAMPLING_TIMESTEPS[-1] == 0
