"""Keypoints as a real detector reports them for people who hide each other.

The noise follows what two detectors do on rendered people (docs/experiments.md): each keypoint has
a confidence, whose distribution depends on the body part and on what hides it; it is near its place
with about that probability, else somewhere else: on the person's other side, on the other person,
or nearby. Errors and confidences last, joints are where networks see them, people who are hidden
are missed, identities are swapped. Everything is drawn for a batch of windows at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.keypoints import COCO17
from closefit.body.pose import PairPose
from closefit.boundary.ranges import Share, Weight
from closefit.learning.training.cameras import Cameras
from closefit.learning.training.occlusion import hidden_keypoints
from closefit.prior.objective import PairGeometry

STATURE_M = 1.7
LASTING, FLEETING, MEMORY = 0.25, 0.65, 0.8
"""Variance of an error that lasts for the window, and of one that decays by `MEMORY` a frame; the
rest is new in each frame."""

_PART = torch.tensor([0] * 5 + [part for part in range(1, 7) for _ in range(2)])
"""Face, shoulder, elbow, wrist, hip, knee or ankle."""
_MIRROR = torch.tensor(COCO17.swap)

# One column per part: mean and standard deviation of the logit of the confidence.
CONFIDENCE_LOGIT = {
    "visible": ((2.5, 5.0, 3.5, 2.1, 5.0, 3.8, 3.3), (3.0, 2.0, 2.8, 2.9, 1.5, 1.8, 1.6)),
    "self": ((1.0, 3.5, -0.3, -0.7, 5.0, 2.5, 2.0), (3.0, 1.2, 1.8, 2.0, 1.5, 1.8, 1.5)),
    "other": ((-0.5, 0.8, -2.1, -1.2, 1.0, 0.2, 0.0), (2.5, 2.0, 2.0, 2.3, 2.3, 2.0, 2.0)),
}
WIDE = torch.tensor([0.04, 0.07, 0.13, 0.16, 0.065, 0.08, 0.09])
"""Standard deviation of the error of a keypoint that is not near its place, by part."""


@dataclass(frozen=True, kw_only=True)
class DetectorRanges:
    """Errors of detectors; lengths are shares of a person's height in the image.

    Attributes:
        jitter: Standard deviation of the error of keypoints that are near their place.
        hidden_jitter: Factor on it for keypoints behind something.
        confidence_shift: Standard deviation of a window's shift of all logits of confidences.
        wrong_places: Of the wrong keypoints: share on the own other side, on the other person, on
            the other person's other side.
        edge_probability: People in whom keypoints outside the picture are reported at its edge.
        edge_confidence: Largest confidence of those.
        lost_beyond: Range of the share of hidden keypoints beyond which a person is not found.
        miss_probability: Frames in which a person is missed for no reason.
        swap_probability: Frames in which overlapping people are swapped.
        swap_run_probability: Windows in which they are for some frames.
        detected_probability: Noisy windows whose joints are where networks see them.
        clean_probability: Windows without any noise: imported tracks can be that good.
    """

    jitter: tuple[Share, Share] = (0.006, 0.015)
    hidden_jitter: Weight = 1.6
    confidence_shift: Weight = 0.7
    wrong_places: tuple[Share, Share, Share] = (0.22, 0.14, 0.06)
    edge_probability: Share = 0.5
    edge_confidence: Share = 0.5
    lost_beyond: tuple[Share, Weight] = (0.3, 1.2)
    miss_probability: Share = 0.02
    swap_probability: Share = 0.03
    swap_run_probability: Share = 0.04
    detected_probability: Share = 0.7
    clean_probability: Share = 0.1


def detect(
    pose: PairPose,
    geometry: PairGeometry,
    detected: Float[Tensor, "batch frame 2 17 2"],
    cameras: Cameras,
    ranges: DetectorRanges,
    generator: torch.Generator,
) -> Float[Tensor, "batch frame 2 17 3"]:
    """Return normalised keypoints (x/z, y/z, confidence) of an imperfect detector.

    Args:
        pose: The people in camera axes.
        geometry: Their joints and keypoints.
        detected: Keypoints where networks see them (`coco17_detected`).
        cameras: Cameras, for what lies outside the picture.
        ranges: Errors.
        generator: Source of everything random.
    """
    batch, frames = geometry.keypoints.shape[:2]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    by_other, by_self = hidden_keypoints(pose, geometry)
    noisy = uniform(batch, 1, 1, 1) > ranges.clean_probability
    as_seen = noisy & (uniform(batch, 1, 1, 1) < ranges.detected_probability)
    true = torch.where(as_seen[..., None], detected, geometry.keypoints)
    unit = (STATURE_M / pose.pelvis_m[..., 2:].clamp_min(0.3))[..., None]  # height on z = 1
    confidence = _confidence(by_other, by_self, ranges, generator)
    found = _places(true, unit, confidence, by_other | by_self, ranges, generator)
    found, confidence = _outside(found, confidence, cameras, ranges, generator)
    low, high = ranges.lost_beyond
    lost = by_other.float().mean(-1) > low + (high - low) * uniform(batch, 1, 2)
    lost |= uniform(batch, frames, 2) < ranges.miss_probability
    swapped = _swapped(geometry, ranges, generator)
    keypoints = torch.cat([found, confidence[..., None]], dim=-1)
    keypoints = torch.where(lost[..., None, None], 0.0, keypoints)
    keypoints = torch.where(swapped[..., None, None, None], keypoints.flip(2), keypoints)
    inside = cameras.inside(true)
    exact = torch.cat([true, torch.where(inside, confidence, 0.0)[..., None]], dim=-1)
    keypoints = torch.where(noisy[..., None], keypoints, exact)
    return torch.where(keypoints[..., 2:] > 0, keypoints, 0.0)


def _confidence(
    by_other: Bool[Tensor, "batch frame 2 17"],
    by_self: Bool[Tensor, "batch frame 2 17"],
    ranges: DetectorRanges,
    generator: torch.Generator,
) -> Float[Tensor, "batch frame 2 17"]:
    """Confidences by part and by what hides it; they last."""
    batch, frames = by_other.shape[:2]
    mean, std = (
        torch.where(by_other, other, torch.where(by_self, own, visible))
        for visible, own, other in zip(
            *(_columns(*CONFIDENCE_LOGIT[kind]) for kind in ("visible", "self", "other")),
            strict=True,
        )
    )
    drawn = lasting_noise((batch, frames, 2, 17, 1), generator)[..., 0]
    shift = ranges.confidence_shift * torch.randn(batch, 1, 1, 1, generator=generator)
    return torch.sigmoid(mean + shift + std * drawn).clamp_min(1e-3)


def _columns(*by_part: tuple[float, ...]) -> tuple[Tensor, ...]:
    """Values of parts as values of keypoints."""
    return tuple(torch.tensor(values)[_PART] for values in by_part)


def _places(
    true: Float[Tensor, "batch frame 2 17 2"],
    unit: Float[Tensor, "batch frame 2 1 1"],
    confidence: Float[Tensor, "batch frame 2 17"],
    hidden: Bool[Tensor, "batch frame 2 17"],
    ranges: DetectorRanges,
    generator: torch.Generator,
) -> Float[Tensor, "batch frame 2 17 2"]:
    """Where keypoints are reported: near their places with the probability `confidence`."""
    batch, frames = true.shape[:2]
    shape = (batch, frames, 2, 17)
    # The face is easy to place, whatever networks think of it.
    doubted = torch.where(_PART == 0, 0.5 + 0.5 * confidence, confidence)
    wrong = _share(shape, generator) > doubted
    low, high = ranges.jitter
    sigma = low + (high - low) * torch.rand(batch, 1, 1, 1, generator=generator)
    sigma = sigma * torch.where(hidden, ranges.hidden_jitter, 1.0)
    sigma = torch.where(wrong, WIDE[_PART], sigma)
    moved = lasting_noise((*shape, 2), generator) * sigma[..., None] * unit
    where = _share(shape, generator)
    mirrored, other, both = ranges.wrong_places
    body = wrong & (_PART > 0)
    crossed = true.flip(2)
    place = torch.where((body & (where < mirrored))[..., None], true[..., _MIRROR, :], true)
    elsewhere = body & (where >= mirrored)
    on_other = elsewhere & (where < mirrored + other)
    place = torch.where(on_other[..., None], crossed, place)
    on_both = elsewhere & ~on_other & (where < mirrored + other + both)
    place = torch.where(on_both[..., None], crossed[..., _MIRROR, :], place)
    exact = body & (where < mirrored + other + both)
    return place + torch.where(exact[..., None], 0.2, 1.0) * moved


def _outside(
    found: Float[Tensor, "batch frame 2 17 2"],
    confidence: Float[Tensor, "batch frame 2 17"],
    cameras: Cameras,
    ranges: DetectorRanges,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch frame 2 17 2"], Float[Tensor, "batch frame 2 17"]]:
    """Keypoints outside the picture are missing, or at its edge with little confidence."""
    batch = len(found)
    outside = ~cameras.inside(found)
    at_edge = torch.rand(batch, 1, 2, 1, generator=generator) < ranges.edge_probability
    most = ranges.edge_confidence * torch.rand(batch, 1, 2, 1, generator=generator)
    little = torch.where(at_edge, most * confidence, 0.0)
    inside = cameras.clamped(found)
    return inside, torch.where(outside, little, confidence)


def _share(shape: tuple[int, int, int, int], generator: torch.Generator) -> Tensor:
    """Uniform draws that last."""
    return torch.special.ndtr(lasting_noise((*shape, 1), generator)[..., 0])


def lasting_noise(
    shape: tuple[int, int, int, int, int], generator: torch.Generator
) -> Float[Tensor, "batch frame person keypoint value"]:
    """Unit normal noise: a constant, a first-order autoregression and white noise."""
    index = torch.arange(shape[1])
    fading = MEMORY ** (index[:, None] - index[None, :]).abs().float()
    covariance = LASTING + FLEETING * fading + (1.0 - LASTING - FLEETING) * torch.eye(shape[1])
    white = torch.randn(*shape, generator=generator)
    return torch.einsum("ij,bjpkc->bipkc", torch.linalg.cholesky(covariance), white)


def _swapped(
    geometry: PairGeometry, ranges: DetectorRanges, generator: torch.Generator
) -> Bool[Tensor, "batch frame"]:
    """Frames in which the two identities are swapped, only while the people overlap."""
    batch, frames = geometry.keypoints.shape[:2]
    low, high = geometry.keypoints.amin(3), geometry.keypoints.amax(3)
    overlap = (
        torch.minimum(high[:, :, 0], high[:, :, 1]) > torch.maximum(low[:, :, 0], low[:, :, 1])
    ).all(-1)
    single = torch.rand(batch, frames, generator=generator) < ranges.swap_probability
    run_start = frames * torch.rand(batch, 1, generator=generator)
    index = torch.arange(frames)
    run = (index >= run_start) & (
        index < run_start + 2 + 4 * torch.rand(batch, 1, generator=generator)
    )
    run &= torch.rand(batch, 1, generator=generator) < ranges.swap_run_probability
    return overlap & (single | run)
