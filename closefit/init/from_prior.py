"""The initial motion from the diffusion prior.

The prior determines how the people move. The fit that follows determines where they stand, how tall
they are and where the floor is, from the keypoints; it stays as near the prior's poses as their
spread over several samples allows.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.fit.objective import MotionObjective, PosedPeople, motion_terms
from closefit.fit.prior_clip import pose_of, variables_of
from closefit.fit.targets import KeypointTargets
from closefit.fit.terms import Term
from closefit.fit.weights import (
    ESTIMATE_SHARE,
    PRIOR_KEYPOINTS,
    REFERENCE_OUTLIER_SIGMAS,
    MotionWeights,
)
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.init.clip_fit import ClipFit, fit_clip
from closefit.init.from_estimate import implied_statures, start_from_estimate
from closefit.init.near_reference import pose_term, relative_translation_loss, stature_term
from closefit.init.prior_start import sample_start
from closefit.prior.network import Denoiser
from closefit.records import PersonEstimates


@dataclass(frozen=True, kw_only=True)
class PriorFit:
    """How the prior is used.

    Attributes:
        samples: Motions drawn; their spread is the uncertainty of the prior.
        steps: Steps of the fit that follows.
        trust: Weight of the prior's poses.
        pose: Weight of the joint limits.
        keypoints: Weight of the keypoints.
        seed: Seed of the samples.
        one_sample: Begin with a sample instead of the expected motion.
    """

    samples: int = 8
    steps: int = 300
    trust: float = 10.0
    pose: float = 0.1
    keypoints: float = PRIOR_KEYPOINTS
    seed: int = 0
    one_sample: bool = False


def fit_from_prior(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    network: Denoiser,
    settings: PriorFit,
    on_step: Callable[[int, int], None],
) -> ClipFit:
    """Sample the prior, then place both people metrically on one floor.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints.
        limits: Joint limits.
        network: Trained prior on the same device.
        settings: How to use it.
        on_step: Called with (steps done, steps in all).
    """
    drawn = settings.samples, settings.seed
    expected, sigma_rad = sample_start(
        network, body, targets, *drawn, one_sample=settings.one_sample
    )
    return fit_near(body, targets, limits, settings, expected, sigma_rad, on_step)


def fit_pair(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    network: Denoiser,
    settings: PriorFit,
    estimates: PersonEstimates,
    on_step: Callable[[int, int], None],
) -> ClipFit:
    """Turn another tool's separate people into a pair, and place both on one floor.

    The prior refines the tool's poses. The fit stays near the mean of both, and near the prior's
    alone in frames that the tool lacks.

    Args:
        body: As in `fit_from_prior`, like the other arguments.
        targets: Observed keypoints.
        limits: Joint limits.
        network: Trained prior.
        settings: How to use it.
        estimates: Persons 0 and 1 in the frames of `targets`, relative to its camera.
        on_step: Called with (steps done, steps in all).
    """
    device = targets.K.device
    known = torch.as_tensor(estimates.known, device=device)
    begin = start_from_estimate(body, targets, estimates)
    expected, sigma_rad = sample_start(
        network, body, targets, settings.samples, settings.seed, (pose_of(begin), known)
    )
    share = ESTIMATE_SHARE * known[..., None, None, None].repeat(1, 1, 24, 1, 1)
    if not estimates.has_camera:
        share[:, :, 0] = 0.0  # the camera's heading is only a rough estimate
    rotations = torch.as_tensor(estimates.rotations, device=device).float()
    mixed = matrix_from_6d(matrix_to_6d(torch.lerp(expected.rotations, rotations, share)))
    expected = dataclasses.replace(expected, rotations=mixed)
    statures = stature_term(implied_statures(body, begin, estimates))
    return fit_near(body, targets, limits, settings, expected, sigma_rad, on_step, statures)


def fit_near(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    settings: PriorFit,
    expected: PairPose,
    sigma_rad: Float[Tensor, "frame person 24"],
    on_step: Callable[[int, int], None],
    *more: Term[PosedPeople],
) -> ClipFit:
    """Fit the clip from `expected`, near its poses and relative translations."""
    hidden = hidden_share(targets)
    outlier = REFERENCE_OUTLIER_SIGMAS
    trust = torch.full_like(sigma_rad, settings.trust)
    terms = [
        *motion_terms(
            body, limits, MotionWeights.with_prior(pose=settings.pose, keypoints=settings.keypoints)
        ),
        pose_term(expected.rotations, sigma_rad, trust, outlier),
        *more,
        Term(
            "relative translation",
            1.0,
            lambda p: relative_translation_loss(
                p.motion.pelvis(), expected.pelvis_m, hidden, outlier
            ),
        ),
    ]
    objective = MotionObjective(body, targets.set_name, terms)
    begin = variables_of(expected, expected.betas[0])
    return fit_clip(objective, targets, begin, settings.steps, on_step)


def hidden_share(targets: KeypointTargets) -> Float[Tensor, " frame"]:
    """How many keypoints the less visible person lacks of half of all, which would place them.

    0 with half the keypoints or more, 1 with none.
    """
    known = (targets.weight > 0).float().mean(-1).amin(-1)
    return (1.0 - 2.0 * known).clamp_min(0.0)
