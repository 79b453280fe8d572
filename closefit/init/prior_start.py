"""First motion from the diffusion prior: what it expects of the clip, and its spread."""

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.fit.prior_clip import clip_times, frame_times, keypoints_at
from closefit.fit.targets import KeypointTargets
from closefit.prior.expectation import expected_motion
from closefit.prior.network import Denoiser
from closefit.prior.sampling import ClipSampler
from closefit.prior.timing import pose_at

EXPECTING = 2
"""Predictions that are averaged into the expected motion; they hardly differ."""

LEAST_SIGMA_RAD = 0.1
"""Added to the spread of the samples, which agree where the prior is confident."""


def sample_start(
    network: Denoiser,
    body: Body,
    targets: KeypointTargets,
    samples: int,
    seed: int,
    estimate: tuple[PairPose, Bool[Tensor, "frame person"]] | None = None,
    *,
    one_sample: bool = False,
) -> tuple[PairPose, Float[Tensor, "frame person 24"]]:
    """Find the motion that the prior expects of a clip, and how uncertain each joint is.

    Args:
        network: Trained prior, on the device of `targets`.
        body: Body that the motion is for; with another body than the prior's, shapes are dropped.
        targets: Observed keypoints, at any frame rate.
        samples: Number of motions whose spread measures the uncertainty.
        seed: Same seed, same motions.
        estimate: Poses to begin with, in the clip's frames, and where they are valid.
        one_sample: Take the first sample for the expected motion, as the paper does.

    Returns:
        Expected motion, and the samples' deviation from it per joint, radians.
    """
    times = clip_times(targets.num_frames, targets.fps)
    where = frame_times(targets.num_frames, len(times))
    keypoints = keypoints_at(targets, times)
    sampler = ClipSampler(network, keypoints)
    generator = torch.Generator().manual_seed(seed)
    expected = pose_at(expected_motion(network, keypoints, EXPECTING, seed), where)
    if estimate is None:
        drawn = _each_at(sampler.sample(samples, generator), where)
    else:
        begin = estimate[0].where(estimate[1], expected)
        drawn = _each_at(sampler.sample(samples, generator, start=pose_at(begin, times)), where)
        expected = drawn.mean()
    if one_sample:
        expected = drawn.map(lambda values: values[0])
    if body.name != "closefit":
        expected = dataclasses.replace(expected, betas=torch.zeros_like(expected.betas))
    # Half the squared chord between two rotations is their squared angle, for small angles.
    spread = torch.stack(
        [0.5 * (one - expected.rotations).square().sum((-2, -1)) for one in drawn.rotations]
    ).mean(0)
    return expected, (spread + LEAST_SIGMA_RAD**2).sqrt()


def _each_at(drawn: PairPose, times: Float[Tensor, " time"]) -> PairPose:
    """`pose_at` of every sample (the first axis), one after the other: a clip may be long."""
    columns = zip(*drawn.tensors, strict=True)
    return PairPose.joined([pose_at(PairPose(*column), times) for column in columns])
