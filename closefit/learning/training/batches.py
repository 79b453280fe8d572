"""Training batches: windows, filmed, badly detected, partly hidden, as the network sees them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.learning.training.cameras import CameraRanges, Cameras, film
from closefit.learning.training.detections import DetectorRanges, detect
from closefit.learning.training.windows import Augmentation, WindowSource
from closefit.prior.conditions import NUM_KEYPOINTS, Conditions
from closefit.prior.diffusion import NUM_LEVELS
from closefit.prior.masking import MaskingConfig, hidden_frames, hidden_keypoints, hide
from closefit.prior.network import WINDOW
from closefit.prior.objective import GeometryOf, PairGeometry
from closefit.prior.state import STATE_SIZE, PairPose, encode
from closefit.prior.view import View

THRESHOLD = 0.3
"""Half of the windows drop keypoints of less confidence, as fits do."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Filmed and detected windows, before anything is hidden on purpose.

    Attributes:
        pose: The truth in camera axes.
        geometry: Its joints and keypoints.
        cameras: Intrinsics.
        rays: Detected keypoints (x/z, y/z, confidence).
    """

    pose: PairPose
    geometry: PairGeometry
    cameras: Cameras
    rays: Float[Tensor, "batch 16 2 17 3"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step needs.

    Attributes:
        state: The true state in each window's view, not normalised.
        conditions: Observations as the network sees them.
        view: Views.
        truth: The truth in camera axes.
        geometry: Its geometry.
        level: Noise levels.
        noise: Noise for the state.
        state_hidden: Frames whose input state is hidden as well.
    """

    state: Float[Tensor, "batch 16 2 157"]
    conditions: Conditions
    view: View
    truth: PairPose
    geometry: PairGeometry
    level: Int[Tensor, " batch"]
    noise: Float[Tensor, "batch 16 2 157"]
    state_hidden: Bool[Tensor, "batch 16 2"]


@dataclass(frozen=True, kw_only=True)
class DataRanges:
    """Everything that a training batch is drawn from."""

    augmentation: Augmentation = Augmentation()
    cameras: CameraRanges = CameraRanges()
    detector: DetectorRanges = DetectorRanges()
    masking: MaskingConfig = MaskingConfig()


def draw_scene(
    source: WindowSource,
    geometry_of: GeometryOf,
    count: int,
    ranges: DataRanges,
    generator: torch.Generator,
) -> Scene:
    """Draw windows, film them and detect their keypoints."""
    world = source.draw(count, ranges.augmentation, generator)
    pose, cameras = film(world, ranges.cameras, generator)
    geometry = geometry_of(pose)
    rays = detect(pose, geometry, cameras, ranges.detector, generator)
    return Scene(pose, geometry, cameras, rays)


@torch.no_grad()
def draw_batch(
    source: WindowSource,
    geometry_of: GeometryOf,
    count: int,
    ranges: DataRanges,
    generator: torch.Generator,
) -> Batch:
    """Draw one training batch on the CPU; the generator alone decides it."""
    scene = draw_scene(source, geometry_of, count, ranges, generator)
    frames = hidden_frames(count, WINDOW, ranges.masking, generator)
    parts = hidden_keypoints(count, WINDOW, NUM_KEYPOINTS, ranges.masking, generator)
    strict = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    dropped = frames[..., None] | parts | (strict & (scene.rays[..., 2] < THRESHOLD))
    rays = hide(scene.rays, dropped)
    # With nothing left to see, the view is the caller's choice: that of the unhidden people.
    nobody = ~(rays[..., 2] > 0).flatten(1).any(1)
    view = View.of(torch.where(nobody[:, None, None, None, None], scene.rays, rays))
    also_state = torch.rand(count, 1, 1, generator=generator) < ranges.masking.state_probability
    return Batch(
        state=encode(scene.pose, view),
        conditions=Conditions.of(rays, view),
        view=view,
        truth=scene.pose,
        geometry=scene.geometry,
        # The larger of two draws: only high levels teach what observations alone say.
        level=torch.randint(NUM_LEVELS, (2, count), generator=generator).amax(0),
        noise=torch.randn(count, WINDOW, 2, STATE_SIZE, generator=generator),
        state_hidden=frames & also_state,
    )
