"""The convolutional decoder from a latent code to a Gaussian UV map (paper section 3.3)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class UNet(nn.Module):
    """A small U-Net whose output starts at zero, so that activations define the first Gaussians.

    Convolutions couple neighbouring Gaussians; tens of thousands of independent ones would fit
    noise.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, levels: int = 3) -> None:
        """Build a network for maps whose side divides by 2 ** (levels - 1)."""
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.encoders = nn.ModuleList(
            _block(before, after)
            for before, after in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.decoders = nn.ModuleList(
            _block(below + skip, skip)
            for below, skip in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(width, out_channels, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.get_parameter("bias"), 0.0)

    def forward(
        self, latent: Float[Tensor, "person channel size size"]
    ) -> Float[Tensor, "person out size size"]:
        """Decode latent codes to maps of the same side."""
        skips = []
        value = latent
        for level, encoder in enumerate(self.encoders):
            value = encoder(value if level == 0 else nn.functional.avg_pool2d(value, 2))
            skips.append(value)
        for decoder, skip in zip(self.decoders, skips[-2::-1], strict=True):
            value = nn.functional.interpolate(value, scale_factor=2, mode="nearest")
            value = decoder(torch.cat([value, skip], dim=1))
        out: Tensor = self.head(value)
        return out


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.GroupNorm(4, after),
        nn.SiLU(),
    )
