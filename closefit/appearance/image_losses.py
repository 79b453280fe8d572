"""The appearance loss (paper Eq. 6)."""

import torch
from jaxtyping import Float
from torch import Tensor

WINDOW_SIGMA_PX = 1.5
WINDOW_PX = 11
STABILISERS = (0.01**2, 0.03**2)
"""Of SSIM as published: its Gaussian window, and the constants of its two quotients."""


def composite(
    image: Float[Tensor, "frame height width 3"],
    mask: Float[Tensor, "frame height width"],
    background: Float[Tensor, "3"],
) -> Float[Tensor, "frame height width 3"]:
    """The target of a render: the image where people are, a plain background elsewhere."""
    return image * mask[..., None] + background * (1.0 - mask[..., None])


def rgb_loss(
    rendered: Float[Tensor, "frame height width 3"],
    target: Float[Tensor, "frame height width 3"],
) -> Float[Tensor, ""]:
    """Mean absolute colour difference."""
    return (rendered - target).abs().mean()


def ssim_loss(
    rendered: Float[Tensor, "frame height width 3"],
    target: Float[Tensor, "frame height width 3"],
) -> Float[Tensor, ""]:
    """One minus structural similarity at half size, for colours in [0, 1].

    At full size its filters would take as long as everything else in a step on a CPU.
    """
    first, second = (
        torch.nn.functional.avg_pool2d(image.permute(0, 3, 1, 2), 2) for image in (rendered, target)
    )
    return 1.0 - _structural_similarity(first, second)


def silhouette_loss(
    alpha: Float[Tensor, "frame height width"],
    mask: Float[Tensor, "frame height width"],
    known: Float[Tensor, " frame"],
    outside_weight: float,
) -> Float[Tensor, ""]:
    """Bodies stay inside the union mask and fill it.

    A body outside the mask is wrong; uncovered mask may be hair or a skirt and weighs less.

    Args:
        alpha: Rendered coverage.
        mask: Union mask of both people.
        known: 1 for frames that have a mask, 0 for the others.
        outside_weight: Weight of coverage outside the mask over that of uncovered mask.
    """
    outside = torch.relu(alpha - mask)
    inside = torch.relu(mask - alpha)
    return ((outside_weight * outside + inside).mean((1, 2)) * known).mean()


def _structural_similarity(
    first: Float[Tensor, "frame 3 height width"], second: Float[Tensor, "frame 3 height width"]
) -> Float[Tensor, ""]:
    """Mean SSIM (Wang et al. 2004), as torchmetrics computes it, whose import takes seconds."""
    margin = WINDOW_PX // 2
    first, second = (
        torch.nn.functional.pad(image, (margin,) * 4, mode="reflect") for image in (first, second)
    )
    offset = torch.arange(-margin, margin + 1, dtype=first.dtype, device=first.device)
    bell = torch.exp(-((offset / WINDOW_SIGMA_PX) ** 2) / 2)
    bell = bell / bell.sum()
    window = torch.outer(bell, bell).expand(3, 1, WINDOW_PX, WINDOW_PX)
    moments = torch.cat([first, second, first * first, second * second, first * second])
    mean_1, mean_2, square_1, square_2, product = torch.nn.functional.conv2d(
        moments, window, groups=3
    ).split(len(first))
    mean_square_1, mean_square_2, mean_product = mean_1**2, mean_2**2, mean_1 * mean_2
    variance_1 = torch.clamp(square_1 - mean_square_1, min=0.0)
    variance_2 = torch.clamp(square_2 - mean_square_2, min=0.0)
    covariance = product - mean_product
    c1, c2 = STABILISERS
    similarity = ((2 * mean_product + c1) * (2 * covariance + c2)) / (
        (mean_square_1 + mean_square_2 + c1) * (variance_1 + variance_2 + c2)
    )
    mean: Tensor = similarity.flatten(1).mean(1).mean()
    return mean
