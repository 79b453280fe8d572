"""Losses of the motion terms: one pure function each.

Values do not grow with the number of frames (means over frames, sums over what one frame holds),
so weights keep their meaning for clips of any length.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import JOINT_INDEX
from closefit.fit.weights import (
    ACCELERATION_SIGMA_M_S2,
    BELOW_FLOOR_OUTLIER_SIGMAS,
    FLOOR_OUTLIER_SIGMAS,
    FLOOR_SIGMA_M,
    MEAN_STATURE_M,
    SCALE_SIGMA,
    STATURE_SIGMA_M,
    UPRIGHT_OUTLIER_SIGMAS,
    UPRIGHT_SIGMA_RAD,
    MotionWeights,
)
from closefit.geometry.robust import robust_square

PELVIS, NECK = JOINT_INDEX["pelvis"], JOINT_INDEX["neck"]


def reprojection_loss(
    projected_px: Float[Tensor, "*hypothesis frame person keypoint 2"],
    observed_px: Float[Tensor, "frame person keypoint 2"],
    weight: Float[Tensor, "frame person keypoint"],
    sigma_px: Float[Tensor, "frame person"],
    outlier_sigmas: float = MotionWeights.outlier_sigmas,
) -> Float[Tensor, "*hypothesis frame person"]:
    """Confidence-weighted robust keypoint error (paper Eq. 4), per frame and person.

    Errors are in units of `sigma_px`, the expected keypoint noise, which scales with the person's
    size in the image; the loss levels off at `outlier_sigmas`.
    """
    squared = ((projected_px - observed_px) / sigma_px[..., None, None]).square().sum(-1)
    return 0.5 * (weight * robust_square(squared, outlier_sigmas)).sum(-1)


def smoothness_loss(joints: Float[Tensor, "frame person joint 3"], fps: float) -> Float[Tensor, ""]:
    """Squared joint acceleration, mean over frames and joints (metres in).

    The paper's Eq. 8 penalises velocity; penalising acceleration leaves steady motion alone.
    """
    if joints.shape[0] < 3:
        return joints.new_zeros(())
    acceleration = (joints[2:] - 2.0 * joints[1:-1] + joints[:-2]) * fps**2
    return 0.5 * (acceleration / ACCELERATION_SIGMA_M_S2).square().sum(-1).mean((0, 2)).sum()


def floor_loss(
    height_m: Float[Tensor, "frame person sole"], looseness: float = 1.0
) -> Float[Tensor, ""]:
    """Both people share one floor: the lowest sole point of each frame lies on it.

    Args:
        height_m: Height of foot joints over where they are when the foot stands on the floor.
        looseness: Factor on the expected deviation from the floor.
    """
    lowest = height_m.min(-1).values / (FLOOR_SIGMA_M * looseness)
    outlier = torch.where(lowest < 0, BELOW_FLOOR_OUTLIER_SIGMAS, FLOOR_OUTLIER_SIGMAS)
    return 0.5 * robust_square(lowest.square(), outlier).mean(0).sum()


def shape_loss(
    betas: Float[Tensor, "person beta"], stature_m: Float[Tensor, " person"]
) -> Float[Tensor, ""]:
    """Each person's height is near the adult mean, all else near the mean shape."""
    height = ((stature_m - MEAN_STATURE_M) / STATURE_SIGMA_M).square().sum()
    return 0.5 * (betas[:, 1:].square().sum() + height)


def scale_loss(stature_m: Float[Tensor, " person"]) -> Float[Tensor, ""]:
    """The two people are on average as tall as adults, which sets the scale of the scene.

    One camera cannot distinguish a small scene from a large one farther away. What perspective
    adds is mostly due to errors of poses.
    """
    return 0.5 * ((stature_m.mean() / MEAN_STATURE_M).log() / SCALE_SIGMA).square()


def upright_loss(
    joints: Float[Tensor, "frame person joint 3"], up: Float[Tensor, "3"]
) -> Float[Tensor, ""]:
    """Over a clip, trunks point up on average.

    Lean towards the camera or away from it hardly changes keypoints and needs this term.
    """
    trunk = joints[:, :, NECK] - joints[:, :, PELVIS]
    mean = torch.nn.functional.normalize(trunk, dim=-1).mean(0)
    lean = (torch.nn.functional.normalize(mean, dim=-1) - up).square().sum(-1)
    return 0.5 * robust_square(lean / UPRIGHT_SIGMA_RAD**2, UPRIGHT_OUTLIER_SIGMAS).sum()
