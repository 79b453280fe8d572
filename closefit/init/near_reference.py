"""Terms that keep a clip fit near poses, body heights and positions that were found before."""

from jaxtyping import Float
from torch import Tensor

from closefit.fit.objective import PosedPeople
from closefit.fit.terms import Term
from closefit.fit.weights import (
    ESTIMATE_STATURE_SIGMA_M,
    RELATIVE_TRANSLATION_SIGMA_M,
    MotionWeights,
)
from closefit.geometry.robust import robust_square


def pose_term(
    rotations: Float[Tensor, "frame person 24 3 3"],
    sigma_rad: Float[Tensor, "frame person 24"],
    trust: Float[Tensor, "frame person 24"],
    outlier_sigmas: float,
) -> Term[PosedPeople]:
    """Squared angles to reference rotations, for all frames of a clip at once.

    Args:
        rotations: The reference.
        sigma_rad: Expected error of each joint.
        trust: Weight of each joint; 0 leaves it to the other terms.
        outlier_sigmas: A joint that other terms move farther away than this is released.
    """
    precision = 1.0 / sigma_rad.square()

    def loss(p: PosedPeople) -> Float[Tensor, "frame person"]:
        # Half the squared chord between two rotations is their squared angle, if it is small.
        squared = 0.5 * (p.rotations - rotations).square().sum((-2, -1))
        return 0.5 * (trust * robust_square(squared * precision, outlier_sigmas)).sum(-1)

    return Term("reference", 1.0, loss)


def stature_term(statures_m: Float[Tensor, " person"]) -> Term[PosedPeople]:
    """Body heights near known ones (metres); NaN where not known."""

    def loss(p: PosedPeople) -> Float[Tensor, ""]:
        off = (p.stature_m - statures_m).nan_to_num(0.0) / ESTIMATE_STATURE_SIGMA_M
        return 0.5 * off.square().sum()

    return Term("stature", MotionWeights.shape, loss)


def relative_translation_loss(
    pelvis_m: Float[Tensor, "frame 2 3"],
    reference_m: Float[Tensor, "frame 2 3"],
    trust: Float[Tensor, " frame"],
    outlier_sigmas: float,
) -> Float[Tensor, ""]:
    """Person 0 stays where a reference has them as seen from person 1, in a scene of any size.

    This term places a person without keypoints.

    Args:
        pelvis_m: Pelvises in camera axes.
        reference_m: Pelvises of the reference, in camera axes.
        trust: Weight of each frame.
        outlier_sigmas: Expected errors at which the loss levels off.
    """
    depth = reference_m[..., 2].mean(-1)
    off = (_relative_translation(pelvis_m) - _relative_translation(reference_m)) * depth[:, None]
    squared = (off / RELATIVE_TRANSLATION_SIGMA_M).square().sum(-1)
    return 0.5 * (trust * robust_square(squared, outlier_sigmas)).mean()


def _relative_translation(pelvis_m: Float[Tensor, "frame 2 3"]) -> Float[Tensor, "frame 3"]:
    """From person 1 to person 0, over their mean depth."""
    return (pelvis_m[:, 0] - pelvis_m[:, 1]) / pelvis_m[..., 2].mean(-1, keepdim=True)
