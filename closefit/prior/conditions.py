"""The network's conditions: keypoints of both people in the view, and how the view was taken."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.prior.view import View

KEYPOINT_SET = "coco17"
NUM_KEYPOINTS = 17
REACH = 3.0
"""Keypoints farther than this from the middle of the view, in apparent sizes, are clamped."""


class Conditions(NamedTuple):
    """Observations of a batch of windows.

    Attributes:
        keypoints: x, y in the view (unit: apparent size) and confidence; 0, 0, 0 where unknown.
        known: The person is observed in this frame; elsewhere a mask token is put in.
        view: Log apparent size and pitch of the view.
    """

    keypoints: Float[Tensor, "*batch frame person 17 3"]
    known: Bool[Tensor, "*batch frame person"]
    view: Float[Tensor, "*batch 2"]

    @classmethod
    def of(cls, keypoints: Float[Tensor, "*batch frame person 17 3"], view: View) -> "Conditions":
        """Express normalised keypoints (x/z, y/z, confidence) in their view.

        A person whose keypoints all have confidence 0 in a frame is unknown there.
        """
        keypoints = view.keypoints(keypoints)
        seen = keypoints[..., 2:] > 0
        xy = torch.where(seen, keypoints[..., :2].clamp(-REACH, REACH), 0.0)
        return cls(
            keypoints=torch.cat([xy, torch.where(seen, keypoints[..., 2:], 0.0)], dim=-1),
            known=seen[..., 0].any(-1),
            view=torch.stack([view.size.log(), view.pitch], dim=-1),
        )
