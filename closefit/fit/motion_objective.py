"""What makes a motion good without looking at pixels: the terms that init and optimize share."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.body.stature import Stature
from closefit.fit.floor import FloorPlane
from closefit.fit.losses import (
    floor_loss,
    reprojection_loss,
    scale_loss,
    shape_loss,
    smoothness_loss,
    upright_loss,
)
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables

SOLES = ("left_ankle", "right_ankle", "left_foot", "right_foot")


@dataclass(frozen=True, kw_only=True)
class MotionWeights:
    """Weights and expected spreads of the motion terms.

    The terms are negative log likelihoods; weights below 1 account for what is counted twice
    (neighbouring frames are not independent). `stature_m` is the mean of women and men with their
    shoes on.
    """

    keypoints: float = 1.0
    outlier_sigmas: float = 4.0
    pose: float = 0.5
    smooth: float = 4.0
    acceleration_m_s2: float = 8.0
    floor: float = 3.0
    floor_sigma_m: float = 0.03
    shape: float = 0.3
    stature_m: float = 1.72
    stature_sigma_m: float = 0.10
    scale: float = 1.0
    scale_sigma: float = 0.02
    upright: float = 1.0
    upright_rad: float = 0.1
    camera: float = 1.0


@dataclass(frozen=True, eq=False)
class MotionTerms:
    """Weighted terms of a stretch of frames, and what was computed on the way.

    Attributes:
        terms: Weighted scalars by name; their sum is the objective.
        joints: Joints in the camera frame, metres.
        rotations: Local joint rotations.
        transl: Translations.
    """

    terms: dict[str, Float[Tensor, ""]]
    joints: Float[Tensor, "frame person 24 3"]
    rotations: Float[Tensor, "frame person 24 3 3"]
    transl: Float[Tensor, "frame person 3"]

    def total(self) -> Float[Tensor, ""]:
        """Sum of all terms."""
        return torch.stack(list(self.terms.values())).sum()


class MotionObjective:
    """Keypoints, plausible poses, smooth motion, one floor, ordinary shapes."""

    def __init__(
        self, body: Body, limits: JointLimits, set_name: str, weights: MotionWeights
    ) -> None:
        """Prepare for a body (on its device) and a keypoint set."""
        self.body = body
        self.weights = weights
        self.stature = Stature(body)
        self.projector = KeypointProjector(body, set_name)
        self._limits = limits
        device = body.v_template.device
        self.soles = torch.tensor([JOINT_INDEX[name] for name in SOLES], device=device)
        self._clearance = self.stature.clearance(self.soles)

    def __call__(
        self,
        motion: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
        *,
        floor_looseness: float = 1.0,
    ) -> MotionTerms:
        """Evaluate all terms on the frames of `motion`, which must be those of `targets`.

        Args:
            motion: Both people's motion.
            floor: The shared floor.
            targets: Observed keypoints.
            floor_looseness: Factor on the expected deviation from the floor.
        """
        w = self.weights
        rotations, transl = motion.rotations(), motion.transl(self.body)
        joints, projected = self.projector(rotations, motion.betas, transl, targets.K)
        stature = self.stature(motion.betas)
        # Lengths in statures: otherwise every term that counts metres would shrink the people.
        unit = stature / w.stature_m
        bodies = joints / unit[:, None, None]
        plane = floor.plane()
        soles = joints[:, :, self.soles] @ plane[:3] + plane[3]
        keypoints = reprojection_loss(
            projected, targets.points_px, targets.weight, targets.sigma_px, w.outlier_sigmas
        )
        terms = {
            "keypoints": w.keypoints * keypoints.mean(0).sum(),
            "pose": w.pose * self._limits.energy(rotations).mean(0).sum(),
            "smooth": w.smooth * smoothness_loss(bodies, targets.fps, w.acceleration_m_s2),
            "floor": w.floor
            * floor_loss(
                soles / unit[:, None] - self._clearance, w.floor_sigma_m * floor_looseness
            ),
            "shape": w.shape * shape_loss(motion.betas, stature, w.stature_m, w.stature_sigma_m)
            + w.scale * scale_loss(stature, w.stature_m, w.scale_sigma),
            "upright": w.upright * upright_loss(joints, plane[:3], w.upright_rad)
            + w.camera * floor.energy(),
        }
        return MotionTerms(terms, joints, rotations, transl)
