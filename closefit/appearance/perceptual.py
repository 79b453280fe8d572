"""LPIPS with AlexNet (paper Eq. 6): optional, because its weights have to be downloaded."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _LPIPS

SLICE_OF_LAYER = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
"""AlexNet's convolutions and the slice of torchmetrics' network that each belongs to."""


class PerceptualLoss(nn.Module):
    """Learned perceptual image distance (Zhang et al., CVPR 2018), frozen."""

    def __init__(self, alexnet_file: Path, device: str) -> None:
        """Load torchvision's AlexNet from a verified file; torchmetrics ships the linear heads."""
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
