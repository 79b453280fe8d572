"""First motion from the learned prior: what it expects of the clip, and how sure it is."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.model import Body
from closefit.fit.prior_clip import clip_times, frame_times, pose_of, rays_at
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.prior.expectation import expected_motion
from closefit.prior.network import Denoiser
from closefit.prior.sampling import ClipSampler, mean_pose
from closefit.prior.state import PairPose
from closefit.prior.timing import pose_at

EXPECTING = 2
"""Answers that are averaged into the expected motion; they hardly differ."""

LEAST_SIGMA_RAD = 0.1
"""Samples agree where the prior is sure of itself; it is never surer than this."""


@dataclass(frozen=True, eq=False)
class PriorStart:
    """What the prior says about a clip.

    Attributes:
        expected: The expected motion, which is nearer to the truth than samples are.
        sigma_rad: How far samples lie about the expected motion, per joint.
    """

    expected: PairPose
    sigma_rad: Float[Tensor, "frame person 24"]


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """Poses of the clip's two people from another source: lifted keypoints, or another tool.

    Attributes:
        variables: Motion in the clip's frames.
        covered: Where the estimate is worth something; elsewhere `variables` may hold anything.
    """

    variables: MotionVariables
    covered: Bool[Tensor, "frame person"]


def sample_start(
    network: Denoiser,
    body: Body,
    targets: KeypointTargets,
    samples: int,
    seed: int,
    estimate: PoseEstimate | None = None,
) -> PriorStart:
    """Ask the prior for the motion of the clip, and how sure it is of every joint.

    Args:
        network: Trained prior, on the device of `targets`.
        body: Body that the motion is for; with another body than the prior's, shapes are dropped.
        targets: Observed keypoints, at any frame rate.
        samples: Number of motions whose spread tells how sure it is.
        seed: Same seed, same motions.
        estimate: Poses to begin with, of which the prior makes a pair.
    """
    times = clip_times(targets.num_frames, targets.fps)
    where = frame_times(targets.num_frames, len(times))
    rays = rays_at(targets, times)
    sampler = ClipSampler(network, rays)
    generator = torch.Generator().manual_seed(seed)
    expected = pose_at(expected_motion(network, rays, EXPECTING, seed), where)
    if estimate is None:
        drawn = _each_at(sampler.sample(samples, generator), where)
    else:
        begin = filled(pose_of(estimate.variables), expected, estimate.covered)
        drawn = _each_at(sampler.sample(samples, generator, start=pose_at(begin, times)), where)
        expected = mean_pose(drawn)
    if body.name != "closefit":
        expected = dataclasses.replace(expected, betas=torch.zeros_like(expected.betas))
    # Half the squared chord between two rotations is their squared angle, for small angles.
    spread = torch.stack(
        [0.5 * (one - expected.rotations).square().sum((-2, -1)) for one in drawn.rotations]
    ).mean(0)
    return PriorStart(expected, (spread + LEAST_SIGMA_RAD**2).sqrt())


def _each_at(drawn: PairPose, times: Float[Tensor, " time"]) -> PairPose:
    """`pose_at` of every sample (the first axis), one after the other: a clip may be long."""
    columns = zip(drawn.rotations, drawn.betas, drawn.pelvis_m, strict=True)
    return PairPose.stacked([pose_at(PairPose(*column), times) for column in columns])


def filled(pose: PairPose, other: PairPose, covered: Bool[Tensor, "frame person"]) -> PairPose:
    """`pose` where it is worth something, `other` elsewhere."""

    def choose(mine: Tensor, theirs: Tensor) -> Tensor:
        return torch.where(covered.reshape(*covered.shape, *[1] * (mine.ndim - 2)), mine, theirs)

    return PairPose(
        choose(pose.rotations, other.rotations),
        choose(pose.betas, other.betas),
        choose(pose.pelvis_m, other.pelvis_m),
    )
