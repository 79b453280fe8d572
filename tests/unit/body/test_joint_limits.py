"""Laws of the authored pose plausibility."""

import roma
import torch

from closefit.body.joint_limits import JointLimits
from closefit.body.skeleton import JOINT_INDEX, MIRROR

PRIOR = JointLimits.create("cpu", torch.float64)


def _turned(joint: str, rotvec: tuple[float, float, float]) -> torch.Tensor:
    """The relaxed pose with one joint turned further, in the joint's relaxed frame."""
    rotations = PRIOR.relaxed.clone()
    index = JOINT_INDEX[joint]
    turn = roma.rotvec_to_rotmat(torch.tensor(rotvec, dtype=torch.float64))
    rotations[index] = rotations[index] @ turn
    return rotations


def test_relaxed_pose_costs_nothing() -> None:
    assert float(PRIOR.energy(PRIOR.relaxed)) < 1e-12


def test_root_is_free() -> None:
    rotations = PRIOR.relaxed.clone()
    rotations[0] = roma.random_rotmat(1)[0].double()
    assert float(PRIOR.energy(rotations)) < 1e-12


def test_mirrored_poses_are_equally_plausible() -> None:
    rotvec = 0.5 * torch.randn(24, 3, dtype=torch.float64)
    mirrored = rotvec[list(MIRROR)] * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    first, second = (PRIOR.energy(roma.rotvec_to_rotmat(value)) for value in (rotvec, mirrored))
    torch.testing.assert_close(first, second)


def test_knee_bends_back_and_not_forward() -> None:
    assert PRIOR.energy(_turned("left_knee", (0.9, 0.0, 0.0))) < 2.0
    assert PRIOR.energy(_turned("left_knee", (-0.9, 0.0, 0.0))) > 20.0


def test_elbow_folds_forward_and_not_back() -> None:
    assert PRIOR.energy(_turned("left_elbow", (0.0, -0.9, 0.0))) < 2.0
    assert PRIOR.energy(_turned("left_elbow", (0.0, 1.3, 0.0))) > 20.0


def test_gradient() -> None:
    rotvec = (0.4 * torch.randn(24, 3, dtype=torch.float64)).requires_grad_()

    def energy(value: torch.Tensor) -> torch.Tensor:
        return PRIOR.energy(roma.rotvec_to_rotmat(value))

    assert torch.autograd.gradcheck(energy, (rotvec,))
