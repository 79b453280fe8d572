"""A clip fit that stays near poses found before, as far as these are to be trusted."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.fit.floor import FloorPlane
from closefit.fit.motion_objective import MotionObjective, MotionTerms, MotionWeights
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.geometry.robust import robust_square

STATURE_SIGMA_M = 0.06
"""Expected error of the body heights that other tools find."""

APART_SIGMA_M = 0.1
"""Expected error of where one person stands, seen from the other."""


@dataclass(frozen=True, eq=False)
class Apart:
    """Where person 0 is, seen from person 1: what places a person whom the keypoints do not show.

    Attributes:
        pelvis_m: Pelvises of a motion that is to be believed, camera axes.
        trust: Weight of each frame.
    """

    pelvis_m: Float[Tensor, "frame 2 3"]
    trust: Float[Tensor, " frame"]

    def energy(self, pelvis_m: Float[Tensor, "frame 2 3"], outlier_sigmas: float) -> Tensor:
        """Half the mean squared deviation in sigmas, robust; the scene may be of any size."""
        depth = self.pelvis_m[..., 2].mean(-1)
        off = (_direction(pelvis_m) - _direction(self.pelvis_m)) * depth[:, None]
        squared = (off / APART_SIGMA_M).square().sum(-1)
        return 0.5 * (self.trust * robust_square(squared, outlier_sigmas)).mean()


def _direction(pelvis_m: Float[Tensor, "frame 2 3"]) -> Float[Tensor, "frame 3"]:
    """From person 1 to person 0, over their mean depth."""
    return (pelvis_m[:, 0] - pelvis_m[:, 1]) / pelvis_m[..., 2].mean(-1, keepdim=True)


class ReferenceObjective(MotionObjective):
    """The terms of a clip fit, and those that keep poses and body heights near a reference.

    It is about all frames of a clip at once, unlike its base.
    """

    def __init__(
        self,
        body: Body,
        limits: JointLimits,
        set_name: str,
        weights: MotionWeights,
        rotations: Float[Tensor, "frame person 24 3 3"],
        sigma_rad: Float[Tensor, "frame person 24"],
        trust: Float[Tensor, "frame person 24"],
        outlier_sigmas: float,
        statures_m: Float[Tensor, "person"] | None = None,
        apart: Apart | None = None,
    ) -> None:
        """Prepare.

        Args:
            body: Body on its device.
            limits: Plausible joint rotations.
            set_name: Keypoint set.
            weights: Weights of the other terms.
            rotations: The reference.
            sigma_rad: Expected error of each of its joints.
            trust: Weight of each joint; 0 leaves it to the other terms.
            outlier_sigmas: A joint that is wanted farther away than this is let go.
            statures_m: Body heights; NaN where not known.
            apart: Where the two stand, seen from each other.
        """
        super().__init__(body, limits, set_name, weights)
        self._rotations = rotations
        self._precision = 1.0 / sigma_rad.square()
        self._trust = trust
        self._outlier_sigmas = outlier_sigmas
        self._apart = apart
        self._statures = rotations.new_full((2,), torch.nan) if statures_m is None else statures_m

    def __call__(
        self,
        motion: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
        *,
        floor_looseness: float = 1.0,
    ) -> MotionTerms:
        """Evaluate all terms; `motion` has all frames of the clip."""
        terms = super().__call__(motion, floor, targets, floor_looseness=floor_looseness)
        # Half the squared chord between two rotations is their squared angle, for small angles.
        squared = 0.5 * (terms.rotations - self._rotations).square().sum((-2, -1))
        away = robust_square(squared * self._precision, self._outlier_sigmas)
        terms.terms["reference"] = 0.5 * (self._trust * away).sum(-1).mean(0).sum()
        taller = (self.stature(motion.betas) - self._statures).nan_to_num(0.0) / STATURE_SIGMA_M
        terms.terms["stature"] = 0.5 * self.weights.shape * taller.square().sum()
        if self._apart is not None:
            terms.terms["apart"] = self._apart.energy(motion.pelvis(), self._outlier_sigmas)
        return terms
