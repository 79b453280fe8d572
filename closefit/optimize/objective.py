"""The joint objective of motion and appearance (paper Eq. 10)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from closefit.appearance.avatar import Avatars, SurfaceRig
from closefit.appearance.image_losses import composite
from closefit.appearance.perceptual import ImageDistance
from closefit.appearance.raster.gaussians import Render
from closefit.appearance.raster.rasterizer import rasterize
from closefit.config import OptimizeConfig
from closefit.fit.floor import FloorPlane
from closefit.fit.objective import MotionObjective, PosedPeople
from closefit.fit.targets import KeypointTargets
from closefit.fit.terms import evaluate
from closefit.fit.variables import MotionVariables
from closefit.geometry.penetration import PenetrationProxy
from closefit.geometry.touching import TouchingPairs, touching_pairs
from closefit.optimize.identity_filter import foreign_keypoints
from closefit.optimize.step_clock import StepClock
from closefit.optimize.terms import (
    ProxyBodies,
    RenderedFrames,
    image_terms,
    near_start_terms,
    paper_terms,
    perceptual_terms,
    proxy_terms,
)

CHUNK = 64
"""Frames posed at once when all are wanted."""

BACKGROUND = 1.0
"""White, as in the paper."""

Terms = dict[str, Float[Tensor, ""]]
"""Weighted losses by name."""


@dataclass(frozen=True, eq=False)
class CroppedFrames:
    """Crops around both people, all frames at one size.

    The pixels of a very long clip stay in files when the rest is on a GPU.

    Attributes:
        images: RGB.
        masks: Union mask, 0 to 255.
        masked: Frames that have a union mask.
        K: Intrinsics of each crop.
        known: 1 for pixels that the frame shows; None where that is all of them.
    """

    images: UInt8[Tensor, "frame height width 3"]
    masks: UInt8[Tensor, "frame height width"]
    masked: Bool[Tensor, " frame"]
    K: Float[Tensor, "frame 3 3"]
    known: UInt8[Tensor, "frame height width"] | None = None

    def cut(
        self, frames: Int[Tensor, " chosen"], numbers: Sequence[int] | None = None
    ) -> "CroppedFrames":
        """The same crops, some frames only, on the device of `frames`.

        Args:
            frames: Numbers of the frames.
            numbers: The same in Python, for pixels that stay in files: the host need not wait for
                `frames`, and the GPU goes on with its queue while the pixels are copied to it.
        """
        stored = (self.images, self.masks, *(() if self.known is None else (self.known,)))
        if self.images.device == frames.device:
            cut = [pixels[frames] for pixels in stored]
        else:
            rows = torch.tensor(frames.tolist() if numbers is None else numbers)
            cut = [_uploaded(pixels, rows, frames.device) for pixels in stored]
        images, masks, *known = cut
        masked, K = self.masked[frames], self.K[frames]
        return CroppedFrames(images, masks, masked, K, known[0] if known else None)


@dataclass(frozen=True, eq=False)
class ObservedClip:
    """What was observed of a clip: keypoints, and crops unless only motion is optimised."""

    targets: KeypointTargets
    crops: CroppedFrames | None


def _uploaded(
    pixels: UInt8[Tensor, "frame *size"], rows: Int[Tensor, " chosen"], device: torch.device
) -> UInt8[Tensor, "chosen *size"]:
    """Rows of a tensor on the host, copied to the GPU from pinned memory.

    From other memory the host would wait for the copy. PyTorch keeps the pinned block until the
    copy is done, and then for the next step.
    """
    shape = len(rows), *pixels.shape[1:]
    pinned = torch.empty(shape, dtype=pixels.dtype, pin_memory=True)
    return torch.index_select(pixels, 0, rows, out=pinned).to(device, non_blocking=True)


class JointObjective:
    """Lists of terms, and what is computed once for each list."""

    def __init__(
        self,
        motion: MotionObjective,
        rig: SurfaceRig,
        proxy: PenetrationProxy,
        perceptual: ImageDistance | None,
        config: OptimizeConfig,
        weight_pose: float,
    ) -> None:
        """Collect the terms; `weight_pose` is the weight of staying near the initial poses."""
        self._motion = motion
        self._rig = rig
        self._proxy_body = motion.body.subset(proxy.vertex_indices)
        self._image_terms = image_terms(config)
        self._perceptual_terms = perceptual_terms(config, perceptual)
        self._proxy_terms = proxy_terms(config, proxy)
        self._paper_terms = paper_terms(config)
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
    ) -> tuple[Terms, Render]:
        """Image terms on the frames of `crops`, and the render."""
        gaussian_map = avatars()
        self.clock.lap("avatars")
        gaussians = self._rig.pose(gaussian_map, rotations, betas, transl)
        self.clock.lap("posing of Gaussians")
        height, width = crops.images.shape[1:3]
        render = rasterize(gaussians, crops.K, width, height)
        self.clock.lap("render")
        self.clock.lap_at_gradient(render.features, "backward of image terms")
        self.clock.lap_at_gradient(gaussians.means, "backward of render")
        masked = crops.masked.to(torch.float32)
        mask = crops.masks.to(torch.float32) / 255.0
        background = render.features.new_full((3,), BACKGROUND)
        target = composite(crops.images.to(torch.float32) / 255.0, mask, background)
        colour = render.features[..., :3] + (1.0 - render.alpha[..., None]) * background
        # Without a mask, people cannot be separated from the background: the frame is left out.
        shown, alpha = masked[:, None, None, None], render.alpha
        if crops.known is not None:  # beside the picture of a camera that moves
            known = crops.known.to(torch.float32)
            shown, alpha = shown * known[..., None], alpha * known
        rendered = RenderedFrames(colour * shown, target * shown, alpha, mask, masked, gaussian_map)
        terms = evaluate(self._image_terms, rendered)
        self.clock.lap("image terms")
        if self._perceptual_terms:
            terms |= evaluate(self._perceptual_terms, rendered)
            self.clock.lap("lpips")
        return terms, render

    def motion(
        self,
        motion: MotionVariables,
        start: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
        rendered: Int[Tensor, " rendered"],
        touching: TouchingPairs,
    ) -> tuple[Terms, PosedPeople]:
        """Terms of `poses`, and of both bodies together in the `rendered` frames.

        Args:
            motion: Motion of a window.
            start: Initial motion of the window.
            floor: The shared floor.
            targets: Observed keypoints of the window.
            rendered: Frames, counted in the window, in which penetration and contact count.
            touching: Pairs of vertices to keep in contact in these frames.
        """
        terms, posed = self.poses(motion, start, floor, targets)
        self.clock.lap("motion terms")
        if self._proxy_terms:
            vertices = self._proxy_body.pose(
                posed.rotations[rendered], motion.betas, posed.transl[rendered]
            ).vertices
            self.clock.lap("posing of proxies")
        for term in self._proxy_terms:
            terms |= evaluate([term], ProxyBodies(vertices, touching))
            self.clock.lap(term.name)
        return terms, posed

    def poses(
        self,
        motion: MotionVariables,
        start: MotionVariables,
        floor: FloorPlane,
        targets: KeypointTargets,
    ) -> tuple[Terms, PosedPeople]:
        """Terms of each person's motion: those of `init`, and staying near the start (Eq. 9)."""
        posed = self._motion.pose(motion, floor, targets)
        near_start = near_start_terms(start, self._config, self._weight_pose)
        return evaluate([*self._motion.terms, *self._paper_terms, *near_start], posed), posed

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
        """Keypoints that the render gives to somebody else (paper section 3.3)."""
        scale = crops.K[:, 0, 0] / targets.K[:, 0, 0]
        shift = crops.K[:, :2, 2] - scale[:, None] * targets.K[:, :2, 2]
        points = targets.points_px * scale[:, None, None, None] + shift[:, None, None, :]
        only_own = self._config.keypoint_filter == "own"
        rejected = foreign_keypoints(render.features[..., 3:5], points, radius_px, only_own)
        self.clock.lap("identity filter")
        return rejected

    def identity_radius_px(self, crops: CroppedFrames, targets: KeypointTargets) -> list[float]:
        """Tolerance of `foreign_keypoints` in each frame, in pixels of its crop."""
        scale = crops.K[:, 0, 0] / targets.K[:, 0, 0]
        radius: list[float] = (
            self._config.identity_radius * targets.height_px.mean(1) * scale
        ).tolist()
        return radius
