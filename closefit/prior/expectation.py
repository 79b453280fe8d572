"""The motion that the prior expects of a clip: one answer instead of samples."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KEYPOINT_SETS
from closefit.body.mirroring import mirrored_pose
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.conditions import KEYPOINT_SET
from closefit.prior.diffusion import SAMPLING_LEVELS
from closefit.prior.network import WINDOW, Denoiser
from closefit.prior.sampling import ClipSampler, mean_pose
from closefit.prior.state import PairPose
from closefit.prior.timing import pose_at

STRIDE = WINDOW // 4
"""Every frame is in four windows: what a window's middle says is better than what its ends say."""

PACES = (2, 3)
"""Half a second says little about someone who is hidden for longer: with every second or third
frame only, a window spans as many times the time. Training speeds motion up nearly as much."""

MOSTLY_SEEN, MOSTLY_HIDDEN = 0.65, 0.35
"""Shares of known keypoints from which on the longer view counts not at all, and alone."""


def expected_motion(
    network: Denoiser, rays: Float[Tensor, "frame 2 17 3"], answers: int, seed: int
) -> PairPose:
    """Expect a motion (`frame person`, camera axes): what the network says of noise in one step.

    Trained to the least squared error, it says the mean of all motions that fit, which is nearer
    to the truth than any sample, though less lively. Poses of people who are mostly hidden are
    what it says of a longer stretch of time. The clip and its mirror image are asked with
    the same noise, so that the mirrored clip has exactly the mirrored motion.

    Args:
        network: Trained network.
        rays: Observed keypoints (x/z, y/z, confidence), COCO order; confidence 0: unknown.
        answers: Answers that are averaged, of the clip and of its mirror image.
        seed: Seed of the noise.
    """
    native = _answer(network, rays, answers, seed)
    known = (rays[..., 2] > 0).float().mean(-1)
    hidden = ((MOSTLY_SEEN - known) / (MOSTLY_SEEN - MOSTLY_HIDDEN)).clamp(0.0, 1.0)
    paces = [pace for pace in PACES if pace <= len(rays)]
    if not paces or not bool(hidden.any()):
        return native
    longer = [
        [_answer_at(network, rays, first, pace, answers, seed) for first in range(pace)]
        for pace in paces
    ]
    far = mean_pose(PairPose.stacked([mean_pose(PairPose.stacked(poses)) for poses in longer]))
    pose_6d = torch.lerp(
        matrix_to_6d(native.rotations), matrix_to_6d(far.rotations), hidden[..., None, None]
    )
    return dataclasses.replace(native, rotations=matrix_from_6d(pose_6d))


def _answer_at(
    network: Denoiser,
    rays: Float[Tensor, "frame 2 17 3"],
    first: int,
    pace: int,
    answers: int,
    seed: int,
) -> PairPose:
    """What is expected if only every `pace`th frame is seen, from the `first` on, in all frames."""
    answer = _answer(network, rays[first::pace], answers, seed)
    times = (torch.arange(len(rays)) - first) / pace
    return pose_at(answer, times.clamp(0.0, answer.pelvis_m.shape[0] - 1.0).to(rays))


def _answer(
    network: Denoiser, rays: Float[Tensor, "frame 2 17 3"], answers: int, seed: int
) -> PairPose:
    """Mean answer for a clip and its mirror image."""

    def answered(seen: Float[Tensor, "frame 2 17 3"]) -> PairPose:
        sampler = ClipSampler(network, seen, stride=STRIDE)
        generator = torch.Generator().manual_seed(seed)
        return mean_pose(sampler.sample(answers, generator, levels=SAMPLING_LEVELS[:1]))

    return mean_pose(
        PairPose.stacked([answered(rays), mirrored_people(answered(mirrored_rays(rays)))])
    )


def mirrored_rays(rays: Float[Tensor, "frame 2 17 3"]) -> Float[Tensor, "frame 2 17 3"]:
    """Keypoints of the clip seen in a mirror: left and right change places."""
    swapped = rays[:, :, list(KEYPOINT_SETS[KEYPOINT_SET].swap)]
    return swapped * rays.new_tensor([-1.0, 1.0, 1.0])


def mirrored_people(pose: PairPose) -> PairPose:
    """People seen in a mirror, in camera axes."""
    return PairPose(
        rotations=mirrored_pose(pose.rotations),
        betas=pose.betas,
        pelvis_m=pose.pelvis_m * pose.pelvis_m.new_tensor([-1.0, 1.0, 1.0]),
    )
