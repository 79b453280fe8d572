"""Starts the fit of a clip from the learned prior instead of lifting the keypoints.

The prior says how the people move. Where exactly they stand, how tall they are and where the floor
is, the fit finds with the keypoints; it stays as near the prior's poses as the prior is sure of
them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from closefit.body.model import Body
from closefit.body.pose_prior import PosePrior
from closefit.fitting.clip_fit import ClipFit, fit_clip
from closefit.fitting.motion_objective import MotionWeights
from closefit.fitting.prior_start import PoseEstimate, sample_start
from closefit.fitting.reference import ReferenceObjective
from closefit.fitting.targets import KeypointTargets
from closefit.prior.network import Denoiser

OUTLIER_SIGMAS = 4.0


@dataclass(frozen=True, kw_only=True)
class PriorFit:
    """How the prior is used.

    Attributes:
        samples: Motions drawn.
        steps: Steps of the fit that follows.
        trust: Weight of the prior's poses (a log likelihood counted once is 1).
        pose: Weight of the authored pose ranges, which then only mark what joints cannot do.
        seed: Seed of the samples.
    """

    samples: int = 8
    steps: int = 150
    trust: float = 0.5
    pose: float = 0.1
    seed: int = 0


def fit_from_prior(
    body: Body,
    targets: KeypointTargets,
    ranges: PosePrior,
    network: Denoiser,
    settings: PriorFit,
    on_step: Callable[[int, int], None],
    estimate: PoseEstimate | None = None,
) -> ClipFit:
    """Sample the prior, then place both people metrically on one floor.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints.
        ranges: Authored pose ranges.
        network: Trained prior on the same device.
        settings: How to use it.
        on_step: Told (steps done, steps in all).
        estimate: Another tool's poses to begin with.
    """
    start = sample_start(network, body, targets, settings.samples, settings.seed, estimate)
    objective = ReferenceObjective(
        body,
        ranges,
        targets.set_name,
        MotionWeights(pose=settings.pose),
        start.rotations,
        start.sigma_rad,
        torch.full_like(start.sigma_rad, settings.trust),
        OUTLIER_SIGMAS,
    )
    return fit_clip(objective, targets, start.variables, settings.steps, on_step)
