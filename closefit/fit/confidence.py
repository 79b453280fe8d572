"""How much each pose can be trusted: an expected joint error from what is known without a truth.

Two things tell where a pose is bad: the fit does not reach the keypoints (they contradict each
other, or the image), and there are few keypoints. Both count over a moment around the frame,
because a pose leans on its neighbours in time. The line from there to millimetres was fitted to
clips with exact truth (`benchmarks/confidence.py` repeats it and says how well it holds).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KEYPOINT_SETS
from closefit.fit.targets import KeypointTargets

OUTLIER_SIGMAS = 3.0
"""A keypoint further off than this, in units of its expected noise, says no more than one there."""

MOMENT_S = 0.17
"""Standard deviation of the window over time."""

UNSEEN_KEYPOINTS = 0.5
"""Where nothing was seen the fit counts as off by `OUTLIER_SIGMAS`, as if by so many keypoints."""

LEAST_ERROR_MM, ERROR_PER_SIGMA_MM, ERROR_PER_MISSING_MM = 24.0, 30.0, 60.0
"""Expected error of a pose that meets all keypoints; more per sigma that it misses them by; more
where all are missing."""

CERTAIN_MM, WORTHLESS_MM = 30.0, 130.0
"""Expected errors that stand for a confidence of 1 and of 0; between them it is linear."""

FACE = ("nose", "eye", "ear", "mouth", "face")


def pose_confidence(
    projected_px: Float[Tensor, "frame person keypoint 2"], targets: KeypointTargets
) -> Float[Tensor, "frame person"]:
    """Confidence of each pose, 0 to 1: `error_of_confidence` says what it promises.

    Args:
        projected_px: Keypoints of the fitted bodies.
        targets: What was detected.
    """
    span = WORTHLESS_MM - CERTAIN_MM
    return ((WORTHLESS_MM - expected_error_mm(projected_px, targets)) / span).clamp(0.0, 1.0)


def error_of_confidence(confidence: float) -> float:
    """Joint error (mm, hips aligned) to expect of poses of this confidence: 80 for 0.5."""
    return WORTHLESS_MM - (WORTHLESS_MM - CERTAIN_MM) * confidence


def expected_error_mm(
    projected_px: Float[Tensor, "frame person keypoint 2"], targets: KeypointTargets
) -> Float[Tensor, "frame person"]:
    """Joint error to expect of each pose, in millimetres."""
    missed, absent = doubts(projected_px, targets)
    return LEAST_ERROR_MM + ERROR_PER_SIGMA_MM * missed + ERROR_PER_MISSING_MM * absent


def doubts(
    projected_px: Float[Tensor, "frame person keypoint 2"], targets: KeypointTargets
) -> tuple[Float[Tensor, "frame person"], Float[Tensor, "frame person"]]:
    """Return what speaks against each pose, over the moment around it.

    Returns:
        Mean distance to the detected keypoints, in sigmas, and the share of those not detected.
    """
    names = KEYPOINT_SETS[targets.set_name].names
    used = [i for i, name in enumerate(names) if not any(part in name for part in FACE)]
    offset_px = (projected_px - targets.points_px)[:, :, used].norm(dim=-1)
    sigmas = (offset_px / targets.sigma_px[..., None]).clamp_max(OUTLIER_SIGMAS)
    seen = (targets.weight[:, :, used] > 0).to(sigmas)
    # A pose that is no number is worth nothing.
    sigmas = sigmas.nan_to_num(OUTLIER_SIGMAS)
    total = _over_moment((seen * sigmas).sum(-1), targets.fps)
    count = _over_moment(seen.sum(-1), targets.fps)
    missed = (total + UNSEEN_KEYPOINTS * OUTLIER_SIGMAS) / (count + UNSEEN_KEYPOINTS)
    return missed, 1.0 - count / len(used)


def _over_moment(
    values: Float[Tensor, "frame person"], fps: float
) -> Float[Tensor, "frame person"]:
    """Mean over a bell-shaped window; beyond the ends of the clip there is nothing."""
    sigma = MOMENT_S * fps
    reach = math.ceil(3.0 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype)
    window = torch.exp(-0.5 * (offsets / sigma).square())[None, None]

    def summed(rows: Float[Tensor, "person frame"]) -> Float[Tensor, "person frame"]:
        return torch.nn.functional.conv1d(rows[:, None], window, padding=reach)[:, 0]

    weight = summed(torch.ones_like(values.T))
    return (summed(values.T) / weight).T
