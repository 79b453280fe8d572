"""Named places on the skin where people touch (`sites.toml`): a vertex and its normal for each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX, PART_NAMES
from closefit.learning.choreography.tables import built, located, read_table

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
    offset: _Vector


_DIRECTIONS: Mapping[str, _Vector] = {
    "front": (0.0, 0.0, 1.0),
    "back": (0.0, 0.0, -1.0),
    "up": (0.0, 1.0, 0.0),
    "down": (0.0, -1.0, 0.0),
    "outward": (1.0, 0.0, 0.0),
    "inward": (-1.0, 0.0, 0.0),
}
"""Of the left side."""


def places_of(table: Mapping[str, Any]) -> dict[str, SkinPlace]:
    """Return the sites by name of the content of `sites.toml`.

    Raises:
        ValueError: An unknown joint, part, direction or field, or a value of the wrong kind.
    """
    places: dict[str, SkinPlace] = {}
    for side, prefix in (("", ""), ("left", "left_"), ("right", "right_")):
        for name, given in table["sided" if side else "middle"].items():
            with located(f"sites.toml: site `{name}`"):
                places[prefix + name] = _place(given, side)
    return places


def _place(given: Mapping[str, Any], side: str) -> SkinPlace:
    joints = [name if name in JOINT_INDEX else f"{side}_{name}" for name in given["joints"]]
    parts = [name if name in PART_NAMES else f"{side} {name}" for name in given["parts"]]
    if not {*joints} <= JOINT_INDEX.keys() or not {*parts} <= {*PART_NAMES}:
        raise ValueError(f"no such joints {joints} or parts {parts}")

    def on_side(vector: _Vector) -> _Vector:
        return (-vector[0], vector[1], vector[2]) if side == "right" else vector

    fields = {"share": 0.0, "offset": (0.0, 0.0, 0.0), **given} | {
        "joints": (joints[0], joints[-1]), "parts": tuple(parts),
        "facing": _DIRECTIONS[given["facing"]],
    }  # fmt: skip
    place = built(SkinPlace, **fields)
    return replace(place, facing=on_side(place.facing), offset=on_side(place.offset))


PLACES: Mapping[str, SkinPlace] = places_of(read_table("sites.toml"))
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
