"""The motion that the prior expects of a clip: one answer instead of samples."""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KEYPOINT_SETS
from closefit.body.mirroring import mirrored_pose
from closefit.prior.conditions import KEYPOINT_SET
from closefit.prior.diffusion import SAMPLING_LEVELS
from closefit.prior.network import WINDOW, Denoiser
from closefit.prior.sampling import ClipSampler, mean_pose
from closefit.prior.state import PairPose

STRIDE = WINDOW // 4
"""Every frame is in four windows: what a window's middle says is better than what its ends say."""


def expected_motion(
    network: Denoiser, rays: Float[Tensor, "frame 2 17 3"], answers: int, seed: int
) -> PairPose:
    """Expect a motion (`frame person`, camera axes): what the network says of noise in one step.

    Trained to the least squared error, it says the mean of all motions that fit, which is nearer
    to the truth than any sample, though less lively. The clip and its mirror image are asked with
    the same noise, so that the mirrored clip has exactly the mirrored motion.

    Args:
        network: Trained network.
        rays: Observed keypoints (x/z, y/z, confidence), COCO order; confidence 0: unknown.
        answers: Answers that are averaged, of the clip and of its mirror image.
        seed: Seed of the noise.
    """

    def answered(seen: Float[Tensor, "frame 2 17 3"]) -> PairPose:
        sampler = ClipSampler(network, seen, stride=STRIDE)
        generator = torch.Generator().manual_seed(seed)
        return sampler.sample(answers, generator, levels=SAMPLING_LEVELS[:1])

    plain, mirrored = answered(rays), mirrored_people(answered(mirrored_rays(rays)))
    return mean_pose(
        PairPose(
            rotations=torch.cat([plain.rotations, mirrored.rotations]),
            betas=torch.cat([plain.betas, mirrored.betas]),
            pelvis_m=torch.cat([plain.pelvis_m, mirrored.pelvis_m]),
        )
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
