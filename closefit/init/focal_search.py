"""The focal length of a clip whose camera is unknown: the one at which the two fit best.

A wide lens near the people shows the one in front larger and the floor steeper than a long lens far
away. So the energy of the fit tells the focal length, roughly: its minimum was off by a factor of
1.2 on the rendered clips (docs/experiments.md).
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.fit.targets import KeypointTargets
from closefit.geometry.camera import focal_from_fov
from closefit.init.from_prior import PriorFit, fit_near
from closefit.init.prior_start import sample_start
from closefit.prior.network import Denoiser

FIELDS_DEG = (38.0, 50.0, 62.0, 76.0, 92.0)
"""Diagonal fields of view that are compared."""

MOST_FRAMES, STEPS, SAMPLES = 24, 60, 2
"""Of each fit. 36 frames and 100 steps have their minima at the same places."""

USUAL_DEG, USUAL_LOG_SIGMA = 60.0, 0.3
"""Lenses of videos, before anything is seen: a phone has 65 to 75 degrees, a film lens 45."""


@dataclass(frozen=True)
class FocalEstimate:
    """A focal length and what is known of it.

    Attributes:
        focal_px: In pixels.
        log_sigma: Standard deviation of its logarithm: about the share by which it may be off.
    """

    focal_px: float
    log_sigma: float


def search_focal(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    network: Denoiser,
    settings: PriorFit,
    size_wh: tuple[int, int],
    on_step: Callable[[int, int], None],
) -> FocalEstimate:
    """Fit some frames of the clip at several focal lengths, and weigh them by how well they fit.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints, with any focal length.
        limits: Joint limits.
        network: Trained prior on the same device.
        settings: How to use it; samples and steps are this module's own.
        size_wh: Size of the video.
        on_step: Called with (steps done, steps in all).
    """
    settings = dataclasses.replace(settings, steps=STEPS, samples=SAMPLES)
    expected, sigma_rad = sample_start(network, body, targets, SAMPLES, settings.seed)
    stride = -(-targets.num_frames // MOST_FRAMES)
    frames = torch.arange(0, targets.num_frames, stride, device=targets.K.device)
    some = dataclasses.replace(targets.cut(frames), fps=targets.fps / stride, silhouettes=None)
    expected, sigma_rad = expected.map(lambda values: values[frames]), sigma_rad[frames]
    assumed_px = float(targets.K[0, 0, 0])
    energies = []
    for number, fov_deg in enumerate(FIELDS_DEG):
        ratio = focal_from_fov(*size_wh, fov_deg) / assumed_px

        def count(done: int, _: int, before: int = number * STEPS) -> None:
            on_step(before + done, len(FIELDS_DEG) * STEPS)

        fit = fit_near(
            body, with_focal(some, ratio), limits, settings, farther(expected, ratio), sigma_rad,
            count,
        )  # fmt: skip
        energies.append(fit.energy)
    return most_plausible(size_wh, np.array(energies))


def most_plausible(
    size_wh: tuple[int, int], energies: Float[np.ndarray, " field"]
) -> FocalEstimate:
    """Weigh the focal lengths of `FIELDS_DEG` by the energies of their fits and by usual lenses.

    A clip counts as one observation, however long: energies are means over frames, and errors of
    keypoints and of the prior's poses last.
    """
    tried = np.log([focal_from_fov(*size_wh, fov_deg) for fov_deg in FIELDS_DEG])[::-1]
    log_focal = np.linspace(tried[0], tried[-1], 401)
    usual = math.log(focal_from_fov(*size_wh, USUAL_DEG))
    cost = 0.5 * ((log_focal - usual) / USUAL_LOG_SIGMA) ** 2
    if np.isfinite(energies).all():  # a fit that diverges tells nothing
        cost += CubicSpline(tried, energies[::-1])(log_focal)
    weight = np.exp(cost.min() - cost)
    weight /= weight.sum()
    mean = float(weight @ log_focal)
    return FocalEstimate(math.exp(mean), math.sqrt(float(weight @ (log_focal - mean) ** 2)))


def with_focal(targets: KeypointTargets, ratio: float) -> KeypointTargets:
    """The same observations through a lens whose focal length is `ratio` times as long."""
    K = targets.K.clone()
    K[:, (0, 1), (0, 1)] *= ratio
    return dataclasses.replace(targets, K=K)


def farther(pose: PairPose, ratio: float) -> PairPose:
    """The same people, as far away as a lens `ratio` times as long shows them equally large."""
    pelvis_m = pose.pelvis_m * torch.tensor([1.0, 1.0, ratio], device=pose.pelvis_m.device)
    return dataclasses.replace(pose, pelvis_m=pelvis_m)
