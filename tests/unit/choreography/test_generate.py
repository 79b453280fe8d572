"""Laws of the generated motion."""

import numpy as np
import pytest
import torch

from closefit.body import Body
from closefit.choreography import KINDS, generate
from closefit.geometry.penetration import average_penetration_depth_mm
from closefit.records import PairMotion
from tests.known_motion import WEIGHTS

FRAMES = 60


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load(WEIGHTS / "closefit_body.npz")


@pytest.fixture(scope="module")
def motions(body: Body) -> list[PairMotion]:
    return generate(body, count=24, seed=3, frames=FRAMES)


def _posed(body: Body, motion: PairMotion, every: int) -> torch.Tensor:
    betas = torch.from_numpy(motion.betas)
    transl = torch.from_numpy(motion.pelvis_m[::every]) - body.rest(betas).joints[:, 0]
    return body.pose(torch.from_numpy(motion.rotations[::every]), betas, transl).vertices


def test_people_hardly_enter_each_other_or_the_floor(body: Body, motions: list[PairMotion]) -> None:
    depth, lowest = [], []
    for motion in motions:
        vertices = _posed(body, motion, every=15)
        depth.append(average_penetration_depth_mm(vertices, body.faces).mean())
        lowest.append(vertices[..., 1].min())
    assert float(torch.stack(depth).mean()) < 0.5
    assert float(torch.stack(lowest).min()) > -0.04


def test_same_seed_same_motion_and_other_seed_other_motion(
    body: Body, motions: list[PairMotion]
) -> None:
    again = generate(body, count=2, seed=3, frames=FRAMES)
    other = generate(body, count=2, seed=4, frames=FRAMES)
    for first, second, different in zip(motions, again, other, strict=False):
        assert str(first.name) == str(second.name)
        np.testing.assert_allclose(first.rotations, second.rotations, atol=1e-3)
        assert not np.allclose(first.betas, different.betas)


def test_names_and_shapes(motions: list[PairMotion]) -> None:
    for index, motion in enumerate(motions):
        kind, seed, number = str(motion.name).split("/")
        assert kind in KINDS
        assert (seed, number) == ("seed3", str(index))
        assert motion.rotations.shape == (FRAMES, 2, 24, 3, 3)
        assert np.isfinite(motion.rotations).all()


def test_unknown_kind_is_refused(body: Body) -> None:
    with pytest.raises(ValueError, match="unknown kinds"):
        generate(body, count=1, seed=0, kinds=["levitation"])
