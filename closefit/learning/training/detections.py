"""Keypoints as a real detector reports them for people who hide each other.

Noise is larger where a joint is hidden by the other person, by the person's own body or by the edge
of the image; hidden joints jump to the other person's; people are missed and swapped. Everything is
drawn for a batch of windows at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.keypoints import COCO17_FACE
from closefit.body.pose import PairPose
from closefit.body.skeleton import JOINT_INDEX, PARENTS
from closefit.boundary.ranges import Share
from closefit.learning.training.cameras import Cameras
from closefit.prior.objective import PairGeometry

STATURE_M = 1.7
MEMORY = 0.6
"""Correlation of a keypoint's noise with the frame before."""
JUMP_FRAMES = 5
"""A jump to the other person lasts about this long."""
DEPTH_MARGIN_M = 0.06
"""A limb must lie this much in front of a keypoint to hide it."""

LIMB_RADIUS_M = {
    "spine1": 0.13, "spine2": 0.14, "spine3": 0.14, "neck": 0.10, "head": 0.07,
    "hip": 0.11, "knee": 0.075, "ankle": 0.055, "foot": 0.045, "collar": 0.09, "shoulder": 0.08,
    "elbow": 0.05, "wrist": 0.042, "hand": 0.045,
}  # fmt: skip
"""Radius of the limb that ends at a joint."""

OWN_LIMBS_OF = {
    "shoulder": ("collar", "shoulder", "elbow", "spine3", "neck"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "wrist": ("elbow", "wrist", "hand"),
    "hip": ("hip", "knee", "spine1"),
    "knee": ("hip", "knee", "ankle"),
    "ankle": ("knee", "ankle", "foot"),
    "face": ("head", "neck"),
}
"""Limbs of the same side (or of the middle) that a keypoint belongs to and that cannot hide it."""

_COCO = (
    *["face"] * 5,
    *(f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
      for side in ("left", "right")),
)  # fmt: skip


def _tables() -> tuple[Float[Tensor, " limb"], Bool[Tensor, "keypoint limb"]]:
    """Radius of each limb (one per joint but the pelvis), and which limbs a keypoint is part of."""
    names = list(JOINT_INDEX)[1:]
    radius = [LIMB_RADIUS_M[name.split("_")[-1]] for name in names]
    own = []
    for keypoint in _COCO:
        side, _, part = keypoint.rpartition("_")
        parts = OWN_LIMBS_OF[part]
        own.append(
            [name.split("_")[-1] in parts and name.startswith((side, "spine", "neck", "head"))
             for name in names]
        )  # fmt: skip
    return torch.tensor(radius), torch.tensor(own)


RADIUS_M, OWN_LIMB = _tables()


@dataclass(frozen=True, kw_only=True)
class DetectorRanges:
    """Errors of detectors; lengths are shares of a person's height in the image."""

    jitter: tuple[Share, Share] = (0.004, 0.013)
    own_jitter: tuple[Share, Share] = (0.01, 0.025)
    hidden_jitter: tuple[Share, Share] = (0.02, 0.05)
    bias: Share = 0.008
    jump_probability: Share = 0.3
    miss_probability: Share = 0.02
    swap_probability: Share = 0.03
    swap_run_probability: Share = 0.04
    visible_confidence: tuple[Share, Share] = (0.6, 0.98)
    own_confidence: tuple[Share, Share] = (0.35, 0.95)
    hidden_confidence: tuple[Share, Share] = (0.05, 0.7)
    clean_probability: Share = 0.1
    """Windows without any noise: imported tracks can be that good."""


def detect(
    pose: PairPose,
    geometry: PairGeometry,
    cameras: Cameras,
    ranges: DetectorRanges,
    generator: torch.Generator,
) -> Float[Tensor, "batch frame 2 17 3"]:
    """Return normalised keypoints (x/z, y/z, confidence) of an imperfect detector."""
    batch, frames = geometry.keypoints.shape[:2]
    by_other, by_self = hidden_keypoints(pose, geometry)
    by_other |= ~cameras.inside(geometry.keypoints)

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    unit = STATURE_M / pose.pelvis_m[..., 2:].clamp_min(0.3)  # height on the plane z = 1
    each = (batch, 1, 1, 1)
    sigma = torch.where(
        by_other,
        between(*ranges.hidden_jitter, *each),
        torch.where(by_self, between(*ranges.own_jitter, *each), between(*ranges.jitter, *each)),
    )
    noise = correlated_noise((batch, frames, 2, 17, 2), generator) * sigma[..., None]
    noise = noise + ranges.bias * torch.randn(batch, 1, 2, 17, 2, generator=generator)
    noisy = torch.rand(batch, 1, 1, 1, 1, generator=generator) > ranges.clean_probability
    jumped = by_other & (_held(batch, frames, generator) < ranges.jump_probability)
    xy = torch.where(
        (jumped & noisy[..., 0])[..., None], geometry.keypoints.flip(2), geometry.keypoints
    )
    xy = xy + noise * noisy * unit[..., None]
    shape = by_other.shape
    confidence = torch.where(
        by_other,
        between(*ranges.hidden_confidence, *shape),
        torch.where(
            by_self,
            between(*ranges.own_confidence, *shape),
            between(*ranges.visible_confidence, *shape),
        ),
    )
    missed = torch.rand(batch, frames, 2, 1, generator=generator) < ranges.miss_probability
    confidence = torch.where(missed, 0.0, confidence)
    detected = torch.cat([xy, confidence[..., None]], dim=-1)
    detected = torch.where(confidence[..., None] > 0, detected, 0.0)
    swapped = _swapped(geometry, ranges, generator) & noisy[:, 0, 0, 0]
    return torch.where(swapped[..., None, None, None], detected.flip(2), detected)


def hidden_keypoints(
    pose: PairPose, geometry: PairGeometry
) -> tuple[Bool[Tensor, "batch frame 2 17"], Bool[Tensor, "batch frame 2 17"]]:
    """Which keypoints lie behind the other person, and which behind the person's own body.

    Limbs are capsules about the bones; a face that looks away hides its points.
    """
    joints = geometry.joints
    depth = joints[..., 2].clamp_min(0.1)
    places = joints[..., :2] / depth[..., None]
    parents = torch.tensor(PARENTS[1:])
    limbs = (places[..., parents, :], places[..., 1:, :], depth[..., parents], depth[..., 1:])
    keypoint_depth = _keypoint_depth(joints)
    own = _behind(geometry.keypoints, keypoint_depth, limbs) & ~OWN_LIMB
    other = _behind(geometry.keypoints, keypoint_depth, tuple(part.flip(2) for part in limbs))
    by_self = own.any(-1)
    by_self[..., COCO17_FACE] |= _looks_away(pose)[..., None]
    return other.any(-1), by_self


def _keypoint_depth(joints: Float[Tensor, "*batch 24 3"]) -> Float[Tensor, "*batch 17"]:
    """Depth of COCO keypoints (the face is as far away as the head)."""
    names = ["head" if name == "face" else name for name in _COCO]
    return joints[..., [JOINT_INDEX[name] for name in names], 2]


def _behind(
    keypoints: Float[Tensor, "*batch 17 2"],
    depth: Float[Tensor, "*batch 17"],
    limbs: tuple[Tensor, ...],
) -> Bool[Tensor, "*batch 17 limb"]:
    """Whether each keypoint lies within a limb's outline and behind it."""
    start, end, start_depth, end_depth = (part.unsqueeze(start_axis) for part, start_axis in
                                          zip(limbs, (-3, -3, -2, -2), strict=True))  # fmt: skip
    along = end - start
    share = ((keypoints[..., None, :] - start) * along).sum(-1) / along.square().sum(-1).clamp_min(
        1e-8
    )
    share = share.clamp(0.0, 1.0)
    gap = (keypoints[..., None, :] - start - share[..., None] * along).square().sum(-1)
    limb_depth = start_depth + share * (end_depth - start_depth)
    within = gap < (RADIUS_M / limb_depth).square()
    return within & (limb_depth < depth[..., None] - DEPTH_MARGIN_M)


def _looks_away(pose: PairPose) -> Bool[Tensor, "*batch"]:
    """Whether the camera sees the back of the head."""
    front = pose.rotations[..., 0, :, :]
    for name in ("spine1", "spine2", "spine3", "neck", "head"):
        front = front @ pose.rotations[..., JOINT_INDEX[name], :, :]
    gaze = torch.nn.functional.normalize(pose.pelvis_m, dim=-1)
    return (front[..., 2] * gaze).sum(-1) > 0.5


def correlated_noise(
    shape: tuple[int, int, int, int, int], generator: torch.Generator
) -> Float[Tensor, "batch frame person keypoint 2"]:
    """Unit normal noise, correlated with the frame before (first-order autoregression)."""
    index = torch.arange(shape[1])
    covariance = MEMORY ** (index[:, None] - index[None, :]).abs().float()
    white = torch.randn(*shape, generator=generator)
    return torch.einsum("ij,bjpkc->bipkc", torch.linalg.cholesky(covariance), white)


def _held(batch: int, frames: int, generator: torch.Generator) -> Float[Tensor, "batch frame 2 17"]:
    """Uniform draws that keep their value for some frames."""
    blocks = torch.rand(batch, frames // JUMP_FRAMES + 2, 2, 17, generator=generator)
    shift = torch.randint(JUMP_FRAMES, (batch, 1), generator=generator)
    block = (torch.arange(frames) + shift) // JUMP_FRAMES
    return blocks[torch.arange(batch)[:, None], block]


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
