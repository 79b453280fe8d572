"""The motion that the prior expects of a clip: one prediction instead of samples."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KEYPOINT_SETS
from closefit.body.pose import PairPose
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d
from closefit.prior.conditions import KEYPOINT_SET
from closefit.prior.diffusion import SAMPLING_TIMESTEPS
from closefit.prior.network import WINDOW, Denoiser
from closefit.prior.sampling import ClipSampler
from closefit.prior.timing import pose_at

STRIDE = WINDOW // 4
"""Every frame is in four windows: predictions are better in a window's middle than at its ends."""

PACES = (2, 3)
"""For people who are hidden for longer than half a second: of every second or third frame only, a
window spans two or three times as long. Training speeds motion up by nearly as much."""

MOSTLY_SEEN, MOSTLY_HIDDEN = 0.65, 0.35
"""Shares of known keypoints: above the first the longer span has weight 0, below the second 1."""


def expected_motion(
    network: Denoiser, keypoints: Float[Tensor, "frame 2 17 3"], count: int, seed: int
) -> PairPose:
    """Predict a motion (`frame person`, camera axes) from pure noise in one step.

    The network is trained to the least squared error, so its prediction is the mean of all motions
    that fit. It is nearer to the truth than any sample, though less lively. Poses of people who are
    mostly hidden come from a longer span of time. The clip and its mirror image are predicted with
    the same noise, so that a mirrored clip gives exactly the mirrored motion.

    Args:
        network: Trained network.
        keypoints: Normalised keypoints, COCO order.
        count: Number of predictions that are averaged, of the clip and of its mirror image.
        seed: Seed of the noise.
    """
    native = _prediction(network, keypoints, count, seed)
    known = (keypoints[..., 2] > 0).float().mean(-1)
    hidden = ((MOSTLY_SEEN - known) / (MOSTLY_SEEN - MOSTLY_HIDDEN)).clamp(0.0, 1.0)
    paces = [pace for pace in PACES if pace <= len(keypoints)]
    if not paces or not bool(hidden.any()):
        return native
    longer = [
        PairPose.joined(
            [_prediction_at(network, keypoints, first, pace, count, seed) for first in range(pace)]
        ).mean()
        for pace in paces
    ]
    far = PairPose.joined(longer).mean()
    pose_6d = torch.lerp(
        matrix_to_6d(native.rotations), matrix_to_6d(far.rotations), hidden[..., None, None]
    )
    return dataclasses.replace(native, rotations=matrix_from_6d(pose_6d))


def _prediction_at(
    network: Denoiser,
    keypoints: Float[Tensor, "frame 2 17 3"],
    first: int,
    pace: int,
    count: int,
    seed: int,
) -> PairPose:
    """Predict all frames from every `pace`th one, beginning with `first`."""
    prediction = _prediction(network, keypoints[first::pace], count, seed)
    times = (torch.arange(len(keypoints)) - first) / pace
    return pose_at(prediction, times.clamp(0.0, prediction.pelvis_m.shape[0] - 1.0).to(keypoints))


def _prediction(
    network: Denoiser, keypoints: Float[Tensor, "frame 2 17 3"], count: int, seed: int
) -> PairPose:
    """Mean prediction for a clip and its mirror image."""

    def predicted(seen: Float[Tensor, "frame 2 17 3"]) -> PairPose:
        sampler = ClipSampler(network, seen, stride=STRIDE)
        generator = torch.Generator().manual_seed(seed)
        return sampler.sample(count, generator, timesteps=SAMPLING_TIMESTEPS[:1]).mean()

    mirrored = predicted(mirrored_keypoints(keypoints)).mirrored()
    return PairPose.joined([predicted(keypoints), mirrored]).mean()


def mirrored_keypoints(
    keypoints: Float[Tensor, "frame 2 17 3"],
) -> Float[Tensor, "frame 2 17 3"]:
    """Keypoints of the clip seen in a mirror: left and right are swapped."""
    swapped = keypoints[:, :, list(KEYPOINT_SETS[KEYPOINT_SET].swap)]
    return swapped * keypoints.new_tensor([-1.0, 1.0, 1.0])
