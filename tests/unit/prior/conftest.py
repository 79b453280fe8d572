import math
from pathlib import Path

import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.prior.network import Denoiser, NetworkConfig


@pytest.fixture
def network() -> Denoiser:
    """A small network whose zero-initialised layers are filled, so that everything matters."""
    torch.manual_seed(3)
    network = Denoiser(NetworkConfig(width=32, blocks=2, heads=4, feed_forward=64)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter.shape[-1]))
    return network.requires_grad_(False)


@pytest.fixture(scope="session")
def body() -> Body:
    return Body.load(Path(__file__).resolve().parents[3] / "weights" / "closefit_body.npz")


@pytest.fixture
def keypoints() -> torch.Tensor:
    """Keypoint keypoints (x/z, y/z, confidence) of three windows."""
    generator = torch.Generator().manual_seed(5)
    middle = 0.2 * torch.randn(3, 1, 2, 1, 2, generator=generator)
    spread = 0.1 * torch.randn(3, 16, 2, 17, 2, generator=generator)
    confidence = torch.rand(3, 16, 2, 17, 1, generator=generator)
    return torch.cat([middle + spread, confidence], -1)


@pytest.fixture
def people() -> PairPose:
    """People in front of a camera, in any pose, for three windows."""
    generator = torch.Generator().manual_seed(7)
    vectors = torch.randn(3, 16, 2, 24, 3, generator=generator)
    place = torch.randn(3, 16, 2, 3, generator=generator)
    return PairPose(
        rotations=roma.rotvec_to_rotmat(0.7 * vectors),
        betas=torch.randn(3, 16, 2, 10, generator=generator),
        pelvis_m=place * torch.tensor([0.4, 0.3, 0.5]) + torch.tensor([0.3, 0.1, 4.0]),
    )
