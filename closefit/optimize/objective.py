"""The joint objective of motion and appearance (paper Eq. 10) for one visit of the schedule."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from closefit.appearance.avatar import Avatars, SurfaceRig
from closefit.appearance.image_losses import composite, rgb_loss, silhouette_loss, ssim_loss
from closefit.appearance.perceptual import PerceptualLoss
from closefit.appearance.raster.rasterizer import Render, rasterize
from closefit.config import OptimizeConfig
from closefit.fit.floor import FloorPlane
from closefit.fit.motion_objective import MotionObjective, MotionTerms
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.geometry.penetration import PenetrationProxy
from closefit.geometry.touching import TouchingPairs, touch_loss, touching_pairs
from closefit.optimize.identity_filter import keypoints_on_other_person
from closefit.optimize.step_clock import StepClock

CHUNK = 64
BACKGROUND = 1.0
"""White, as in the paper."""


@dataclass(frozen=True, eq=False)
class CroppedFrames:
    """Crops around both people, all frames at one size.

    The pixels of a very long clip stay in files when the rest is on a GPU.

    Attributes:
        images: RGB.
        masks: Union mask, 0 to 255.
        masked: Frames that have a union mask.
        K: Intrinsics of each crop.
    """

    images: UInt8[Tensor, "frame height width 3"]
    masks: UInt8[Tensor, "frame height width"]
    masked: Bool[Tensor, " frame"]
    K: Float[Tensor, "frame 3 3"]

    def cut(self, frames: Tensor) -> "CroppedFrames":
        """The same crops, some frames only, on the device of `frames`."""
        stored = frames.to(self.images.device)
        return CroppedFrames(
            images=self.images[stored].to(frames.device),
            masks=self.masks[stored].to(frames.device),
            masked=self.masked[frames],
            K=self.K[frames],
        )


class JointObjective:
    """Every term of Eq. 10 on a stretch of frames."""

    def __init__(
        self,
        motion: MotionObjective,
        rig: SurfaceRig,
        proxy: PenetrationProxy,
        perceptual: PerceptualLoss | None,
        config: OptimizeConfig,
        weight_pose: float,
    ) -> None:
        """Put the terms together; a term of zero weight is never computed.

        `weight_pose` says how much poses are worth staying where init left them.
        """
        self._motion = motion
        self._rig = rig
        self._proxy = proxy
        self._proxy_body = motion.body.subset(proxy.vertex_indices)
        self._perceptual = perceptual
        self._config = config
        self._weight_pose = weight_pose
        self.clock = StepClock(motion.body.v_template.device)

    def transl(self, motion: MotionVariables) -> Float[Tensor, "frame person 3"]:
        """Translations of `motion` for the body of this objective."""
        return motion.transl(self._motion.body)

    def appearance(
        self,
        avatars: Avatars,
        rotations: Float[Tensor, "rendered person 24 3 3"],
        betas: Float[Tensor, "person 10"],
        transl: Float[Tensor, "rendered person 3"],
        crops: CroppedFrames,
    ) -> tuple[dict[str, Float[Tensor, ""]], Render]:
        """Appearance terms (Eq. 6) and map regularisers (Eq. 9) on the frames of `crops`."""
        c = self._config
        gaussian_map = avatars()
        self.clock.lap("avatars")
        gaussians = self._rig.pose(gaussian_map, rotations, betas, transl)
        self.clock.lap("posing of Gaussians")
        height, width = crops.images.shape[1:3]
        render = rasterize(gaussians, crops.K, width, height)
        self.clock.lap("render")
        self.clock.lap_at_gradient(render.features, "backward of image terms")
        self.clock.lap_at_gradient(gaussians.means, "backward of render")
        known = crops.masked.to(torch.float32)
        mask = crops.masks.to(torch.float32) / 255.0
        background = render.features.new_full((3,), BACKGROUND)
        target = composite(crops.images.to(torch.float32) / 255.0, mask, background)
        rendered = render.features[..., :3] + (1.0 - render.alpha[..., None]) * background
        # Without a mask nothing tells people from background: such a frame has no say here.
        shown = known[:, None, None, None]
        rendered, target = rendered * shown, target * shown
        terms = {
            "rgb": c.weight_rgb * rgb_loss(rendered, target),
            "ssim": c.weight_ssim * ssim_loss(rendered, target),
            "silhouette": c.weight_silhouette
            * silhouette_loss(render.alpha, mask, known, c.silhouette_outside),
            "offset": c.weight_offset * gaussian_map.offset_m.square().sum(-1).mean(),
            "scale": c.weight_scale * gaussian_map.scale_m.square().sum(-1).mean(),
            "identity": c.weight_identity * -gaussian_map.identity.log().mean(),
        }
        self.clock.lap("image terms")
        if self._perceptual is not None and c.weight_lpips > 0:
            terms["lpips"] = c.weight_lpips * self._perceptual(rendered, target)
            self.clock.lap("lpips")
        return {name: c.weight_appearance * term for name, term in terms.items()}, render

    def motion(
        self,
        motion: MotionVariables,
        start: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
        rendered: Int[Tensor, " rendered"],
        touching: TouchingPairs,
    ) -> MotionTerms:
        """Motion terms of the stretch, regularisers to the start (Eq. 9), penetration (Eq. 7).

        Penetration and lost contact are evaluated in the `rendered` frames, which `touching`
        describes.
        """
        c = self._config
        value = self.poses(motion, start, floor, targets)
        self.clock.lap("motion terms")
        if c.physics > 0 or c.weight_contact > 0:
            vertices = self._proxy_body.pose(
                value.rotations[rendered], motion.betas, value.transl[rendered]
            ).vertices
            self.clock.lap("posing of proxies")
            # Contact does not depend on `physics`: that trades accuracy against penetration only.
            if c.physics > 0:
                value.terms["penetration"] = (
                    c.physics * c.weight_penetration * self._proxy.loss(vertices)
                )
                self.clock.lap("penetration")
            if c.weight_contact > 0:
                value.terms["contact"] = c.weight_contact * touch_loss(vertices, touching)
                self.clock.lap("contact")
        return value

    def poses(
        self,
        motion: MotionVariables,
        start: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
    ) -> MotionTerms:
        """Terms of each person's motion: those of init, and regularisers to the start (Eq. 9)."""
        c = self._config
        value = self._motion(motion, floor, targets)
        anchor = self._weight_pose * (motion.pose_6d - start.pose_6d).square().sum((-1, -2))
        depth = (motion.log_depth - start.log_depth).square()
        ray = (motion.pelvis_ray - start.pelvis_ray).square().sum(-1)
        value.terms["anchor"] = (
            anchor.mean(0).sum()
            + c.weight_anchor_place * (depth + ray).mean(0).sum()
            + c.weight_anchor_shape * (motion.betas - start.betas).square().sum()
        )
        return value

    @torch.no_grad()
    def touching(self, motion: MotionVariables) -> TouchingPairs:
        """Where the two people touch in every frame of `motion`."""
        chunks = torch.arange(len(motion.pose_6d), device=motion.betas.device).split(CHUNK)
        found = []
        for frames in chunks:
            part = motion.cut(frames)
            posed = self._proxy_body.pose(part.rotations(), part.betas, self.transl(part))
            found.append(touching_pairs(posed.vertices))
        return TouchingPairs(
            torch.cat([pairs.vertices for pairs in found]),
            torch.cat([pairs.weight for pairs in found]),
        )

    @torch.no_grad()
    def foreign_keypoints(
        self, render: Render, crops: CroppedFrames, targets: KeypointTargets, radius_px: float
    ) -> Bool[Tensor, "rendered person keypoint"]:
        """Keypoints that lie on the other person in the render (paper section 3.3)."""
        scale = crops.K[:, 0, 0] / targets.K[:, 0, 0]
        shift = crops.K[:, :2, 2] - scale[:, None] * targets.K[:, :2, 2]
        points = targets.points_px * scale[:, None, None, None] + shift[:, None, None, :]
        rejected = keypoints_on_other_person(render.features[..., 3:5], points, radius_px)
        self.clock.lap("identity filter")
        return rejected

    def identity_radius_px(self, crops: CroppedFrames, targets: KeypointTargets) -> list[float]:
        """Tolerance of `foreign_keypoints` in each frame, in pixels of its crop."""
        scale = crops.K[:, 0, 0] / targets.K[:, 0, 0]
        radius: list[float] = (
            self._config.identity_radius * targets.height_px.mean(1) * scale
        ).tolist()
        return radius
