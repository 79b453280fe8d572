import pytest
import torch

from closefit.fit.floor import FloorPlane


def test_variables_of_a_plane_give_it_back() -> None:
    plane = torch.tensor([0.1, -0.97, -0.2, 1.3], dtype=torch.float64)
    plane[:3] /= plane[:3].norm()
    torch.testing.assert_close(FloorPlane.from_plane(plane).plane(), plane)


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_points_on_the_floor_are_on_the_scaled_floor_once_scaled(factor: float) -> None:
    floor = FloorPlane(
        torch.tensor([0.05, -0.2], dtype=torch.float64), torch.tensor(1.4, dtype=torch.float64)
    )
    plane = floor.plane()
    point = -plane[3] * plane[:3] + torch.linalg.cross(plane[:3], torch.ones_like(plane[:3]))
    scaled = floor.scaled(torch.tensor(factor, dtype=torch.float64)).plane()
    assert float(scaled[:3] @ (factor * point) + scaled[3]) == pytest.approx(0.0, abs=1e-12)
