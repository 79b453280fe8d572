"""Contact of two bodies, and a loss that keeps it: the counterpart of penetration."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

TOUCH_M = 0.015
"""Vertices of two people nearer than this are in contact: flesh is soft and meshes are coarse."""

SLACK_M = 0.004
"""Gap up to which a pair is in contact and has no loss."""


@dataclass(frozen=True, eq=False)
class TouchingPairs:
    """Vertex pairs, one vertex of each person, that touch in a frame.

    Attributes:
        vertices: Indices into person 0's and person 1's vertices.
        weight: 1 for a pair, 0 for padding in frames with fewer pairs.
    """

    vertices: Int[Tensor, "frame pair 2"]
    weight: Float[Tensor, "frame pair"]

    def cut(self, frames: Tensor) -> "TouchingPairs":
        """The same pairs, some frames only."""
        return TouchingPairs(self.vertices[frames], self.weight[frames])


def touching_pairs(
    vertices: Float[Tensor, "frame 2 vertex 3"], max_pairs: int = 16
) -> TouchingPairs:
    """Find the nearest touching pairs of every frame, at most one per vertex of person 0.

    Args:
        vertices: Posed vertices of both people, metres; a coarse mesh will do.
        max_pairs: Number of pairs to keep in a frame.
    """
    frames = vertices.shape[0]
    index = torch.zeros(frames, max_pairs, 2, dtype=torch.int64)
    weight = torch.zeros(frames, max_pairs)
    for frame, (first, second) in enumerate(vertices.detach().cpu().numpy()):
        distance, nearest = cKDTree(second).query(first, distance_upper_bound=TOUCH_M)
        chosen = distance.argsort()[:max_pairs]
        chosen = chosen[distance[chosen] < TOUCH_M]
        index[frame, : len(chosen), 0] = torch.from_numpy(chosen)
        index[frame, : len(chosen), 1] = torch.from_numpy(nearest[chosen])
        weight[frame, : len(chosen)] = 1.0
    return TouchingPairs(index.to(vertices.device), weight.to(vertices.device))


def touch_loss(
    vertices: Float[Tensor, "frame 2 vertex 3"], pairs: TouchingPairs
) -> Float[Tensor, ""]:
    """Squared gaps in m^2 that opened between pairs, summed over a frame, mean over frames.

    Separating penetrating bodies must not separate hands that hold each other.
    """
    frame = torch.arange(vertices.shape[0], device=vertices.device)[:, None]
    first = vertices[frame, 0, pairs.vertices[..., 0]]
    second = vertices[frame, 1, pairs.vertices[..., 1]]
    squared = (first - second).square().sum(-1)
    gap = torch.relu((squared + 1e-12).sqrt() - SLACK_M)
    return (pairs.weight * gap.square()).sum(-1).mean()
