"""The bodies under test: the free one that ships, a small random one, and a full-size fake SMPL."""

from pathlib import Path

import numpy as np
import pytest
import torch

from closefit.body.model import Body
from closefit.body.skeleton import PARENTS

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"


@pytest.fixture(scope="session")
def body() -> Body:
    """The free body."""
    return Body.load(WEIGHTS / "closefit_body.npz")


@pytest.fixture
def tiny_body() -> Body:
    """A random body of 7 vertices in float64 with pose correctives."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    weights = draw(7, 24)
    return Body(
        name="smpl",
        v_template=draw(7, 3),
        shapedirs=draw(7, 3, 10) * 0.1,
        joints_template=draw(24, 3),
        joints_dirs=draw(24, 3, 10) * 0.1,
        weights=weights / weights.sum(-1, keepdim=True),
        faces=torch.tensor([[0, 1, 2]]),
        uv=draw(3, 2),
        faces_uv=torch.tensor([[0, 1, 2]]),
        posedirs=draw(7, 3, 207) * 0.1,
        landmarks={},
    )


@pytest.fixture(scope="session")
def smpl_arrays() -> dict[str, np.ndarray]:
    """Random arrays of SMPL's size and names (no part of SMPL itself)."""
    generator = np.random.default_rng(0)
    regressor = np.zeros((24, 6890))
    for joint in range(24):
        chosen = generator.choice(6890, 5, replace=False)
        regressor[joint, chosen] = generator.dirichlet(np.ones(5))
    weights = np.zeros((6890, 24))
    for column in range(4):
        weights[np.arange(6890), generator.integers(0, 24, 6890)] += 0.1 + column
    return {
        "v_template": generator.normal(0, 0.5, (6890, 3)),
        "shapedirs": generator.normal(0, 0.02, (6890, 3, 10)),
        "posedirs": generator.normal(0, 0.005, (6890, 3, 207)),
        "J_regressor": regressor,
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(24)], dtype=np.uint32),
        "f": generator.integers(0, 6890, (13776, 3)).astype(np.uint32),
    }
