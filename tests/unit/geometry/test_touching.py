"""Laws of touching: found where surfaces meet, held without pulling in."""

import roma
import torch

from closefit.geometry.touching import SLACK_M, TOUCH_M, touch_loss, touching_pairs


def _patches(gap: float) -> torch.Tensor:
    """Two flat 5 x 5 patches of vertices, 5 cm apart in the plane, `gap` metres between them."""
    grid = 0.05 * torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))
    first = torch.cat([grid, torch.zeros(25, 1)], -1)
    return torch.stack([first, first + torch.tensor([0.0, 0.0, gap])])[None]


def test_pairs_are_the_near_vertices() -> None:
    pairs = touching_pairs(_patches(0.01))
    assert float(pairs.weight.sum()) == 16
    assert torch.equal(pairs.vertices[..., 0], pairs.vertices[..., 1])


def test_people_apart_have_no_pairs() -> None:
    pairs = touching_pairs(_patches(2 * TOUCH_M))
    assert float(pairs.weight.sum()) == 0
    assert float(touch_loss(_patches(1.0), pairs)) == 0.0


def test_a_gap_that_opens_costs_and_touch_does_not() -> None:
    pairs = touching_pairs(_patches(0.001))
    assert float(touch_loss(_patches(0.5 * SLACK_M), pairs)) == 0.0
    costs = [float(touch_loss(_patches(gap), pairs)) for gap in (0.01, 0.02, 0.05)]
    assert 0.0 < costs[0] < costs[1] < costs[2]


def test_the_frame_of_reference_does_not_matter() -> None:
    pairs = touching_pairs(_patches(0.001))
    apart = _patches(0.03)
    moved = apart @ roma.random_rotmat(1)[0].T + torch.randn(3)
    torch.testing.assert_close(
        touch_loss(moved, pairs), touch_loss(apart, pairs), rtol=1e-3, atol=0
    )


def test_gradient() -> None:
    pairs = touching_pairs(_patches(0.001))
    vertices = _patches(0.03).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: touch_loss(value, pairs), (vertices,))
