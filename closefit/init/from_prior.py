"""Starts the fit of a clip from the learned prior instead of lifting the keypoints.

The prior says how the people move. Where exactly they stand, how tall they are and where the floor
is, the fit finds with the keypoints; it stays as near the prior's poses as the prior is sure of
them.
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
from closefit.fit.motion_objective import MotionWeights
from closefit.fit.prior_clip import pose_of, variables_of
from closefit.fit.targets import KeypointTargets
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.init.clip_fit import ClipFit, fit_clip
from closefit.init.from_estimate import implied_statures, start_from_estimate
from closefit.init.prior_start import sample_start
from closefit.init.reference import Apart, ReferenceObjective
from closefit.prior.network import Denoiser
from closefit.records import PersonEstimates

OUTLIER_SIGMAS = 4.0

KEYPOINTS, FLOOR, UPRIGHT = 12.0, 1.0, 0.2
"""Weights of these terms after the prior has spoken: keypoints and poses say where people are, and
people who lie, kneel or are lifted neither stand on the floor nor are upright."""

ESTIMATE_SHARE = 0.7
"""Weight of another tool's poses against what the prior makes of them."""


@dataclass(frozen=True, kw_only=True)
class PriorFit:
    """How the prior is used.

    Attributes:
        samples: Motions drawn, whose spread says how sure the prior is.
        steps: Steps of the fit that follows.
        trust: Weight of the prior's poses (a log likelihood counted once is 1).
        pose: Weight of the authored pose ranges, which then only mark what joints cannot do.
        seed: Seed of the samples.
    """

    samples: int = 8
    steps: int = 300
    trust: float = 10.0
    pose: float = 0.1
    seed: int = 0


def fit_from_prior(
    body: Body,
    targets: KeypointTargets,
    ranges: JointLimits,
    network: Denoiser,
    settings: PriorFit,
    on_step: Callable[[int, int], None],
) -> ClipFit:
    """Sample the prior, then place both people metrically on one floor.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints.
        ranges: Authored pose ranges.
        network: Trained prior on the same device.
        settings: How to use it.
        on_step: Told (steps done, steps in all).
    """
    expected, sigma_rad = sample_start(network, body, targets, settings.samples, settings.seed)
    return _fit_near(body, targets, ranges, settings, expected, sigma_rad, on_step)


def _fit_near(
    body: Body,
    targets: KeypointTargets,
    ranges: JointLimits,
    settings: PriorFit,
    expected: PairPose,
    sigma_rad: Float[Tensor, "frame person 24"],
    on_step: Callable[[int, int], None],
    statures: Float[Tensor, "person"] | None = None,
) -> ClipFit:
    """Fit the clip from `expected`, and stay near its poses and near heights that are known."""
    objective = ReferenceObjective(
        body,
        ranges,
        targets.set_name,
        weights_with_prior(settings.pose, KEYPOINTS),
        expected.rotations,
        sigma_rad,
        torch.full_like(sigma_rad, settings.trust),
        OUTLIER_SIGMAS,
        statures,
        Apart(expected.pelvis_m, hidden_share(targets)),
    )
    begin = variables_of(expected, expected.betas[0])
    return fit_clip(objective, targets, begin, settings.steps, on_step)


def hidden_share(targets: KeypointTargets) -> Float[Tensor, " frame"]:
    """How much the worse seen person lacks of half the keypoints, which would place them."""
    known = (targets.weight > 0).float().mean(-1).amin(-1)
    return (1.0 - 2.0 * known).clamp_min(0.0)


def weights_with_prior(pose: float, keypoints: float) -> MotionWeights:
    """Weights of the motion terms for a motion that the prior began."""
    return MotionWeights(pose=pose, keypoints=keypoints, floor=FLOOR, upright=UPRIGHT)


def fit_pair(
    body: Body,
    targets: KeypointTargets,
    ranges: JointLimits,
    network: Denoiser,
    settings: PriorFit,
    estimates: PersonEstimates,
    on_step: Callable[[int, int], None],
) -> ClipFit:
    """Make a pair of what another tool says of each person, and place both on one floor.

    The prior begins with the tool's poses and says how two people would move so; the fit stays near
    the tool's poses and the prior's, and near the prior's alone where the tool has lost somebody.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints.
        ranges: Authored pose ranges.
        network: Trained prior on the same device.
        settings: How to use it.
        estimates: Persons 0 and 1 in the frames of `targets`, relative to its camera.
        on_step: Told (steps done, steps in all).
    """
    device = targets.K.device
    known = torch.as_tensor(estimates.known, device=device)
    begin = start_from_estimate(body, targets, estimates)
    expected, sigma_rad = sample_start(
        network, body, targets, settings.samples, settings.seed, (pose_of(begin), known)
    )
    share = ESTIMATE_SHARE * known[..., None, None, None].repeat(1, 1, 24, 1, 1)
    if not estimates.has_camera:
        share[:, :, 0] = 0.0  # which way the camera looked was only searched roughly
    rotations = torch.as_tensor(estimates.rotations, device=device).float()
    mixed = matrix_from_6d(matrix_to_6d(torch.lerp(expected.rotations, rotations, share)))
    expected = dataclasses.replace(expected, rotations=mixed)
    statures = implied_statures(body, begin, estimates)
    return _fit_near(body, targets, ranges, settings, expected, sigma_rad, on_step, statures)
