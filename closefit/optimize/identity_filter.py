"""Keypoints that the rendered identities assign to the other person (paper section 3.3)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

OWNERSHIP = 0.5
"""Composited ownership from which a pixel belongs to a person."""


def foreign_keypoints(
    ownership: Float[Tensor, "frame height width 2"],
    points_px: Float[Tensor, "frame person keypoint 2"],
    radius_px: float,
    only_own: bool = False,
) -> Bool[Tensor, "frame person keypoint"]:
    """Find keypoints that lie on the other person and not within `radius_px` of their own.

    A keypoint on the background is kept, as it corrects a limb that was rendered in the wrong
    place, unless `only_own`: the paper keeps only keypoints in their own person's rendered region.

    Args:
        ownership: Alpha-composited identity of both people.
        points_px: Keypoints in the render's pixels.
        radius_px: Tolerance about a person's own region.
        only_own: Find all keypoints that are not in that region.
    """
    height, width = ownership.shape[1:3]
    reach = max(0, round(radius_px))
    maps = ownership.permute(0, 3, 1, 2).flatten(2)
    column = points_px[..., 0].floor().long()
    row = points_px[..., 1].floor().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    # A maximum over the whole image, instead of these few pixels, took two fifths of a step.
    near = torch.arange(-reach, reach + 1, device=row.device)
    rows = (row[..., None, None] + near[:, None]).clamp(0, height - 1)
    columns = (column[..., None, None] + near).clamp(0, width - 1)
    around = (rows * width + columns).flatten(2)
    own_near = maps.gather(2, around).unflatten(2, (row.shape[2], -1)).amax(-1)
    if only_own:
        outside: Tensor = ~inside | (own_near < OWNERSHIP)
        return outside
    other_here = maps.flip(1).gather(2, row * width + column)
    foreign: Tensor = inside & (own_near < OWNERSHIP) & (other_here > OWNERSHIP)
    return foreign
