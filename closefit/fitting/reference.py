"""A clip fit that stays near poses found before, as far as these are to be trusted."""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose_prior import PosePrior
from closefit.fitting.floor import FloorPlane
from closefit.fitting.motion_objective import MotionObjective, MotionTerms, MotionWeights
from closefit.fitting.targets import KeypointTargets
from closefit.fitting.variables import MotionVariables
from closefit.losses import robust_square

STATURE_SIGMA_M = 0.06
"""Expected error of the body heights that other tools find."""


class ReferenceObjective(MotionObjective):
    """The terms of a clip fit, and those that keep poses and body heights near a reference.

    It is about all frames of a clip at once, unlike its base.
    """

    def __init__(
        self,
        body: Body,
        prior: PosePrior,
        set_name: str,
        weights: MotionWeights,
        rotations: Float[Tensor, "frame person 24 3 3"],
        sigma_rad: Float[Tensor, "frame person 24"],
        trust: Float[Tensor, "frame person 24"],
        outlier_sigmas: float,
        statures_m: Float[Tensor, "person"] | None = None,
    ) -> None:
        """Prepare.

        Args:
            body: Body on its device.
            prior: Pose plausibility.
            set_name: Keypoint set.
            weights: Weights of the other terms.
            rotations: The reference.
            sigma_rad: Expected error of each of its joints.
            trust: Weight of each joint; 0 leaves it to the other terms.
            outlier_sigmas: A joint that is wanted farther away than this is let go.
            statures_m: Body heights; NaN where not known.
        """
        super().__init__(body, prior, set_name, weights)
        self._rotations = rotations
        self._precision = 1.0 / sigma_rad.square()
        self._trust = trust
        self._outlier_sigmas = outlier_sigmas
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
        return terms
