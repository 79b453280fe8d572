"""Motion at other times than those of its frames."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body.pose import PairPose
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d


def pose_at(pose: PairPose, times: Float[Tensor, " time"]) -> PairPose:
    """Motion (`*batch frame person`) at fractional frame numbers: neighbours are blended."""
    below, above, share = between(times, pose.pelvis_m.shape[-3])
    share = share.to(pose.pelvis_m)

    def mix(values: Tensor, axis: int) -> Tensor:
        weight = share.reshape(-1, *[1] * (-axis - 1))
        first, second = values.index_select(axis, below), values.index_select(axis, above)
        return torch.lerp(first, second, weight)

    return PairPose(
        rotations=matrix_from_6d(mix(matrix_to_6d(pose.rotations), -4)),
        betas=mix(pose.betas, -3),
        pelvis_m=mix(pose.pelvis_m, -3),
    )


def between(
    times: Float[Tensor, " time"], count: int
) -> tuple[Int[Tensor, " time"], Int[Tensor, " time"], Float[Tensor, " time"]]:
    """Frames below and above fractional frame numbers of a clip, and the share of the one above."""
    below = times.floor().long().clamp(0, count - 1)
    above = (below + 1).clamp_max(count - 1)
    return below, above, times - below
