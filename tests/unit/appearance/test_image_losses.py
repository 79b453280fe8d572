"""Laws of the appearance loss (Eq. 6)."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torchmetrics.functional.image import structural_similarity_index_measure

from closefit.appearance.image_losses import composite, rgb_loss, silhouette_loss, ssim_loss
from closefit.appearance.perceptual import PerceptualLoss, SqueezeNetDistance

ALL = torch.ones(2)


def _images() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, 48, 64, 3), torch.rand(2, 48, 64, 3)


@pytest.mark.parametrize("loss", [rgb_loss, ssim_loss])
def test_equal_images_cost_nothing_others_something(loss) -> None:
    one, other = _images()
    assert float(loss(one, one)) == pytest.approx(0.0, abs=1e-5)
    assert float(loss(one, other)) > 0.05


def test_ssim_is_that_of_torchmetrics() -> None:
    images = [image.requires_grad_() for image in _images()]
    halved = (torch.nn.functional.avg_pool2d(image.permute(0, 3, 1, 2), 2) for image in images)
    expected = 1.0 - structural_similarity_index_measure(*halved, data_range=1.0)
    found = ssim_loss(*images)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(value, images) for value in (found, expected))
    torch.testing.assert_close(*gradients)


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


def test_the_stand_in_has_the_features_of_squeezenet(tmp_path: Path) -> None:
    """Those of torchvision's network with the same random weights."""
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(weights=None).eval().features
    fires = [name for name, part in network.named_children() if hasattr(part, "squeeze")]
    names = {"0": "conv1"} | {name: f"fire{i}" for i, name in enumerate(fires, start=2)}
    arrays = {}
    for key, value in network.state_dict().items():
        part, *layer, kind = key.replace("squeeze", "squeeze1x1").split(".")
        arrays[f"{'/'.join([names[part], *layer])}.{kind}"] = value.detach().numpy()
    np.savez(tmp_path / "squeezenet.npz", **arrays)
    loss = SqueezeNetDistance(tmp_path / "squeezenet.npz")
    one, other = torch.rand(2, 2, 96, 128, 3)
    bgr = 255.0 * one.flip(-1).permute(0, 3, 1, 2) - torch.tensor([104.0, 117, 123])[:, None, None]
    last = network(torch.nn.functional.avg_pool2d(bgr, 2))
    expected = torch.nn.functional.normalize(last, dim=1, eps=1e-6)
    torch.testing.assert_close(loss._features(one)[-1], expected)
    assert float(loss(one, one)) == 0.0
    one.requires_grad_()
    distance = loss(one, other)
    distance.backward()
    assert float(distance.detach()) > 0.0
    assert torch.isfinite(one.grad).all()


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
