"""The prior-free initial motion: both bodies fitted to the keypoints of the whole clip at once."""

import dataclasses
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
from closefit.fitting.floor import FloorPlane, typical_up
from closefit.fitting.reprojection import KeypointProjector
from closefit.fitting.targets import KeypointTargets
from closefit.fitting.variables import MotionVariables
from closefit.losses import floor_loss, reprojection_loss, shape_loss, smoothness_loss, upright_loss

FLOOR_TIGHTENING = 10.0
"""The floor term starts this much looser, so that people find their depth before it bites."""

SOLES = ("left_ankle", "right_ankle", "left_foot", "right_foot")


@dataclass(frozen=True, kw_only=True)
class ClipFitWeights:
    """Weights and expected spreads of the whole-clip fit.

    The terms are negative log likelihoods; weights below 1 account for what is counted twice
    (neighbouring frames are not independent).
    """

    pose: float = 0.5
    smooth: float = 4.0
    acceleration_m_s2: float = 8.0
    floor: float = 3.0
    floor_sigma_m: float = 0.03
    shape: float = 0.3
    stature_m: float = 1.70
    stature_sigma_m: float = 0.10
    upright: float = 1.0
    upright_rad: float = 0.1
    camera: float = 1.0


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


def fit_clip(
    body: Body,
    targets: KeypointTargets,
    prior: PosePrior,
    start: MotionVariables,
    steps: int,
    on_step: Callable[[int, int], None],
    weights: ClipFitWeights | None = None,
    floor_start: Float[Tensor, "4"] | None = None,
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
        floor_start: A floor found before; by default it is found, loosely at first.
    """
    w = weights or ClipFitWeights()
    variables = start.detached()
    projector = KeypointProjector(body, targets.set_name)
    stature = Stature(body)
    soles = torch.tensor([JOINT_INDEX[name] for name in SOLES], device=targets.K.device)
    clearance = stature.clearance(soles)
    floor = _start_floor(body, variables, soles, floor_start)
    start_log_stature = stature(start.betas.detach()).log()

    def scaled() -> MotionVariables:
        """A taller person stands farther away: height then slides along what pixels allow."""
        growth = stature(variables.betas).log() - start_log_stature
        return dataclasses.replace(variables, log_depth=variables.log_depth + growth)

    def energy(progress: float) -> Float[Tensor, ""]:
        motion = scaled()
        rotations = motion.rotations()
        joints, projected = projector(rotations, motion.betas, motion.transl(body), targets.K)
        # Lengths in statures: otherwise every term that counts metres would shrink the people.
        unit = stature(motion.betas)[:, None, None] / w.stature_m
        bodies = joints / unit
        plane = floor.plane()
        loose = 0.0 if floor_start is not None else max(0.0, 1.0 - 2.0 * progress)
        sigma = w.floor_sigma_m * FLOOR_TIGHTENING**loose
        keypoints = reprojection_loss(
            projected, targets.points_px, targets.weight, targets.sigma_px
        )
        shape = shape_loss(
            variables.betas, stature(variables.betas), w.stature_m, w.stature_sigma_m
        )
        return (
            keypoints.mean(0).sum()
            + w.pose * prior.energy(rotations).mean(0).sum()
            + w.smooth * smoothness_loss(bodies, targets.fps, w.acceleration_m_s2)
            + w.shape * shape
            + w.floor * floor_loss(joints[:, :, soles], clearance, plane, sigma)
            + w.upright * upright_loss(joints, plane[:3], w.upright_rad)
            + w.camera * floor.energy()
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
        value = energy(step / steps)
        value.backward()
        if floor_start is None and step < 0.4 * steps:
            floor.slopes.grad = None
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps)
    return ClipFit(scaled().detached(), floor.plane().detach(), float(value.detach()))


def _start_floor(
    body: Body, variables: MotionVariables, soles: Tensor, known: Float[Tensor, "4"] | None
) -> FloorPlane:
    """The known floor, or a level one under most feet for a camera that looks slightly down."""
    if known is not None:
        return FloorPlane.from_plane(known)
    with torch.no_grad():
        joints = body.joints(variables.rotations(), variables.betas, variables.transl(body))
        up = typical_up(joints.device)
        lowest = (joints[:, :, soles] @ up).amin(-1).median()
    return FloorPlane.from_plane(torch.cat([up, -lowest[None]]))
