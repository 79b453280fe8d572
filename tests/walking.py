"""Two people side by side of whom one walks until they overlap."""

import numpy as np
import roma
import torch

from closefit.body.model import Body
from closefit.geometry.camera import intrinsics
from closefit.records import OptimizedMotion
from tests.samples import make_optimized_motion


def walking_motion(body: Body, frames: int, size_wh: tuple[int, int]) -> OptimizedMotion:
    """Person 0 walks from the left until the two overlap, before a camera of 56 degrees."""
    axis_angle = torch.zeros(frames, 2, 24, 3)
    axis_angle[:, :, 0, 0] = torch.pi
    axis_angle[:, :, 16:18, 2] = torch.tensor([-1.2, 1.2])
    rotations = roma.rotvec_to_rotmat(axis_angle)
    transl = torch.tensor([0.5, 0.0, 4.0]).repeat(frames, 2, 1)
    transl[:, 0, 0] = torch.linspace(-0.9, 0.2, frames)
    K = intrinsics(*size_wh, size_wh[0] * 15 / 16).astype(np.float32)
    fields = vars(make_optimized_motion(frames, gaussians=0)) | {
        "rotations": rotations.numpy(),
        "betas": np.zeros((2, 10), np.float32),
        "transl": transl.numpy(),
        "joints": body.joints(rotations, torch.zeros(2, 10), transl).numpy(),
        "K": np.tile(K, (frames, 1, 1)),
        "floor": np.array([0.0, -1.0, 0.0, 0.9], np.float32),
    }
    return OptimizedMotion(**fields)
