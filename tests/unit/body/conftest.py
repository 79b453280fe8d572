"""The bodies under test: the free one that ships, and a small random one."""

from pathlib import Path

import pytest
import torch

from closefit.body.model import Body

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"


@pytest.fixture(scope="session")
def body() -> Body:
    """The free body."""
    return Body.load(WEIGHTS / "closefit_body.npz")


@pytest.fixture(params=["correctives", "none"])
def tiny_body(request: pytest.FixtureRequest) -> Body:
    """A random body of 7 vertices in float64, with and without pose correctives."""
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
        posedirs=draw(7, 3, 207) * 0.1 if request.param == "correctives" else None,
        landmarks={},
    )


@pytest.fixture(scope="session")
def body_file() -> Path:
    """The file of the free body."""
    return WEIGHTS / "closefit_body.npz"
