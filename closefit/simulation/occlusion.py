"""Which keypoints people hide: from the camera, behind the other person or behind themselves."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.keypoints import COCO17_FACE
from closefit.body.pose import PairPose
from closefit.body.skeleton import JOINT_INDEX, PARENTS
from closefit.prior.objective import PairGeometry

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
