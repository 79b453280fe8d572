"""Both sources of motion start where init ended, and what moves them has gradients."""

import pytest
import torch

from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.geometry.rotations import matrix_from_6d
from closefit.optimize.motion_model import DirectMotion, MotionModel, PriorMotion
from closefit.prior.network import Denoiser, NetworkConfig


@pytest.fixture
def network() -> Denoiser:
    torch.manual_seed(0)
    network = Denoiser(NetworkConfig(width=32, blocks=1, heads=4, feed_forward=32))
    torch.nn.init.normal_(network.head[1].weight, std=0.2)
    return network


@pytest.fixture
def start() -> MotionVariables:
    torch.manual_seed(1)
    frames = 90
    return MotionVariables(
        pose_6d=torch.eye(3)[:2].flatten().expand(frames, 2, 24, 6)
        + 0.1 * torch.randn(1, 2, 24, 6),
        pelvis_ray=torch.tensor([[-0.1, 0.0], [0.1, 0.0]]).expand(frames, 2, 2).clone(),
        log_depth=torch.full((frames, 2), 1.2),
        betas=torch.randn(2, 10),
    )


def targets(fps: float, frames: int = 90) -> KeypointTargets:
    torch.manual_seed(2)
    points = 300.0 + 60.0 * torch.randn(1, 2, 17, 2) + 2.0 * torch.randn(frames, 2, 17, 2)
    return KeypointTargets(
        points_px=points,
        weight=torch.rand(frames, 2, 17),
        sigma_px=torch.full((frames, 2), 3.0),
        height_px=torch.full((frames, 2), 200.0),
        landmarks_m=torch.zeros(frames, 2, 0, 4),
        seen=torch.ones(frames, 2, dtype=torch.bool),
        K=torch.tensor([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]).expand(frames, 3, 3),
        fps=fps,
        set_name="coco17",
    )


def model(kind: str, network: Denoiser, start: MotionVariables, fps: float) -> MotionModel:
    if kind == "direct":
        return DirectMotion(start, 1e-3)
    return PriorMotion(network, start, targets(fps), 1e-4, 1e-3, seed=0, kind=kind)


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
@pytest.mark.parametrize("kind", ["direct", "prior", "both"])
def test_it_starts_at_the_start(
    kind: str, fps: float, network: Denoiser, start: MotionVariables
) -> None:
    found = model(kind, network, start, fps).at(13, 77)
    expected = start.cut(slice(13, 77))
    for value, target in zip(found.tensors(), expected.tensors(), strict=True):
        torch.testing.assert_close(value, target, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["direct", "prior", "both"])
def test_it_becomes_another_motion(kind: str, network: Denoiser, start: MotionVariables) -> None:
    """Of which one segment differs, as after a check of depth orders."""
    motion = model(kind, network, start, 15.0)
    other = MotionVariables(*(value.clone() for value in start.tensors()))
    other.log_depth[20:28, 0] += 0.3
    motion.move_to(other)
    expected = other.cut(slice(13, 77))
    for value, target in zip(motion.at(13, 77).tensors(), expected.tensors(), strict=True):
        torch.testing.assert_close(value, target, atol=1e-5, rtol=1e-5)
    fresh = model(kind, network, other, 15.0)
    for one, another in zip(motion.fixed(), fresh.fixed(), strict=True):
        assert torch.equal(one, another)


def test_the_answer_itself_is_what_the_network_makes_of_the_start(
    network: Denoiser, start: MotionVariables
) -> None:
    """The motion differs from the start by as much as `prior` and `both` subtract."""
    answer, change = (model(kind, network, start, 30.0) for kind in ("answer", "prior"))
    first = [values[13:77] for values in change._first]
    for value, expected in zip(answer.at(13, 77).tensors()[:3], first, strict=True):
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    assert (answer.at(13, 77).pose_6d - start.pose_6d[13:77]).abs().max() > 0.01


@pytest.mark.parametrize("kind", ["direct", "prior", "both", "answer"])
def test_a_step_moves_towards_the_goal(
    kind: str, network: Denoiser, start: MotionVariables
) -> None:
    motion = model(kind, network, start, 30.0)
    optimizer = torch.optim.Adam(motion.groups())
    goal = matrix_from_6d(start.pose_6d)[10:40].roll(1, dims=1)

    def loss() -> torch.Tensor:
        return (motion.at(10, 40).rotations() - goal).square().mean()

    before = loss()
    for _ in range(5):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss().detach()) < 0.999 * float(before.detach())


def test_finetuning_moves_all_frames_together(network: Denoiser, start: MotionVariables) -> None:
    """Own variables move only the frames of a step; the prior's weights carry over to others."""
    moved = {}
    for kind in ("direct", "prior", "both"):
        motion = model(kind, network, start, 30.0)
        optimizer = torch.optim.Adam(motion.groups())
        motion.at(0, 16).log_depth.sum().backward()
        optimizer.step()
        moved[kind] = float(
            (motion.at(60, 90).log_depth - start.log_depth[60:]).detach().abs().max()
        )
    assert moved["direct"] == 0.0
    assert moved["prior"] > 0.0
    assert moved["both"] > 0.0
