"""Named places on the skin where people touch: one vertex and its normal for each."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body import Body
from closefit.body.skeleton import JOINT_INDEX, PART_NAMES, other_side

_Vector = tuple[float, float, float]


@dataclass(frozen=True)
class SkinPlace:
    """Where a site is on the mean body in T-pose (x to the left, y up, z forward).

    Attributes:
        parts: Names of body parts (`skeleton.PARTS`) whose skin it may be on.
        joints: Two joints; the anchor lies between them.
        share: How far from the first to the second.
        offset: Added to the anchor, metres.
        facing: Direction the skin faces there.
    """

    parts: tuple[str, ...]
    joints: tuple[str, str]
    share: float
    facing: _Vector
    offset: _Vector = (0.0, 0.0, 0.0)


_TRUNK = ("torso", "hips")
_FRONT, _BACK, _LEFT = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)
_UP, _DOWN = (0.0, 1.0, 0.0), (0.0, -1.0, 0.0)


def _middle(joint: str, facing: _Vector, offset: _Vector, *parts: str) -> SkinPlace:
    return SkinPlace(parts or _TRUNK, (joint, joint), 0.0, facing, offset)


_MIDLINE: dict[str, SkinPlace] = {
    "chest": _middle("spine3", _FRONT, (0.0, 0.11, 0.0)),
    "belly": _middle("spine1", _FRONT, (0.0, 0.03, 0.0)),
    "upper_back": _middle("spine3", _BACK, (0.0, 0.14, 0.0)),
    "mid_back": _middle("spine3", _BACK, (0.0, 0.02, 0.0)),
    "lower_back": _middle("spine1", _BACK, (0.0, 0.0, 0.0)),
    "crotch": _middle("pelvis", _FRONT, (0.0, -0.02, 0.0)),
    "neck_front": _middle("neck", _FRONT, (0.0, 0.03, 0.0), "neck", "torso"),
    "forehead": _middle("head", _FRONT, (0.0, 0.11, 0.0), "head"),
    "crown": _middle("head", _UP, (0.0, 0.1, -0.02), "head"),
    "back_of_head": _middle("head", _BACK, (0.0, 0.07, 0.0), "head"),
    "nape": _middle("neck", _BACK, (0.0, 0.05, 0.0), "neck", "torso"),
}

_SIDED: dict[str, SkinPlace] = {
    "palm": SkinPlace(("left hand",), ("left_wrist", "left_hand"), 0.65, _DOWN),
    "hand_back": SkinPlace(("left hand",), ("left_wrist", "left_hand"), 0.65, _UP),
    "knuckles": SkinPlace(("left hand",), ("left_hand", "left_hand"), 0.0, _LEFT),
    "wrist_inside": SkinPlace(("left forearm",), ("left_elbow", "left_wrist"), 0.85, _DOWN),
    "wrist_outside": SkinPlace(("left forearm",), ("left_elbow", "left_wrist"), 0.85, _UP),
    "forearm_inside": SkinPlace(("left forearm",), ("left_elbow", "left_wrist"), 0.5, _DOWN),
    "forearm_outside": SkinPlace(("left forearm",), ("left_elbow", "left_wrist"), 0.5, _UP),
    "forearm_front": SkinPlace(("left forearm",), ("left_elbow", "left_wrist"), 0.45, _FRONT),
    "elbow_crook": SkinPlace(
        ("left forearm", "left upper arm"), ("left_elbow", "left_elbow"), 0.0, _FRONT
    ),
    "upper_arm_outside": SkinPlace(("left upper arm",), ("left_shoulder", "left_elbow"), 0.45, _UP),
    "upper_arm_inside": SkinPlace(
        ("left upper arm",), ("left_shoulder", "left_elbow"), 0.55, _DOWN
    ),
    "shoulder_top": SkinPlace(
        ("torso", "left upper arm"), ("left_collar", "left_shoulder"), 0.75, _UP
    ),
    "shoulder_front": SkinPlace(
        ("torso", "left upper arm"), ("left_collar", "left_shoulder"), 0.85, _FRONT
    ),
    "shoulder_blade": SkinPlace(
        ("torso",), ("left_shoulder", "left_shoulder"), 0.0, _BACK, (-0.06, -0.10, 0.0)
    ),
    "breast": SkinPlace(("torso",), ("spine3", "spine3"), 0.0, _FRONT, (0.09, 0.12, 0.0)),
    "flank": SkinPlace(_TRUNK, ("spine2", "spine2"), 0.0, _LEFT, (0.0, 0.03, 0.02)),
    "waist": SkinPlace(_TRUNK, ("spine1", "spine1"), 0.0, _LEFT, (0.0, 0.02, 0.02)),
    "loin": SkinPlace(_TRUNK, ("spine1", "spine1"), 0.0, _BACK, (0.08, 0.03, 0.0)),
    "hip_side": SkinPlace(
        ("hips", "left thigh"), ("left_hip", "left_hip"), 0.0, _LEFT, (0.0, -0.02, 0.0)
    ),
    "buttock": SkinPlace(
        ("hips", "left thigh"), ("left_hip", "left_hip"), 0.0, _BACK, (-0.02, -0.05, 0.0)
    ),
    "thigh_front": SkinPlace(("left thigh",), ("left_hip", "left_knee"), 0.55, _FRONT),
    "thigh_back": SkinPlace(("left thigh",), ("left_hip", "left_knee"), 0.5, _BACK),
    "thigh_outside": SkinPlace(("left thigh",), ("left_hip", "left_knee"), 0.6, _LEFT),
    "thigh_inside": SkinPlace(("left thigh",), ("left_hip", "left_knee"), 0.65, (-1.0, 0.0, 0.0)),
    "knee_front": SkinPlace(("left thigh", "left shin"), ("left_knee", "left_knee"), 0.0, _FRONT),
    "knee_back": SkinPlace(("left thigh", "left shin"), ("left_knee", "left_knee"), 0.0, _BACK),
    "shin_front": SkinPlace(("left shin",), ("left_knee", "left_ankle"), 0.5, _FRONT),
    "calf": SkinPlace(("left shin",), ("left_knee", "left_ankle"), 0.4, _BACK),
    "ankle_outside": SkinPlace(("left shin",), ("left_knee", "left_ankle"), 0.9, _LEFT),
    "instep": SkinPlace(("left foot",), ("left_ankle", "left_foot"), 0.75, _UP),
    "sole": SkinPlace(("left foot",), ("left_ankle", "left_foot"), 0.75, _DOWN),
    "cheek": SkinPlace(("head",), ("head", "head"), 0.0, _LEFT, (0.0, 0.03, 0.03)),
    "temple": SkinPlace(("head",), ("head", "head"), 0.0, _LEFT, (0.0, 0.1, 0.02)),
    "neck_side": SkinPlace(("neck", "torso"), ("neck", "neck"), 0.0, _LEFT, (0.0, 0.05, 0.0)),
}


def _right(place: SkinPlace) -> SkinPlace:
    """Return the place on the other side."""

    def flip(vector: _Vector) -> _Vector:
        return (-vector[0], vector[1], vector[2])

    return SkinPlace(
        parts=tuple(part.replace("left", "right") for part in place.parts),
        joints=(other_side(place.joints[0]), other_side(place.joints[1])),
        share=place.share,
        facing=flip(place.facing),
        offset=flip(place.offset),
    )


PLACES: Mapping[str, SkinPlace] = (
    _MIDLINE
    | {f"left_{name}": place for name, place in _SIDED.items()}
    | {f"right_{name}": _right(place) for name, place in _SIDED.items()}
)
SITE_NAMES = tuple(PLACES)
SITE_INDEX = {name: index for index, name in enumerate(SITE_NAMES)}


@dataclass(frozen=True, eq=False)
class Sites:
    """All sites of a body.

    Attributes:
        vertex: The body's vertex at each site.
        joint: Joint that moves most of its skin.
        normal: Outward unit normal in the rest pose.
    """

    vertex: Int[Tensor, " site"]
    joint: Int[Tensor, " site"]
    normal: Float[Tensor, "site 3"]

    @classmethod
    def create(cls, body: Body) -> "Sites":
        """Find the vertices on the mean body in the rest pose."""
        rest = body.rest(body.v_template.new_zeros(10))
        normals = _vertex_normals(rest.vertices, body.faces)
        part = body.vertex_parts()
        vertex = torch.tensor(
            [_vertex_at(place, rest.vertices, rest.joints, normals, part)
             for place in PLACES.values()]
        )  # fmt: skip
        return cls(vertex=vertex, joint=body.weights[vertex].argmax(-1), normal=normals[vertex])


def _vertex_at(
    place: SkinPlace,
    vertices: Float[Tensor, "vertex 3"],
    joints: Float[Tensor, "24 3"],
    normals: Float[Tensor, "vertex 3"],
    part: Int[Tensor, " vertex"],
) -> int:
    """Return the outermost vertex near the line from the anchor in the direction of the place."""
    facing = vertices.new_tensor(place.facing)
    start, end = (joints[JOINT_INDEX[name]] for name in place.joints)
    offset = vertices - torch.lerp(start, end, place.share) - vertices.new_tensor(place.offset)
    outwards = offset @ facing
    across = (offset - outwards[:, None] * facing).norm(dim=-1)
    parts = torch.tensor([PART_NAMES.index(name) for name in place.parts])
    usable = torch.isin(part, parts) & (normals @ facing > 0.6) & (outwards > -0.02)
    return int(torch.where(usable, across - 0.3 * outwards, torch.inf).argmin())


def _vertex_normals(
    vertices: Float[Tensor, "vertex 3"], faces: Int[Tensor, "face 3"]
) -> Float[Tensor, "vertex 3"]:
    """Return area-weighted unit normals."""
    a, b, c = vertices[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(0, faces[:, corner], normal)
    return torch.nn.functional.normalize(total, dim=-1)
