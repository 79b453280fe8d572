"""Dressed people made of Gaussians: one per face of the body mesh, coloured by procedural clothes.

Clothes are painted in the rest pose: which part of the body a face belongs to and how far along
the limb it lies decide between skin, hair, shirt, trousers and shoes.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.model import Body, RestBody
from closefit.body.skeleton import JOINT_INDEX, PART_NAMES

Colour = tuple[float, float, float]

THICKNESS_M = {"hair": 0.012, "shirt": 0.004, "trousers": 0.004, "shoes": 0.006}
"""How far each garment stands off the skin."""
SPREAD = 0.62
"""Standard deviation of a Gaussian in units of the square root of its face's area."""
FLATNESS_M = 0.001
LIGHT = (0.35, 0.85, 0.45)
"""Direction to the lamp in the world frame (y up)."""
AMBIENT = 0.62


@dataclass(frozen=True)
class Outfit:
    """Colours (RGB in 0..1) and cut of what one person wears.

    Attributes:
        sleeve: How far the sleeves reach from shoulder (0) to wrist (1).
        leg: How far the trousers reach from hip (0) to ankle (1).
    """

    shirt: Colour
    shirt_second: Colour
    pattern: Literal["stripes", "checks"]
    sleeve: float
    trousers: Colour
    leg: float
    shoes: Colour
    hair: Colour
    long_hair: bool
    skin: Colour


OUTFITS = (
    Outfit(
        shirt=(0.15, 0.42, 0.40),
        shirt_second=(0.90, 0.88, 0.80),
        pattern="stripes",
        sleeve=0.95,
        trousers=(0.22, 0.24, 0.33),
        leg=0.97,
        shoes=(0.35, 0.20, 0.12),
        hair=(0.13, 0.09, 0.07),
        long_hair=False,
        skin=(0.80, 0.58, 0.46),
    ),
    Outfit(
        shirt=(0.80, 0.30, 0.22),
        shirt_second=(0.62, 0.16, 0.20),
        pattern="checks",
        sleeve=0.38,
        trousers=(0.66, 0.60, 0.46),
        leg=0.72,
        shoes=(0.90, 0.90, 0.88),
        hair=(0.45, 0.26, 0.12),
        long_hair=True,
        skin=(0.90, 0.72, 0.62),
    ),
)


@dataclass(frozen=True, eq=False)
class Dress:
    """Colour and thickness of what covers each face of the mesh."""

    colour: Float[Tensor, "face 3"]
    thickness_m: Float[Tensor, " face"]


@dataclass(frozen=True, eq=False)
class Surfels:
    """Flat Gaussians on the faces of posed bodies, in the frame of their vertices."""

    means: Float[Tensor, "*batch face 3"]
    rotations: Float[Tensor, "*batch face 3 3"]
    """Columns: two axes in the face, then its outward normal."""
    scales: Float[Tensor, "*batch face 3"]


def dress(body: Body, rest: RestBody, outfit: Outfit) -> Dress:
    """Paint the faces of a shaped rest body."""
    centre = rest.vertices[body.faces].mean(dim=1)
    masks = _garments(body, rest, centre, outfit)
    colour = torch.tensor(outfit.skin).repeat(len(centre), 1)
    thickness = torch.zeros(len(centre))
    for garment, mask in masks.items():
        colour[mask] = _fabric(garment, centre[mask], outfit)
        thickness[mask] = THICKNESS_M.get(garment, 0.0)
    return Dress(colour=colour, thickness_m=thickness)


def _garments(
    body: Body, rest: RestBody, centre: Float[Tensor, "face 3"], outfit: Outfit
) -> dict[str, Bool[Tensor, " face"]]:
    """Faces of each garment; later garments lie over earlier ones."""
    part = body.vertex_parts()[body.faces].mode(dim=1).values

    def of(*names: str) -> Bool[Tensor, " face"]:
        wanted = torch.tensor([i for i, name in enumerate(PART_NAMES) if name.endswith(names)])
        return torch.isin(part, wanted)

    def along(start: str, end: str, axis: int) -> Float[Tensor, " face"]:
        ends = rest.joints[[JOINT_INDEX[start], JOINT_INDEX[end]], axis]
        return (centre[:, axis].abs() - ends[0].abs()) / (ends[1].abs() - ends[0].abs())

    down_leg = along_leg(rest, centre)
    waist = rest.joints[JOINT_INDEX["spine1"], 1] + 0.03
    collar = rest.joints[JOINT_INDEX["neck"], 1] - 0.02
    on_arm = along("left_shoulder", "left_wrist", 0)
    eye, nose, ear = (
        rest.vertices[body.landmarks[name]] for name in ("left_eye", "nose", "left_ear")
    )
    x, y, z = centre.unbind(dim=-1)
    hairline = (y > eye[1] + 0.05) | ((z < ear[2] + 0.005) & (y > nose[1] - 0.02))
    hair_end = nose[1] - 0.16 if outfit.long_hair else nose[1] - 0.05
    eyes = (y - eye[1]).abs().lt(0.008) & (x.abs() - eye[0].abs()).abs().lt(0.015)
    mouth = (y - nose[1] + 0.045).abs().lt(0.007) & x.abs().lt(0.025)
    front = z > ear[2] + 0.05
    return {
        "eyes": of("head") & front & eyes,
        "mouth": of("head") & front & mouth,
        "hair": (of("head") & hairline)
        | (of("head", "neck") & (z < ear[2] - 0.03) & (y > hair_end)),
        "trousers": (of("hips", "thigh", "shin") | (of("torso") & (y < waist)))
        & (down_leg < outfit.leg),
        "shirt": of("torso", "hips", "upper arm", "forearm")
        & (y > waist - 0.02)
        & (y < collar + 0.5 * (x.abs() - 0.05).clamp(0.0, 0.1))
        & (on_arm < outfit.sleeve),
        "shoes": of("foot", "shin") & (y < rest.joints[JOINT_INDEX["left_ankle"], 1] + 0.02),
    }


def along_leg(rest: RestBody, centre: Float[Tensor, "face 3"]) -> Float[Tensor, " face"]:
    """Height as a share of the leg: 0 at the hips, 1 at the ankles."""
    hip, ankle = rest.joints[[JOINT_INDEX["left_hip"], JOINT_INDEX["left_ankle"]], 1]
    share: Tensor = (hip - centre[:, 1]) / (hip - ankle)
    return share


def _fabric(
    garment: str, centre: Float[Tensor, "face 3"], outfit: Outfit
) -> Float[Tensor, "face 3"]:
    """Colour of a garment at points of the rest body."""
    if garment == "shirt":
        stripes = (centre[:, 1] / 0.05).floor() % 2
        columns = (centre[:, 0] / 0.06).floor() % 2
        second = stripes if outfit.pattern == "stripes" else (stripes + columns) % 2
        return torch.lerp(
            torch.tensor(outfit.shirt), torch.tensor(outfit.shirt_second), second[:, None]
        )
    plain: dict[str, Colour] = {
        "eyes": (0.12, 0.08, 0.06),
        "mouth": (0.70, 0.35, 0.32),
        "hair": outfit.hair,
        "trousers": outfit.trousers,
        "shoes": outfit.shoes,
    }
    return torch.tensor(plain[garment]).expand(len(centre), 3)


def surfels(
    vertices: Float[Tensor, "*batch vertex 3"], body: Body, thickness_m: Float[Tensor, " face"]
) -> Surfels:
    """Place a flat Gaussian on every face of posed bodies."""
    a, b, c = vertices[..., body.faces, :].unbind(dim=-2)
    cross = torch.linalg.cross(b - a, c - a)
    double_area = cross.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    normal = cross / double_area
    first = torch.nn.functional.normalize(b - a, dim=-1)
    rotations = torch.stack([first, torch.linalg.cross(normal, first), normal], dim=-1)
    width = SPREAD * (0.5 * double_area).sqrt()
    scales = torch.cat([width, width, torch.full_like(width, FLATNESS_M)], dim=-1)
    means = (a + b + c) / 3.0 + thickness_m[:, None] * normal
    return Surfels(means=means, rotations=rotations, scales=scales)


def shade(
    colour: Float[Tensor, "*#batch face 3"], normal: Float[Tensor, "*batch face 3"]
) -> Float[Tensor, "*batch face 3"]:
    """Light matt cloth by one lamp and the bright room."""
    light = torch.nn.functional.normalize(torch.tensor(LIGHT), dim=0)
    lambert = (normal @ light).clamp_min(0.0)[..., None]
    return (colour * (AMBIENT + (1.15 - AMBIENT) * lambert)).clamp(0.0, 1.0)
