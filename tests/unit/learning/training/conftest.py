from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.learning.motions.shards import MotionShards, write_shards
from closefit.records import PairMotion

WEIGHTS = Path(__file__).resolve().parents[4] / "weights"


@pytest.fixture(scope="session")
def body() -> Body:
    return Body.load(WEIGHTS / "closefit_body.npz")


def moving_pair(frames: int, seed: int) -> PairMotion:
    """Two people who sway before each other, all joints moving smoothly."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (0.25 * torch.randn(2, 24, 3, generator=generator) for _ in range(2))
    time = torch.arange(frames)[:, None, None, None] / 30.0
    vectors = first + second * torch.sin(2.0 * time)
    vectors[:, :, 0] = torch.tensor([[0.0, 1.6, 0.0], [0.0, -1.6, 0.0]])
    sway = 0.05 * torch.sin(time[:, :, 0])
    place = torch.tensor([[-0.4, 0.9, 0.0], [0.4, 0.9, 0.0]]) + sway
    return PairMotion(
        rotations=roma.rotvec_to_rotmat(vectors).numpy(),
        pelvis_m=place.numpy().astype(np.float32),
        betas=np.zeros((2, 10), np.float32),
        fps=np.array(30.0),
        body_name=np.array("closefit"),
        name=np.array(f"sway/{seed}"),
    )


@pytest.fixture(scope="session")
def shard_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion") / "shards"
    write_shards(folder, [moving_pair(60, seed) for seed in range(4)])
    return folder


@pytest.fixture(scope="session")
def shards(shard_folder: Path) -> MotionShards:
    return MotionShards.open(shard_folder)
