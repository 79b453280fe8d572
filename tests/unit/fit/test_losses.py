"""Laws of the loss terms."""

import pytest
import torch

from closefit.fit.losses import (
    floor_loss,
    reprojection_loss,
    scale_loss,
    shape_loss,
    smoothness_loss,
    upright_loss,
)
from closefit.fit.weights import MEAN_STATURE_M, SCALE_SIGMA, STATURE_SIGMA_M
from closefit.geometry.robust import robust_square


def _keypoints() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    observed = 100.0 * torch.rand(5, 2, 17, 2, dtype=torch.float64)
    weight = torch.rand(5, 2, 17, dtype=torch.float64)
    sigma = torch.full((5, 2), 3.0, dtype=torch.float64)
    return observed, weight, sigma


def test_robust_square_levels_off() -> None:
    big = torch.tensor([1e6, 1e12], dtype=torch.float64)
    torch.testing.assert_close(
        robust_square(big, 4.0), torch.full_like(big, 16.0), rtol=1e-3, atol=0
    )
    small = torch.tensor(1e-4, dtype=torch.float64)
    torch.testing.assert_close(robust_square(small, 4.0), small, rtol=1e-4, atol=0)


def test_reprojection_is_scale_free() -> None:
    """Twice the image size with twice the expected noise is the same problem."""
    observed, weight, sigma = _keypoints()
    projected = observed + torch.randn_like(observed)
    once = reprojection_loss(projected, observed, weight, sigma)
    twice = reprojection_loss(2 * projected, 2 * observed, weight, 2 * sigma)
    torch.testing.assert_close(once, twice)


def test_reprojection_ignores_keypoints_without_weight() -> None:
    observed, weight, sigma = _keypoints()
    weight[:, :, 3] = 0.0
    moved = observed.clone()
    moved[:, :, 3] += 1e4
    assert float(reprojection_loss(moved, observed, weight, sigma).sum()) == 0.0


def test_reprojection_gradient() -> None:
    observed, weight, sigma = _keypoints()
    projected = (observed + torch.randn_like(observed)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda value: reprojection_loss(value, observed, weight, sigma).sum(), (projected,)
    )


def test_steady_motion_is_smooth() -> None:
    time = torch.arange(9, dtype=torch.float64)[:, None, None, None]
    joints = torch.rand(1, 2, 24, 3, dtype=torch.float64) + 0.1 * time
    assert float(smoothness_loss(joints, 30.0)) < 1e-12


@pytest.mark.parametrize("frames", [1, 2])
def test_short_clips_have_no_acceleration(frames: int) -> None:
    assert float(smoothness_loss(torch.rand(frames, 2, 24, 3), 30.0)) == 0.0


def test_acceleration_is_per_second() -> None:
    """The same motion filmed at twice the rate costs the same per frame."""

    def throw(fps: float) -> torch.Tensor:
        time = torch.arange(0.0, 1.0, 1.0 / fps, dtype=torch.float64)[:, None, None, None]
        return smoothness_loss((4.9 * time**2).expand(-1, 2, 24, 3), fps)

    torch.testing.assert_close(throw(30.0), throw(60.0))


def test_feet_on_the_floor_cost_nothing_and_below_it_more_than_above() -> None:
    height = torch.zeros(3, 2, 4, dtype=torch.float64)
    assert float(floor_loss(height)) < 1e-12
    above, below = floor_loss(height + 0.3), floor_loss(height - 0.3)
    assert above < 10.0 < below


def test_only_the_lowest_foot_has_to_stand() -> None:
    height = torch.tensor([0.0, 0.8], dtype=torch.float64).expand(3, 2, 2)
    assert float(floor_loss(height)) < 1e-12


def test_shape_prefers_the_mean() -> None:
    betas = torch.zeros(2, 10, dtype=torch.float64)
    mean = torch.full((2,), MEAN_STATURE_M, dtype=torch.float64)
    assert float(shape_loss(betas, mean)) < 1e-20
    assert float(shape_loss(betas, mean + STATURE_SIGMA_M)) == pytest.approx(1.0)


def test_scale_leaves_open_who_of_the_two_is_tall() -> None:
    unequal = MEAN_STATURE_M + torch.tensor([0.2, -0.2], dtype=torch.float64)
    assert float(scale_loss(unequal)) < 1e-20
    assert float(scale_loss((1.0 + SCALE_SIGMA) * unequal)) == pytest.approx(0.5, rel=0.05)


def test_upright_compares_the_mean_trunk_with_the_floor() -> None:
    joints = torch.zeros(6, 2, 24, 3, dtype=torch.float64)
    joints[:, :, 12, 1] = -0.5
    up = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    assert float(upright_loss(joints, up)) < 1e-12
    assert float(upright_loss(joints, -up)) > 1.0
