"""A known motion of two people, and what a perfect detector would see of it."""

from dataclasses import dataclass
from pathlib import Path

import roma
import torch

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables, rest_pelvis
from closefit.geometry.camera import intrinsics
from closefit.geometry.rotations import matrix_to_6d

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
FRAMES = 12


@dataclass(frozen=True, eq=False)
class KnownMotion:
    """A motion, its body and the keypoints it projects to."""

    body: Body
    prior: JointLimits
    variables: MotionVariables
    joints: torch.Tensor
    targets: KeypointTargets


def make_known_motion() -> KnownMotion:
    """Two relaxed people who face each other in profile and swing their arms and legs a little."""
    body = Body.load(WEIGHTS / "closefit_body.npz")
    prior = JointLimits.create("cpu", torch.float32)
    phase = torch.linspace(0.0, 2.0, FRAMES)[:, None, None]
    swing = torch.zeros(FRAMES, 2, 24, 3)
    swing[:, :, [1, 2], 0] = 0.25 * torch.sin(phase) * torch.tensor([1.0, -1.0])
    swing[:, :, [18, 19], 1] = 0.3 * torch.sin(phase) * torch.tensor([-1.0, 1.0])
    rotations = prior.relaxed @ roma.rotvec_to_rotmat(swing)
    facing = torch.tensor([[0.0, 1.2, 0.0], [0.0, -1.2, 0.0]])
    rotations[:, :, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ roma.rotvec_to_rotmat(facing)
    betas = torch.zeros(2, 10)
    pelvis = torch.tensor([[-0.4, 0.1, 3.2], [0.4, 0.1, 3.4]]).expand(FRAMES, 2, 3)
    variables = MotionVariables(
        matrix_to_6d(rotations), pelvis[..., :2] / pelvis[..., 2:], pelvis[..., 2].log(), betas
    )
    K = torch.tensor(intrinsics(480, 360, 520.0), dtype=torch.float32).expand(FRAMES, 3, 3)
    joints, points = KeypointProjector(body, "coco17")(
        rotations, betas, pelvis - rest_pelvis(body, betas), K
    )
    height = torch.full((FRAMES, 2), 265.0)
    targets = KeypointTargets(
        points_px=points,
        weight=torch.ones(FRAMES, 2, 17),
        sigma_px=0.012 * height,
        height_px=height,
        landmarks_m=torch.zeros(FRAMES, 2, 0, 4),
        seen=torch.ones(FRAMES, 2, dtype=torch.bool),
        K=K,
        fps=30.0,
        set_name="coco17",
    )
    return KnownMotion(body, prior, variables, joints, targets)


def mpjpe_m(joints: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean joint error after moving each pelvis to the origin, metres."""
    aligned = (joints - joints[:, :, :1]) - (truth - truth[:, :, :1])
    return float(aligned.norm(dim=-1).mean())
