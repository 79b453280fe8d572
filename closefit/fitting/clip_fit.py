"""The prior-free initial motion: both bodies fitted to the keypoints of the whole clip at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose_prior import PosePrior
from closefit.body.skeleton import JOINT_INDEX
from closefit.body.stature import Stature
from closefit.fitting.reprojection import KeypointProjector
from closefit.fitting.targets import KeypointTargets
from closefit.fitting.variables import MotionVariables
from closefit.losses import floor_loss, reprojection_loss, shape_loss, smoothness_loss

SOLES = ("left_ankle", "right_ankle", "left_foot", "right_foot")
CAMERA_PITCH = -0.15
"""Most videos look slightly down: z component of the floor normal over its -y component."""
CAMERA_PITCH_SPREAD = 0.2
CAMERA_ROLL_SPREAD = 0.04


@dataclass(frozen=True, kw_only=True)
class ClipFitWeights:
    """Weights and expected spreads of the whole-clip fit.

    The terms are negative log likelihoods; weights below 1 account for what is counted twice
    (neighbouring frames are not independent).
    """

    pose: float = 0.5
    smooth: float = 12.0
    acceleration_m_s2: float = 8.0
    floor: float = 3.0
    floor_sigma_m: float = 0.03
    shape: float = 0.3
    stature_m: float = 1.70
    stature_sigma_m: float = 0.10
    depth_smooth: float = 1.0


@dataclass(frozen=True, eq=False)
class ClipFit:
    """Result of `fit_clip`.

    Attributes:
        variables: The fitted motion.
        floor: Plane (unit up normal, offset in metres) in the camera frame.
        energy: Final objective; comparable between hypotheses for the same clip.
    """

    variables: MotionVariables
    floor: Float[Tensor, "4"]
    energy: float


class FloorPlane:
    """The shared floor as two slopes and an offset that an optimiser can move."""

    def __init__(self, offset_m: float, device: torch.device) -> None:
        """Start level for a camera that looks slightly down."""
        self.slopes = torch.tensor([0.0, CAMERA_PITCH], device=device, requires_grad=True)
        self.offset = torch.tensor(offset_m, device=device, requires_grad=True)

    def plane(self) -> Float[Tensor, "4"]:
        """Unit up normal and offset: height of x = normal . x + offset."""
        down = self.slopes.new_tensor(-1.0)
        normal = torch.stack([self.slopes[0], down, self.slopes[1]])
        return torch.cat([normal / normal.norm(), self.offset[None]])

    def energy(self) -> Float[Tensor, ""]:
        """Cameras are rarely rolled and mostly look slightly down."""
        spread = self.slopes.new_tensor([CAMERA_ROLL_SPREAD, CAMERA_PITCH_SPREAD])
        mean = self.slopes.new_tensor([0.0, CAMERA_PITCH])
        return 0.5 * ((self.slopes - mean) / spread).square().sum()


def fit_clip(
    body: Body,
    targets: KeypointTargets,
    prior: PosePrior,
    start: MotionVariables,
    steps: int,
    on_step: Callable[[int, int], None],
    weights: ClipFitWeights | None = None,
) -> ClipFit:
    """Fit both bodies to all keypoints of the clip, smooth in time, standing on one floor.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints.
        prior: Pose plausibility.
        start: First poses, for example from `lifting.lift`.
        steps: Number of Adam steps.
        on_step: Told (steps done, steps in all).
        weights: Weights of the terms.
    """
    w = weights or ClipFitWeights()
    variables = start.detached()
    projector = KeypointProjector(body, targets.set_name)
    stature = Stature(body)
    soles = torch.tensor([JOINT_INDEX[name] for name in SOLES], device=targets.K.device)
    clearance = stature.clearance(soles)
    with torch.no_grad():
        joints = body.joints(variables.rotations(), variables.betas, variables.transl(body))
        lowest = joints[:, :, soles, 1].amax(-1).median()
    floor = FloorPlane(float(lowest), targets.K.device)

    def energy() -> Float[Tensor, ""]:
        rotations = variables.rotations()
        joints, projected = projector(
            rotations, variables.betas, variables.transl(body), targets.K
        )
        keypoints = reprojection_loss(
            projected, targets.points_px, targets.weight, targets.sigma_px
        )
        shape = shape_loss(
            variables.betas, stature(variables.betas), w.stature_m, w.stature_sigma_m
        )
        return (
            keypoints.mean(0).sum()
            + w.pose * prior.energy(rotations).mean(0).sum()
            + w.smooth * smoothness_loss(joints, targets.fps, w.acceleration_m_s2)
            + w.shape * shape
            + w.floor
            * floor_loss(joints[:, :, soles], clearance, floor.plane(), w.floor_sigma_m)
            + 0.1 * floor.energy()
        )

    optimizer = torch.optim.Adam(
        [
            {"params": [variables.pose_6d], "lr": 0.03},
            {"params": [variables.pelvis_ray, variables.log_depth], "lr": 0.01},
            {"params": [variables.betas], "lr": 0.03},
            {"params": [floor.slopes, floor.offset], "lr": 0.01},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * step / steps))
    )
    value = torch.zeros(())
    for step in range(steps):
        optimizer.zero_grad()
        value = energy()
        value.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps)
    return ClipFit(variables.detached(), floor.plane().detach(), float(value))
