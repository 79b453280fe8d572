"""LPIPS with AlexNet (paper Eq. 6): optional, because its weights have to be downloaded.

A small network whose licence lets anybody pass it on can stand in for it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

SLICE_OF_LAYER = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
"""AlexNet's convolutions and the slice of torchmetrics' network that each belongs to."""


ImageDistance = Callable[[Tensor, Tensor], Tensor]
"""From renders and targets (`frame height width 3`, colours in 0 to 1) to one number."""


class PerceptualLoss(nn.Module):
    """Learned perceptual image distance (Zhang et al., CVPR 2018), frozen."""

    def __init__(self, alexnet_file: Path, device: str) -> None:
        """Load torchvision's AlexNet from a verified file; torchmetrics ships the linear heads."""
        # Imported here: it brings all of torchmetrics along, seconds that few runs need.
        from torchmetrics.functional.image.lpips import _LPIPS

        super().__init__()
        weights = torch.load(alexnet_file, weights_only=True, map_location="cpu")
        self._distance = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
        self._distance.net.load_state_dict(
            {
                f"slice{number}.{layer}.{kind}": weights[f"features.{layer}.{kind}"]
                for layer, number in SLICE_OF_LAYER.items()
                for kind in ("weight", "bias")
            }
        )
        self.to(device).eval().requires_grad_(False)

    def forward(
        self,
        rendered: Float[Tensor, "frame height width 3"],
        target: Float[Tensor, "frame height width 3"],
    ) -> Float[Tensor, ""]:
        """Mean distance between images with colours in [0, 1]."""
        first, second = (image.permute(0, 3, 1, 2) for image in (rendered, target))
        distance: Tensor = self._distance(first, second, normalize=True)
        return distance.mean()


CAFFE_MEAN_BGR = (104.0, 117.0, 123.0)
"""Mean colour of the training images of the original SqueezeNet, in 0 to 255."""

POOLED_BEFORE = (2, 4, 6)
FIRES = range(2, 10)
TAPPED = (3, 5, 7, 9)
"""Fire modules that follow a pooling, all, and those whose outputs are compared, as in LPIPS."""


class SqueezeNetDistance(nn.Module):
    """Difference of the features of SqueezeNet 1.1 in two images, frozen.

    As LPIPS without its learned weights of channels: features of unit length, squared differences,
    mean over places and layers. Images are compared at half size, as by SSIM.
    """

    def __init__(self, file: Path) -> None:
        """Load the weights: `LAYER.weight` and `LAYER.bias`, by the original's names of layers."""
        super().__init__()
        with np.load(file, allow_pickle=False) as arrays:
            for name in arrays:
                value = torch.from_numpy(arrays[name].astype(np.float32))
                self.register_buffer(_buffer(name), value)
        self.register_buffer("mean", torch.tensor(CAFFE_MEAN_BGR))

    def forward(
        self,
        rendered: Float[Tensor, "frame height width 3"],
        target: Float[Tensor, "frame height width 3"],
    ) -> Float[Tensor, ""]:
        """Mean distance between images with colours in [0, 1]."""
        with torch.no_grad():
            wanted = self._features(target)
        layers = zip(self._features(rendered), wanted, strict=True)
        return torch.stack([(a - b).square().sum(1).mean() for a, b in layers]).mean()

    def _features(self, image: Float[Tensor, "frame height width 3"]) -> list[Tensor]:
        bgr = 255.0 * image.flip(-1) - self.get_buffer("mean")
        value = nn.functional.avg_pool2d(bgr.permute(0, 3, 1, 2), 2)
        value = self._convolved(value, "conv1", stride=2)
        tapped = [value]
        for number in FIRES:
            if number in POOLED_BEFORE:
                value = nn.functional.max_pool2d(value, 3, 2, ceil_mode=True)
            squeezed = self._convolved(value, f"fire{number}/squeeze1x1")
            value = torch.cat(
                [
                    self._convolved(squeezed, f"fire{number}/expand1x1"),
                    self._convolved(squeezed, f"fire{number}/expand3x3", padding=1),
                ],
                dim=1,
            )
            tapped += [value] if number in TAPPED else []
        return [nn.functional.normalize(value, dim=1, eps=1e-6) for value in tapped]

    def _convolved(self, value: Tensor, layer: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = (self.get_buffer(_buffer(f"{layer}.{kind}")) for kind in ("weight", "bias"))
        return nn.functional.conv2d(value, weight, bias, stride, padding).relu()


def _buffer(name: str) -> str:
    """Name of an array as a buffer, which has neither slashes nor dots."""
    return name.replace("/", "_").replace(".", "_")
