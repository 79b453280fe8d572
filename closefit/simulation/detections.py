"""Keypoints as a real detector reports them for people who hide each other.

The noise follows what two detectors do on rendered people (benchmarks/detector_noise.py). A
keypoint has a confidence, whose distribution depends on the network, the body part and what hides
it. The less confidence, the more often it is somewhere else: on the person's other side, on the
other person, or anywhere near. Errors and confidences last, joints are where networks see them,
people who are hidden are not found, identities are swapped. Everything is drawn for a batch of
windows at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from closefit.body.keypoints import COCO17
from closefit.body.pose import PairPose
from closefit.boundary.ranges import Share, Weight
from closefit.prior.masking import random_spans
from closefit.prior.objective import PairGeometry
from closefit.simulation.cameras import Cameras
from closefit.simulation.occlusion import hidden_keypoints

STATURE_M = 1.7
ERRORS, CHOICES = (0.35, 0.62, 0.85), (0.5, 0.5, 0.92)
"""Of errors, and of what is taken for what: variance of the part that lasts for the window, of the
part that decays, and its memory from frame to frame; the rest is new in each frame."""

_PART = torch.tensor([0] * 5 + [part for part in range(1, 7) for _ in range(2)])
"""Face, shoulder, elbow, wrist, hip, knee or ankle."""
_MIRROR = torch.tensor(COCO17.swap)

CONFIDENCE_LOGIT = torch.tensor([
    [[[5.3, 5.4, 2.4, 1.1, 5.8, 2.5, 2.6], [2.4, 2.5, 3.1, 3.2, 1.7, 1.9, 1.8]],
     [[5.3, 6.3, -2.1, -2.6, 5.9, 0.3, 0.8], [2.2, 1.6, 1.3, 1.7, 1.8, 0.9, 1.1]],
     [[2.6, 2.5, -1.7, -1.5, 4.0, 0.7, 0.3], [2.4, 3.2, 3.0, 2.9, 3.3, 2.6, 3.1]]],
    [[[0.6, 5.2, 3.4, 1.9, 5.9, 5.7, 3.8], [2.6, 1.7, 2.2, 2.4, 2.2, 1.7, 1.5]],
     [[-1.1, 3.5, 0.9, 0.1, 6.2, 5.3, 3.4], [2.6, 1.2, 1.4, 1.9, 1.1, 0.9, 1.3]],
     [[-1.9, 0.0, -2.1, -1.3, 0.3, -0.3, 0.2], [1.4, 2.0, 2.2, 2.5, 2.4, 2.1, 2.0]]],
]).transpose(2, 3)  # fmt: skip
"""`network kind part moment`: mean and standard deviation of the confidence's logit; BlazePose and
YOLO; visible, behind the own body, behind the other person."""

MOST_LOGIT = 7.0
WRONG_PLACE = torch.tensor([
    [0.0, 0.01, 0.02, 0.05, 0.0, 0.01, 0.02],
    [0.0, 0.0, 0.06, 0.12, 0.0, 0.0, 0.03],
    [0.0, 0.15, 0.30, 0.40, 0.20, 0.30, 0.35],
])  # fmt: skip
DOUBTED_PLACE = torch.tensor([0.7, 0.25, 0.5])
"""Probability of a wrong place at full confidence, by kind and part, and what doubt squared adds to
it, by kind. Faces are always near their place."""
HIDDEN_JITTER = torch.tensor([1.0, 1.5, 2.5])
"""By kind: factor on the error of keypoints near their place."""
WIDE = torch.tensor([0.04, 0.06, 0.10, 0.12, 0.065, 0.08, 0.09])
"""Standard deviation of the error of a keypoint that is in no known wrong place, by part."""
LOST_FRAMES = 9
"""Frames over which the hidden share of a person is averaged."""
MISSED_FRAMES = 16
"""Longest run in which somebody is missed for no reason, and of how many frames one is drawn."""


@dataclass(frozen=True, kw_only=True)
class DetectorRanges:
    """Errors of detectors; lengths are shares of a person's height in the image.

    Attributes:
        network: Range of the mixture of the two networks' confidences; 0 is BlazePose, 1 YOLO.
        jitter: Standard deviation of the error of confident, visible keypoints.
        doubt_jitter: What full doubt adds, as a factor.
        wrong_places: Of the wrong keypoints: share on the own other side, on the other person, on
            the other person's other side.
        edge_probability: People in whom keypoints outside the picture are reported at its edge.
        edge_confidence: Largest confidence of those.
        lost_beyond: Range of the share of hidden keypoints beyond which a person is not found.
        miss_probability: People who are missed for no reason for a run of frames, of each 16.
        swap_probability: Frames in which overlapping people are swapped.
        swap_run_probability: Windows or clips in which they are for some frames.
        detected_probability: Noisy windows whose joints are where networks see them.
        clean_probability: Windows without any noise: imported tracks can be that good.
    """

    network: tuple[Share, Share] = (0.0, 1.0)
    jitter: tuple[Share, Share] = (0.006, 0.015)
    doubt_jitter: Weight = 1.5
    wrong_places: tuple[Share, Share, Share] = (0.22, 0.10, 0.06)
    edge_probability: Share = 0.9
    edge_confidence: Share = 0.5
    lost_beyond: tuple[Share, Weight] = (0.2, 0.7)
    miss_probability: Share = 0.04
    swap_probability: Share = 0.005
    swap_run_probability: Share = 0.03
    detected_probability: Share = 0.7
    clean_probability: Share = 0.1


def detect(
    pose: PairPose,
    geometry: PairGeometry,
    detected: Float[Tensor, "batch frame 2 17 2"],
    cameras: Cameras,
    ranges: DetectorRanges,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch frame 2 17 3"], Bool[Tensor, "batch frame"]]:
    """Keypoints of an imperfect detector, and the frames in which the two people are swapped.

    Args:
        pose: The people in camera axes.
        geometry: Their joints and keypoints.
        detected: Keypoints where networks see them (`coco17_detected`).
        cameras: Cameras, for what lies outside the picture.
        ranges: Errors.
        generator: Source of everything random.

    Returns:
        Normalised keypoints (x/z, y/z, confidence), zero where there is none, with the people
        swapped in the frames that are returned.
    """
    batch = len(geometry.keypoints)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    by_other, by_self = hidden_keypoints(pose, geometry)
    kind = torch.where(by_other, 2, by_self.long())
    noisy = uniform(batch, 1, 1, 1) > ranges.clean_probability
    as_seen = noisy & (uniform(batch, 1, 1, 1) < ranges.detected_probability)
    true = torch.where(as_seen[..., None], detected, geometry.keypoints)
    unit = (STATURE_M / pose.pelvis_m[..., 2:].clamp_min(0.3))[..., None]  # height on z = 1
    confidence = _confidence(kind, ranges, generator)
    found = _places(true, unit, confidence, kind, ranges, generator)
    found, confidence = _outside(found, confidence, cameras, ranges, generator)
    keypoints = torch.cat([found, confidence[..., None]], dim=-1)
    lost = _lost(by_other, ranges, generator)
    keypoints = torch.where(lost[..., None, None], 0.0, keypoints)
    swapped = _swapped(geometry, ranges, generator)
    keypoints = torch.where(swapped[..., None, None, None], keypoints.flip(2), keypoints)
    inside = cameras.inside(true)
    exact = torch.cat([true, torch.where(inside, confidence, 0.0)[..., None]], dim=-1)
    keypoints = torch.where(noisy[..., None], keypoints, exact)
    return torch.where(keypoints[..., 2:] > 0, keypoints, 0.0), swapped & noisy[..., 0, 0]


def _confidence(
    kind: Int[Tensor, "batch frame 2 17"], ranges: DetectorRanges, generator: torch.Generator
) -> Float[Tensor, "batch frame 2 17"]:
    """Confidences by network, by part and by what hides it; they last."""
    low, high = ranges.network
    network = low + (high - low) * torch.rand(len(kind), 1, 1, 1, generator=generator)
    first, second = CONFIDENCE_LOGIT[:, kind, _PART].unbind()
    mean, std = torch.lerp(first, second, network[..., None]).unbind(-1)
    drawn = lasting_noise((*kind.shape, 1), ERRORS, generator)[..., 0]
    return torch.sigmoid((mean + std * drawn).clamp(-MOST_LOGIT, MOST_LOGIT))


def _places(
    true: Float[Tensor, "batch frame 2 17 2"],
    unit: Float[Tensor, "batch frame 2 1 1"],
    confidence: Float[Tensor, "batch frame 2 17"],
    kind: Int[Tensor, "batch frame 2 17"],
    ranges: DetectorRanges,
    generator: torch.Generator,
) -> Float[Tensor, "batch frame 2 17 2"]:
    """Where keypoints are reported."""
    doubt = (1.0 - confidence) * (_PART > 0)
    risk = WRONG_PLACE[kind, _PART] + DOUBTED_PLACE[kind] * doubt.square()
    wrong = _share(kind.shape, generator) < risk
    low, high = ranges.jitter
    near = low + (high - low) * torch.rand(len(true), 1, 1, 1, generator=generator)
    near = near * HIDDEN_JITTER[kind] * (1.0 + ranges.doubt_jitter * doubt)
    where = _share(kind.shape, generator)
    mirrored, other, both = torch.tensor(ranges.wrong_places).cumsum(0)
    crossed = true.flip(2)
    places = (true[..., _MIRROR, :], crossed, crossed[..., _MIRROR, :])
    place = true
    for named, limit in zip(reversed(places), (both, other, mirrored), strict=True):
        place = torch.where((wrong & (where < limit))[..., None], named, place)
    sigma = torch.where(wrong & (where >= both), WIDE[_PART], near)
    moved = lasting_noise((*kind.shape, 2), ERRORS, generator) * sigma[..., None] * unit
    return place + moved


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


def _lost(
    by_other: Bool[Tensor, "batch frame 2 17"], ranges: DetectorRanges, generator: torch.Generator
) -> Bool[Tensor, "batch frame 2"]:
    """Frames in which a person is not found: because of what is hidden, or for no reason."""
    batch, frames = by_other.shape[:2]
    hidden = by_other.float().mean(-1).transpose(1, 2)
    hidden = pad(hidden, (LOST_FRAMES // 2, LOST_FRAMES // 2), mode="replicate")
    hidden = avg_pool1d(hidden, LOST_FRAMES, stride=1).transpose(1, 2)
    low, high = ranges.lost_beyond
    lost = hidden > low + (high - low) * torch.rand(batch, 1, 2, generator=generator)
    runs = -(-frames // MISSED_FRAMES)
    missed = torch.rand(batch, 2, runs, 1, generator=generator) < ranges.miss_probability
    longest = min(1.0, MISSED_FRAMES / frames)
    missed = missed & random_spans((batch, 2, runs), frames, longest, generator)
    return lost | missed.any(2).transpose(1, 2)


def _share(shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "batch frame 2 17"]:
    """Uniform draws that last."""
    drawn = lasting_noise((*shape, 1), CHOICES, generator)[..., 0]
    uniform: Tensor = torch.special.ndtr(drawn)
    return uniform


def lasting_noise(
    shape: tuple[int, ...], parts: tuple[float, float, float], generator: torch.Generator
) -> Float[Tensor, "batch frame person keypoint value"]:
    """Unit normal noise: a constant, a first-order autoregression and white noise."""
    lasting, fleeting, memory = parts
    index = torch.arange(shape[1])
    fading = memory ** (index[:, None] - index[None, :]).abs().float()
    covariance = lasting + fleeting * fading + (1.0 - lasting - fleeting) * torch.eye(shape[1])
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
