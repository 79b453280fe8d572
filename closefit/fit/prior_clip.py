"""A clip as the diffusion prior takes it: its frame rate, keypoints and poses; and the way back."""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KEYPOINT_SETS
from closefit.body.pose import PairPose
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.conditions import KEYPOINT_SET
from closefit.prior.objective import FPS
from closefit.prior.timing import between
from closefit.prior.view import normalised_keypoints

SAME_RATE = 0.02
"""Frame rates that differ by less than this share count as the prior's own."""


def clip_times(num_frames: int, fps: float) -> Float[Tensor, " sampled"]:
    """Frame numbers, with fractions, of a clip's frames at the prior's rate."""
    if abs(fps / FPS - 1.0) < SAME_RATE or num_frames == 1:
        return torch.arange(num_frames, dtype=torch.float32)
    count = round((num_frames - 1) / fps * FPS) + 1
    return torch.linspace(0.0, num_frames - 1.0, max(count, 2))


def keypoints_at(
    targets: KeypointTargets, times: Float[Tensor, " sampled"]
) -> Float[Tensor, "sampled 2 17 3"]:
    """Normalised keypoints in the prior's order, interpolated between frames.

    A keypoint that is known in only one of two frames is taken from that frame.
    """
    names = KEYPOINT_SETS[targets.set_name].names
    prior_names = KEYPOINT_SETS[KEYPOINT_SET].names
    # Keypoints that the set lacks, such as the face, are unknown.
    order = [names.index(name) if name in names else -1 for name in prior_names]
    pixels = torch.cat([targets.points_px, targets.weight[..., None]], -1)
    normalised = normalised_keypoints(pixels, targets.K)
    normalised = torch.nn.functional.pad(normalised, (0, 0, 0, 1))[:, :, order]
    below, above, share = between(times, targets.num_frames)
    share = share[:, None, None].to(normalised)
    first, second = normalised[below], normalised[above]
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
