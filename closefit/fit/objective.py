"""The terms of a motion that need no rendering: keypoints, masks, poses, floor, shape."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

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
from closefit.fit.silhouettes import SilhouetteLosses, silhouette_losses, spread_vertices
from closefit.fit.targets import KeypointTargets
from closefit.fit.terms import Term, evaluate
from closefit.fit.variables import MotionVariables
from closefit.fit.weights import (
    MASK_STRIDE,
    MEAN_STATURE_M,
    SILHOUETTE_WEIGHTS,
    MotionWeights,
)

SOLES = tuple(
    JOINT_INDEX[name] for name in ("left_ankle", "right_ankle", "left_foot", "right_foot")
)


@dataclass(frozen=True, eq=False)
class PosedPeople:
    """Both people posed in some frames, and what was observed there: the inputs of motion terms.

    Attributes:
        motion: The variables.
        rotations: Local joint rotations.
        transl: Translations, metres.
        joints: Joints in the camera frame, metres.
        projected_px: Projected keypoints.
        stature_m: Body heights.
        size: Body heights over the mean height.
        floor: The shared floor.
        plane: Its unit up normal and offset (metres).
        targets: Observed keypoints of the same frames.
        floor_looseness: Factor on the expected deviation from the floor.
        silhouettes: The bodies compared with the masks; None where there are none.
    """

    motion: MotionVariables
    rotations: Float[Tensor, "frame person 24 3 3"]
    transl: Float[Tensor, "frame person 3"]
    joints: Float[Tensor, "frame person 24 3"]
    projected_px: Float[Tensor, "frame person keypoint 2"]
    stature_m: Float[Tensor, " person"]
    size: Float[Tensor, " person"]
    floor: FloorPlane
    plane: Float[Tensor, "4"]
    targets: KeypointTargets
    floor_looseness: float
    silhouettes: SilhouetteLosses | None


class MotionObjective:
    """Poses both people and evaluates a list of terms."""

    def __init__(self, body: Body, set_name: str, terms: Sequence[Term[PosedPeople]]) -> None:
        """Prepare for a body (on its device) and a keypoint set."""
        self.body = body
        self.terms = terms
        self.stature = Stature(body)
        self._projector = KeypointProjector(body, set_name)
        self._surface = body.subset(spread_vertices(body))

    def pose(
        self,
        motion: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
        floor_looseness: float = 1.0,
    ) -> PosedPeople:
        """Pose the frames of `motion`, which must be those of `targets`."""
        rotations, transl = motion.rotations(), motion.transl(self.body)
        joints, projected = self._projector(rotations, motion.betas, transl, targets.K)
        stature = self.stature(motion.betas)
        return PosedPeople(
            motion=motion,
            rotations=rotations,
            transl=transl,
            joints=joints,
            projected_px=projected,
            stature_m=stature,
            size=stature / MEAN_STATURE_M,
            floor=floor,
            plane=floor.plane(),
            targets=targets,
            floor_looseness=floor_looseness,
            silhouettes=self._silhouettes(motion, rotations, targets),
        )

    def _silhouettes(
        self,
        motion: MotionVariables,
        rotations: Float[Tensor, "frame person 24 3 3"],
        targets: KeypointTargets,
    ) -> SilhouetteLosses | None:
        """Compare with the masks, whose size acts neither on depth nor on stature."""
        if targets.silhouettes is None:
            return None
        some = slice(0, None, MASK_STRIDE)
        motion, rotations, seen = motion.cut(some), rotations[some], targets.silhouettes.cut(some)
        sized = dataclasses.replace(
            motion, log_depth=motion.log_depth.detach(), betas=motion.betas.detach()
        )
        vertices = self._surface.pose(rotations, sized.betas, sized.transl(self.body)).vertices
        depth = motion.log_depth.exp()
        return silhouette_losses(vertices, depth - depth.detach(), targets.K[some], seen)

    def __call__(
        self,
        motion: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
        floor_looseness: float = 1.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Evaluate all terms; their sum is the objective."""
        return evaluate(self.terms, self.pose(motion, floor, targets, floor_looseness))


def motion_terms(
    body: Body, limits: JointLimits, weights: MotionWeights
) -> list[Term[PosedPeople]]:
    """Terms that `init` and `optimize` share."""
    w = weights
    soles = torch.tensor(SOLES, device=body.v_template.device)
    clearance = Stature(body).clearance(soles)

    def keypoints(p: PosedPeople) -> Tensor:
        t = p.targets
        return (
            reprojection_loss(p.projected_px, t.points_px, t.weight, t.sigma_px, w.outlier_sigmas)
            .mean(0)
            .sum()
        )

    # Metres count relative to body height. Otherwise these terms would shrink the people.
    def smooth(p: PosedPeople) -> Tensor:
        return smoothness_loss(p.joints / p.size[:, None, None], p.targets.fps)

    def floor(p: PosedPeople) -> Tensor:
        height = p.joints[:, :, soles] @ p.plane[:3] + p.plane[3]
        return floor_loss(height / p.size[:, None] - clearance, p.floor_looseness)

    return [
        Term("keypoints", w.keypoints, keypoints),
        Term("pose", w.pose, lambda p: limits.energy(p.rotations).mean(0).sum()),
        Term("smooth", w.smooth, smooth),
        Term("floor", w.floor, floor),
        Term("shape", w.shape, lambda p: shape_loss(p.motion.betas, p.stature_m)),
        Term("shape", w.scale, lambda p: scale_loss(p.stature_m)),
        Term("upright", w.upright, lambda p: upright_loss(p.joints, p.plane[:3])),
        Term("upright", w.camera, lambda p: p.floor.energy()),
        *(
            Term(name, weight, partial(_silhouette_loss, name))
            for name, weight in SILHOUETTE_WEIGHTS.items()
        ),
    ]


def _silhouette_loss(name: str, posed: PosedPeople) -> Tensor:
    """One of the losses of masks, 0 where there are none."""
    if posed.silhouettes is None:
        return posed.joints.new_zeros(())
    loss: Tensor = getattr(posed.silhouettes, name)
    return loss


def total(terms: dict[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
    """Sum of evaluated terms."""
    return torch.stack(list(terms.values())).sum()
