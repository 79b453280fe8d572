"""Minibatches: windows that are filmed, detected with errors and partly hidden."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.pose import PairPose
from closefit.boundary.ranges import Share
from closefit.learning.training.windows import Augmentation, WindowSource
from closefit.prior.conditions import NUM_KEYPOINTS, Conditions
from closefit.prior.diffusion import LOWEST_TIMESTEP, NUM_TIMESTEPS
from closefit.prior.masking import MaskingConfig, hidden_frames, hidden_keypoints, hide
from closefit.prior.network import WINDOW
from closefit.prior.objective import GeometryOf, PairGeometry
from closefit.prior.state import STATE_SIZE, encode
from closefit.prior.view import View
from closefit.simulation.cameras import CameraRanges, film
from closefit.simulation.detections import DetectorRanges, detect

THRESHOLD = 0.3
"""Half of the windows drop keypoints of less confidence, as fits do."""


@dataclass(frozen=True, eq=False)
class FilmedWindows:
    """Filmed and detected windows, before anything is hidden on purpose.

    Attributes:
        pose: The truth in camera axes.
        geometry: Its joints and keypoints.
        keypoints: Normalised keypoints as detected.
    """

    pose: PairPose
    geometry: PairGeometry
    keypoints: Float[Tensor, "batch 16 2 17 3"]


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """What one training step needs.

    Attributes:
        state: The true state in each window's view, not normalised.
        conditions: What is observed.
        view: Views.
        truth: The truth in camera axes.
        geometry: Its geometry.
        timestep: Timestep of each window.
        noise: Noise for the state.
        state_hidden: Frames whose input state is hidden as well.
    """

    state: Float[Tensor, "batch 16 2 157"]
    conditions: Conditions
    view: View
    truth: PairPose
    geometry: PairGeometry
    timestep: Int[Tensor, " batch"]
    noise: Float[Tensor, "batch 16 2 157"]
    state_hidden: Bool[Tensor, "batch 16 2"]


@dataclass(frozen=True, kw_only=True)
class DataRanges:
    """What minibatches are drawn from."""

    augmentation: Augmentation = Augmentation()
    cameras: CameraRanges = CameraRanges()
    detector: DetectorRanges = DetectorRanges()
    masking: MaskingConfig = MaskingConfig()
    lowest_share: Share = 0.1
    """Windows at the timestep of x1, from which the optimisation starts."""


def draw_windows(
    source: WindowSource,
    geometry_of: GeometryOf,
    count: int,
    ranges: DataRanges,
    generator: torch.Generator,
) -> FilmedWindows:
    """Draw windows, film them and detect their keypoints."""
    world = source.draw(count, ranges.augmentation, generator)
    pose, cameras = film(world, ranges.cameras, generator)
    geometry = geometry_of(pose)
    detected = geometry_of.detected(pose)
    keypoints, _ = detect(pose, geometry, detected, cameras, ranges.detector, generator)
    return FilmedWindows(pose, geometry, keypoints)


@torch.no_grad()
def draw_minibatch(
    source: WindowSource,
    geometry_of: GeometryOf,
    count: int,
    ranges: DataRanges,
    generator: torch.Generator,
) -> TrainingBatch:
    """Draw one minibatch on the CPU; it depends on the generator alone."""
    filmed = draw_windows(source, geometry_of, count, ranges, generator)
    frames = hidden_frames(count, WINDOW, ranges.masking, generator)
    parts = hidden_keypoints(count, WINDOW, NUM_KEYPOINTS, ranges.masking, generator)
    strict = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    dropped = frames[..., None] | parts | (strict & (filmed.keypoints[..., 2] < THRESHOLD))
    keypoints = hide(filmed.keypoints, dropped)
    # Where nothing is left to see, the view is that of the people before they were hidden.
    nobody = ~(keypoints[..., 2] > 0).flatten(1).any(1)
    view = View.of(torch.where(nobody[:, None, None, None, None], filmed.keypoints, keypoints))
    also_state = torch.rand(count, 1, 1, generator=generator) < ranges.masking.state_probability
    return TrainingBatch(
        state=encode(filmed.pose, view),
        conditions=Conditions.of(keypoints, view),
        view=view,
        truth=filmed.pose,
        geometry=filmed.geometry,
        timestep=_timesteps(count, ranges.lowest_share, generator),
        noise=torch.randn(count, WINDOW, 2, STATE_SIZE, generator=generator),
        state_hidden=frames & also_state,
    )


def _timesteps(
    count: int, lowest_share: float, generator: torch.Generator
) -> Int[Tensor, " batch"]:
    # The larger of two draws: at high timesteps the network must rely on the conditions.
    drawn = torch.randint(NUM_TIMESTEPS, (2, count), generator=generator).amax(0)
    lowest = torch.rand(count, generator=generator) < lowest_share
    return torch.where(lowest, LOWEST_TIMESTEP, drawn)
