"""Starts the fit of a clip from the learned prior instead of lifting the keypoints.

The prior says how the people move. Where exactly they stand, how tall they are and where the floor
is, the fit finds with the keypoints; it stays as near the prior's poses as the prior is sure of
them.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from closefit.body.model import Body
from closefit.body.pose_prior import PosePrior
from closefit.fitting.clip_fit import ClipFit, fit_clip
from closefit.fitting.from_estimate import start_from_estimate
from closefit.fitting.motion_objective import MotionWeights
from closefit.fitting.prior_start import PoseEstimate, PriorStart, sample_start, variables_of
from closefit.fitting.reference import ReferenceObjective
from closefit.fitting.targets import KeypointTargets
from closefit.fitting.variables import MotionVariables
from closefit.prior.network import Denoiser
from closefit.prior.state import PairPose
from closefit.records import PersonEstimates

OUTLIER_SIGMAS = 4.0

KEYPOINTS, FLOOR, UPRIGHT = 12.0, 0.5, 0.2
"""Weights of these terms after the prior has spoken: keypoints and poses say where people are, and
people who lie, kneel or are lifted neither stand on the floor nor are upright."""


@dataclass(frozen=True, kw_only=True)
class PriorFit:
    """How the prior is used.

    Attributes:
        samples: Motions drawn.
        steps: Steps of the fit that follows.
        trust: Weight of the prior's poses (a log likelihood counted once is 1).
        pose: Weight of the authored pose ranges, which then only mark what joints cannot do.
        seed: Seed of the samples.
        choice: Which motion the fit starts from: the sample that agrees best with the keypoints, or
            the mean of all.
    """

    samples: int = 8
    steps: int = 300
    trust: float = 10.0
    pose: float = 0.1
    seed: int = 0
    choice: Literal["best", "mean"] = "mean"


def fit_from_prior(
    body: Body,
    targets: KeypointTargets,
    ranges: PosePrior,
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
    start = sample_start(network, body, targets, settings.samples, settings.seed)
    chosen = sample_of(start, settings.choice)
    objective = _near(body, targets, ranges, settings, start)
    return fit_clip(objective, targets, chosen, settings.steps, on_step)


def sample_of(start: PriorStart, choice: Literal["best", "mean"]) -> MotionVariables:
    """The sample that agrees best with the keypoints, or the mean of all."""
    if choice == "mean":
        return variables_of(start.mean, start.mean.betas[0])
    drawn, best = start.drawn, start.best
    pose = PairPose(drawn.rotations[best], drawn.betas[best], drawn.pelvis_m[best])
    return variables_of(pose, pose.betas[0])


def _near(
    body: Body,
    targets: KeypointTargets,
    ranges: PosePrior,
    settings: PriorFit,
    start: PriorStart,
) -> ReferenceObjective:
    """The terms of a clip fit, and one that keeps poses near the samples' mean."""
    return ReferenceObjective(
        body,
        ranges,
        targets.set_name,
        weights_with_prior(settings.pose, KEYPOINTS),
        start.mean.rotations,
        start.sigma_rad,
        torch.full_like(start.sigma_rad, settings.trust),
        OUTLIER_SIGMAS,
    )


def weights_with_prior(pose: float, keypoints: float) -> MotionWeights:
    """Weights of the motion terms for a motion that the prior began."""
    return MotionWeights(pose=pose, keypoints=keypoints, floor=FLOOR, upright=UPRIGHT)


def complete_estimate(
    body: Body,
    targets: KeypointTargets,
    network: Denoiser,
    settings: PriorFit,
    estimates: PersonEstimates,
) -> PersonEstimates:
    """Let the prior say how people move whom, or in frames which, another tool has lost.

    Its samples begin with the tool's poses, so that what they add fits to these.
    """
    device = targets.K.device
    known = torch.as_tensor(estimates.known, device=device)
    begin = PoseEstimate(start_from_estimate(body, targets, estimates), known)
    start = sample_start(network, body, targets, settings.samples, settings.seed, begin)
    rotations = torch.as_tensor(estimates.rotations, device=device).float()
    completed = torch.where(known[..., None, None, None], rotations, start.mean.rotations)
    place = np.where(
        estimates.known[..., None], estimates.transl_m, start.mean.pelvis_m.cpu().numpy()
    )
    return dataclasses.replace(
        estimates,
        rotations=completed.cpu().numpy(),
        transl_m=place.astype(np.float32),
        known=np.ones_like(estimates.known),
    )
