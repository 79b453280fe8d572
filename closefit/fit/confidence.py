"""Confidence of each pose, as an expected joint error.

Two quantities indicate a bad pose: distance to the keypoints, which contradict each other or the
image, and a lack of keypoints. Both are averaged over a moment around the frame, as a pose depends
on its neighbours in time. Their linear combination in millimetres was fitted to clips with exact
truth (`benchmarks/confidence.py` repeats it and measures how well it holds).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KEYPOINT_SETS
from closefit.fit.targets import KeypointTargets

OUTLIER_SIGMAS = 3.0
"""Distances to keypoints are truncated here, in units of the expected noise."""

MOMENT_S = 0.17
"""Standard deviation of the window over time."""

UNSEEN_KEYPOINTS = 0.5
"""Number of imaginary keypoints at a distance of `OUTLIER_SIGMAS`, for frames without any."""

LEAST_ERROR_MM, ERROR_PER_SIGMA_MM, ERROR_PER_MISSING_MM = 24.0, 30.0, 60.0
"""Expected error of a pose that meets all keypoints; more per sigma of distance; more where all
keypoints are missing."""

CERTAIN_MM, WORTHLESS_MM = 30.0, 130.0
"""Expected errors at a confidence of 1 and of 0; between them it is linear."""

FACE = ("nose", "eye", "ear", "mouth", "face")


def pose_confidence(
    projected_px: Float[Tensor, "frame person keypoint 2"], targets: KeypointTargets
) -> Float[Tensor, "frame person"]:
    """Confidence of each pose, 0 to 1; `error_of_confidence` converts it to millimetres.

    Args:
        projected_px: Keypoints of the fitted bodies.
        targets: Detected keypoints.
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
    """Indicators of a bad pose, over the moment around it.

    Returns:
        Mean distance to the detected keypoints, in sigmas, and the share of those not detected.
    """
    names = KEYPOINT_SETS[targets.set_name].names
    used = [i for i, name in enumerate(names) if not any(part in name for part in FACE)]
    offset_px = (projected_px - targets.points_px)[:, :, used].norm(dim=-1)
    sigmas = (offset_px / targets.sigma_px[..., None]).clamp_max(OUTLIER_SIGMAS)
    seen = (targets.weight[:, :, used] > 0).to(sigmas)
    sigmas = sigmas.nan_to_num(OUTLIER_SIGMAS)
    total = _over_moment((seen * sigmas).sum(-1), targets.fps)
    count = _over_moment(seen.sum(-1), targets.fps)
    missed = (total + UNSEEN_KEYPOINTS * OUTLIER_SIGMAS) / (count + UNSEEN_KEYPOINTS)
    return missed, 1.0 - count / len(used)


def _over_moment(
    values: Float[Tensor, "frame person"], fps: float
) -> Float[Tensor, "frame person"]:
    """Mean over a Gaussian window, cut off at the ends of the clip."""
    sigma = MOMENT_S * fps
    reach = math.ceil(3.0 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype)
    window = torch.exp(-0.5 * (offsets / sigma).square())[None, None]
    rows = torch.stack([values.T, torch.ones_like(values.T)])[:, :, None]
    summed, weight = (
        torch.nn.functional.conv1d(part, window, padding=reach)[:, 0] for part in rows
    )
    return (summed / weight).T
