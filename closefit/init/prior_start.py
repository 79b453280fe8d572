"""First motion from the learned prior: what it expects of the clip, and how sure it is."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.keypoints import KEYPOINT_SETS
from closefit.body.model import Body
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.conditions import KEYPOINT_SET
from closefit.prior.expectation import expected_motion
from closefit.prior.network import Denoiser
from closefit.prior.objective import FPS
from closefit.prior.sampling import ClipSampler, mean_pose
from closefit.prior.state import PairPose
from closefit.prior.timing import between, pose_at
from closefit.prior.view import rays_from_pixels

SAME_RATE = 0.02
"""Frame rates that differ by less than this share count as the prior's own."""

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


def clip_times(num_frames: int, fps: float) -> Float[Tensor, " sampled"]:
    """Frame numbers, with fractions, of a clip's frames at the prior's rate."""
    if abs(fps / FPS - 1.0) < SAME_RATE or num_frames == 1:
        return torch.arange(num_frames, dtype=torch.float32)
    count = round((num_frames - 1) / fps * FPS) + 1
    return torch.linspace(0.0, num_frames - 1.0, max(count, 2))


def rays_at(
    targets: KeypointTargets, times: Float[Tensor, " sampled"]
) -> Float[Tensor, "sampled 2 17 3"]:
    """Keypoint rays in the prior's order, between frames where need be.

    Between two frames a keypoint is as sure as the surer of those that know it.
    """
    names = KEYPOINT_SETS[targets.set_name].names
    wanted = KEYPOINT_SETS[KEYPOINT_SET].names
    # A set without the face still says most of what matters.
    order = [names.index(name) if name in names else -1 for name in wanted]
    pixels = torch.cat([targets.points_px, targets.weight[..., None]], -1)
    rays = rays_from_pixels(pixels, targets.K)
    rays = torch.nn.functional.pad(rays, (0, 0, 0, 1))[:, :, order]
    below, above, share = between(times, targets.num_frames)
    share = share[:, None, None].to(rays)
    first, second = rays[below], rays[above]
    weights = torch.stack([(1 - share) * (first[..., 2] > 0), share * (second[..., 2] > 0)])
    total = weights.sum(0)
    mixed = (first * weights[0, ..., None] + second * weights[1, ..., None]) / total.clamp_min(
        1e-6
    )[..., None]
    return torch.where(total[..., None] > 0, mixed, 0.0)


def frame_times(num_frames: int, num_sampled: int) -> Float[Tensor, " frame"]:
    """Where the frames of a clip lie among its frames at the prior's rate; inverts `clip_times`."""
    return torch.linspace(0.0, num_sampled - 1.0, num_frames)


def pose_of(motion: MotionVariables) -> PairPose:
    """Fit variables of a clip as people in camera axes."""
    return PairPose(
        rotations=matrix_from_6d(motion.pose_6d),
        betas=motion.betas.expand(motion.pose_6d.shape[0], 2, 10),
        pelvis_m=motion.pelvis(),
    )


def variables_of(pose: PairPose, betas: Float[Tensor, "person 10"]) -> MotionVariables:
    """People in camera axes as fit variables of a clip; inverts `pose_of`."""
    depth = pose.pelvis_m[..., 2].clamp_min(0.3)
    return MotionVariables(
        pose_6d=matrix_to_6d(pose.rotations),
        pelvis_ray=pose.pelvis_m[..., :2] / depth[..., None],
        log_depth=depth.log(),
        betas=betas,
    )
