"""Laws of the appearance loss (Eq. 6)."""

from pathlib import Path

import pytest
import torch
import torchvision

from closefit.appearance.image_losses import composite, rgb_loss, silhouette_loss, ssim_loss
from closefit.appearance.perceptual import PerceptualLoss

ALL = torch.ones(2)


def _images() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, 48, 64, 3), torch.rand(2, 48, 64, 3)


@pytest.mark.parametrize("loss", [rgb_loss, ssim_loss])
def test_equal_images_cost_nothing_others_something(loss) -> None:
    one, other = _images()
    assert float(loss(one, one)) == pytest.approx(0.0, abs=1e-5)
    assert float(loss(one, other)) > 0.05


def test_composite_shows_people_only_inside_the_mask() -> None:
    image, _ = _images()
    mask = torch.zeros(2, 48, 64)
    mask[:, :, :32] = 1.0
    shown = composite(image, mask, torch.ones(3))
    assert torch.equal(shown[:, :, :32], image[:, :, :32])
    assert bool((shown[:, :, 32:] == 1.0).all())


def test_silhouette_outside_weighs_more_than_a_hole() -> None:
    mask = torch.zeros(2, 10, 10)
    mask[:, :5] = 1.0
    full, empty = torch.ones(2, 10, 10), torch.zeros(2, 10, 10)
    assert float(silhouette_loss(mask, mask, ALL, 2.0)) == 0.0
    assert float(silhouette_loss(full, mask, ALL, 2.0)) == pytest.approx(1.0)
    assert float(silhouette_loss(empty, mask, ALL, 2.0)) == pytest.approx(0.5)


def test_silhouette_ignores_frames_without_a_mask() -> None:
    mask = torch.zeros(2, 10, 10)
    assert float(silhouette_loss(torch.ones(2, 10, 10), mask, torch.zeros(2), 2.0)) == 0.0


def test_perceptual_loss_with_weights_in_torchvisions_layout(tmp_path: Path) -> None:
    """Random weights: what is tested is that the file loads and the distance is a distance."""
    file = tmp_path / "alexnet.pth"
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), file)
    loss = PerceptualLoss(file, "cpu")
    one, other = _images()
    one.requires_grad_()
    assert float(loss(one, one).detach()) == pytest.approx(0.0, abs=1e-6)
    distance = loss(one, other)
    distance.backward()
    assert float(distance.detach()) > 0.0
    assert one.grad is not None
    assert torch.isfinite(one.grad).all()
