"""A body and a motion of both people to export."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.records import OptimizedMotion
from tests.samples import make_optimized_motion

FRAMES = 6


@pytest.fixture(scope="session")
def body() -> Body:
    return Body.load(Path(__file__).resolve().parents[3] / "weights" / "closefit_body.npz")


@pytest.fixture(scope="session")
def motion(body: Body) -> OptimizedMotion:
    """Two people of different shape who turn and bend at random, four metres from the camera."""
    generator = torch.Generator().manual_seed(1)
    steps = 0.25 * torch.randn(FRAMES, 2, 24, 3, generator=generator, dtype=torch.float64)
    rotations = roma.rotvec_to_rotmat(steps.cumsum(0))
    upright = roma.rotvec_to_rotmat(torch.tensor([torch.pi, 0.0, 0.0], dtype=torch.float64))
    rotations[:, :, 0] = upright @ rotations[:, :, 0]
    rotations = rotations.float()
    betas = torch.randn(2, 10, generator=generator)
    transl = torch.randn(FRAMES, 2, 3, generator=generator) * 0.2 + torch.tensor([0.0, 0.0, 4.0])
    transl[:, 1, 0] += 0.7
    fields = vars(make_optimized_motion(FRAMES, gaussians=50))
    # Camera 1.2 m above the floor, tilted down by 0.3 rad.
    up = np.array([0.0, -np.cos(0.3), -np.sin(0.3)])
    faces = torch.randint(len(body.faces), (2, 50), generator=generator)
    fields |= {
        "rotations": rotations.numpy(),
        "betas": betas.numpy(),
        "transl": transl.numpy(),
        "joints": body.joints(rotations, betas, transl).numpy(),
        "K": np.tile(np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]], np.float32), (6, 1, 1)),
        "floor": np.array([*up, 1.2], np.float32),
        "gaussian_face": faces.numpy(),
        "gaussian_offset_m": 0.01 * np.random.default_rng(0).normal(size=(2, 50, 3)),
        "gaussian_rotation": np.random.default_rng(1).normal(size=(2, 50, 3)),
    }
    for name in ("gaussian_offset_m", "gaussian_rotation"):
        fields[name] = fields[name].astype(np.float32)
    return OptimizedMotion(**fields)
