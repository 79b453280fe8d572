"""The appearance loss (paper Eq. 6)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


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
    similarity = structural_similarity_index_measure(first, second, data_range=1.0)
    assert isinstance(similarity, Tensor)
    return 1.0 - similarity


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
