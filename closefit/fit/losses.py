"""Loss terms of fitting and optimisation: one pure function per term, inputs explicit.

Every function returns a scalar that does not grow with the number of frames (means over frames,
sums over what one frame holds), so weights keep their meaning for clips of any length.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import JOINT_INDEX
from closefit.geometry.robust import robust_square

PELVIS, NECK = JOINT_INDEX["pelvis"], JOINT_INDEX["neck"]


def reprojection_loss(
    projected_px: Float[Tensor, "*hypothesis frame person keypoint 2"],
    observed_px: Float[Tensor, "frame person keypoint 2"],
    weight: Float[Tensor, "frame person keypoint"],
    sigma_px: Float[Tensor, "frame person"],
    outlier_sigmas: float = 4.0,
) -> Float[Tensor, "*hypothesis frame person"]:
    """Confidence-weighted robust keypoint error (paper Eq. 4), per frame and person.

    Errors are in units of `sigma_px`, the expected keypoint noise, which scales with the person's
    size in the image; beyond `outlier_sigmas` an error stops pulling.
    """
    squared = ((projected_px - observed_px) / sigma_px[..., None, None]).square().sum(-1)
    return 0.5 * (weight * robust_square(squared, outlier_sigmas)).sum(-1)


def smoothness_loss(
    joints: Float[Tensor, "frame person joint 3"], fps: float, sigma_m_s2: float
) -> Float[Tensor, ""]:
    """Squared joint acceleration in units of `sigma_m_s2`, mean over frames and joints.

    The paper's Eq. 8 penalises velocity; penalising acceleration leaves steady motion alone.
    """
    if joints.shape[0] < 3:
        return joints.new_zeros(())
    acceleration = (joints[2:] - 2.0 * joints[1:-1] + joints[:-2]) * fps**2
    return 0.5 * (acceleration / sigma_m_s2).square().sum(-1).mean((0, 2)).sum()


def floor_loss(height_m: Float[Tensor, "frame person sole"], sigma_m: float) -> Float[Tensor, ""]:
    """Both people share one floor: each frame's lowest sole point lies on it, robustly.

    A jump or a lift is an outlier and stops pulling; a point below the floor never stops.

    Args:
        height_m: Height of foot joints over where they are when the foot stands on the floor.
        sigma_m: Expected deviation from a perfect floor.
    """
    lowest = height_m.min(-1).values / sigma_m
    return 0.5 * robust_square(lowest.square(), torch.where(lowest < 0, 30.0, 3.0)).mean(0).sum()


def shape_loss(
    betas: Float[Tensor, "person beta"],
    stature_m: Float[Tensor, " person"],
    mean_stature_m: float,
    stature_sigma_m: float,
) -> Float[Tensor, ""]:
    """Shapes are ordinary: body height near the adult mean, all else near the mean shape."""
    height = ((stature_m - mean_stature_m) / stature_sigma_m).square().sum()
    return 0.5 * (betas[:, 1:].square().sum() + height)


def scale_loss(
    stature_m: Float[Tensor, " person"], mean_stature_m: float, sigma: float
) -> Float[Tensor, ""]:
    """The people of a clip are on average as tall as people are; sets the scale of the scene.

    One camera hardly tells a small scene from a large one farther away; what perspective seems to
    tell is mostly errors of poses. `sigma` is a share of the mean height.
    """
    return 0.5 * ((stature_m.mean() / mean_stature_m).log() / sigma).square()


def upright_loss(
    joints: Float[Tensor, "frame person joint 3"],
    up: Float[Tensor, "3"],
    sigma_rad: float,
) -> Float[Tensor, ""]:
    """Over a clip, people's trunks point up on average; robust, since some never stand.

    Lean towards or away from the camera hardly changes keypoints, so it needs this term.
    """
    trunk = joints[:, :, NECK] - joints[:, :, PELVIS]
    mean = torch.nn.functional.normalize(trunk, dim=-1).mean(0)
    lean = (torch.nn.functional.normalize(mean, dim=-1) - up).square().sum(-1)
    return 0.5 * robust_square(lean / sigma_rad**2, 4.0).sum()
