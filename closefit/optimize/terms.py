"""The terms that the joint optimisation adds to the motion terms (paper Eq. 6, 7 and 9)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from closefit.appearance.avatar import GaussianMap
from closefit.appearance.image_losses import rgb_loss, silhouette_loss, ssim_loss
from closefit.appearance.perceptual import ImageDistance
from closefit.config import OptimizeConfig
from closefit.fit.objective import PosedPeople
from closefit.fit.terms import Term
from closefit.fit.variables import MotionVariables
from closefit.geometry.penetration import PenetrationProxy
from closefit.geometry.touching import TouchingPairs, touch_loss


@dataclass(frozen=True, eq=False)
class RenderedFrames:
    """Renders and what they should look like: the inputs of image terms.

    Attributes:
        colour: RGB over the background; zero in frames without a mask.
        target: The people in the crops over the background; zero in frames without a mask.
        alpha: Rendered coverage.
        mask: Union mask, 0 to 1.
        masked: 1 for frames with a mask, 0 for others.
        gaussians: The decoded avatars.
    """

    colour: Float[Tensor, "frame height width 3"]
    target: Float[Tensor, "frame height width 3"]
    alpha: Float[Tensor, "frame height width"]
    mask: Float[Tensor, "frame height width"]
    masked: Float[Tensor, " frame"]
    gaussians: GaussianMap


@dataclass(frozen=True, eq=False)
class ProxyBodies:
    """Coarse posed bodies in the camera frame (metres), and the pairs that touched at the start."""

    vertices: Float[Tensor, "frame 2 vertex 3"]
    touching: TouchingPairs


def image_terms(config: OptimizeConfig) -> list[Term[RenderedFrames]]:
    """Appearance (Eq. 6) and regularisers of the Gaussian maps (Eq. 9), without LPIPS.

    Terms without a weight are left out.
    """
    c, outside = config, config.silhouette_outside
    terms: list[Term[RenderedFrames]] = [
        Term("rgb", c.weight_rgb, lambda r: rgb_loss(r.colour, r.target)),
        Term("ssim", c.weight_ssim, lambda r: ssim_loss(r.colour, r.target)),
        Term(
            "silhouette",
            c.weight_silhouette,
            lambda r: silhouette_loss(r.alpha, r.mask, r.masked, outside),
        ),
        Term("offset", c.weight_offset, lambda r: r.gaussians.offset_m.square().sum(-1).mean()),
        Term("scale", c.weight_scale, lambda r: r.gaussians.scale_m.square().sum(-1).mean()),
        Term("identity", c.weight_identity, lambda r: -r.gaussians.identity.log().mean()),
    ]
    return [Term(t.name, c.weight_appearance * t.weight, t.loss) for t in terms if t.weight > 0]


def perceptual_terms(
    config: OptimizeConfig, perceptual: ImageDistance | None
) -> list[Term[RenderedFrames]]:
    """LPIPS (Eq. 6), where its weights are present and it has a weight."""
    weight = config.weight_appearance * config.weight_lpips
    if perceptual is None or weight == 0:
        return []
    return [Term("lpips", weight, lambda r: perceptual(r.colour, r.target))]


def proxy_terms(config: OptimizeConfig, proxy: PenetrationProxy) -> list[Term[ProxyBodies]]:
    """Penetration (Eq. 7) and kept contact; terms without a weight are left out.

    Contact does not depend on `physics`, which trades accuracy against penetration only.
    """
    terms: list[Term[ProxyBodies]] = [
        Term(
            "penetration",
            config.physics * config.weight_penetration,
            lambda b: proxy.loss(b.vertices),
        ),
        Term("contact", config.weight_contact, lambda b: touch_loss(b.vertices, b.touching)),
    ]
    return [term for term in terms if term.weight > 0]


def paper_terms(config: OptimizeConfig) -> list[Term[PosedPeople]]:
    """Keypoints and smoothness as the paper has them; terms without a weight are left out."""

    def reprojection(p: PosedPeople) -> Tensor:
        """Squared distance in the person's heights, mean over all keypoints (Eq. 4)."""
        t = p.targets
        off = (p.projected_px - t.points_px) / t.height_px[..., None, None]
        return (t.weight * off.square().sum(-1)).mean()

    def velocity(p: PosedPeople) -> Tensor:
        """Squared metres that all joints of both people move between two frames (Eq. 8)."""
        if len(p.joints) < 2:
            return p.joints.new_zeros(())
        return (p.joints[1:] - p.joints[:-1]).square().flatten(1).sum(-1).mean()

    terms: list[Term[PosedPeople]] = [
        Term("reprojection", config.weight_reprojection, reprojection),
        Term("velocity", config.weight_velocity, velocity),
    ]
    return [term for term in terms if term.weight > 0]


def near_start_terms(
    start: MotionVariables, config: OptimizeConfig, weight_pose: float
) -> list[Term[PosedPeople]]:
    """Stay near the initial motion of the same frames (Eq. 9)."""

    def place(p: PosedPeople) -> Tensor:
        depth = (p.motion.log_depth - start.log_depth).square()
        ray = (p.motion.pelvis_ray - start.pelvis_ray).square().sum(-1)
        return (depth + ray).mean(0).sum()

    def pose(p: PosedPeople) -> Float[Tensor, "frame person"]:
        return (p.motion.pose_6d - start.pose_6d).square().sum((-1, -2))

    return [
        Term("anchor", weight_pose, pose),
        Term("anchor", config.weight_anchor_place, place),
        Term(
            "anchor",
            config.weight_anchor_shape,
            lambda p: (p.motion.betas - start.betas).square().sum(),
        ),
    ]
