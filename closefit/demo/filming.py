"""Films the dance: dressed people as dense Gaussians in front of the room, frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from closefit.appearance.raster.gaussians import Gaussians
from closefit.appearance.raster.rasterizer import rasterize
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.demo.clothing import Dress, Outfit, dress, shade, surfels
from closefit.demo.dance import Dance
from closefit.demo.room import Room

CHUNK = 8
"""Frames rendered at once; bounds memory."""
OPACITY = 0.98
SHADOW_JOINTS = [
    JOINT_INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("ankle", "foot")
]


@dataclass(frozen=True, eq=False)
class Shot:
    """Some frames of the film.

    Attributes:
        images: RGB pictures.
        masks: Visible pixels of each person.
        silhouettes: Pixels of each person as if alone.
    """

    images: UInt8[np.ndarray, "frame height width 3"]
    masks: Bool[np.ndarray, "frame 2 height width"]
    silhouettes: Bool[np.ndarray, "frame 2 height width"]


def film(body: Body, dance: Dance, room: Room, outfits: tuple[Outfit, Outfit]) -> Iterator[Shot]:
    """Render the dance in chunks of frames."""
    dresses = [
        dress(body, body.rest(betas), outfit)
        for betas, outfit in zip(dance.betas, outfits, strict=True)
    ]
    empty = torch.from_numpy(room.background()).float()
    for start in range(0, dance.transl.shape[0], CHUNK):
        part = slice(start, start + CHUNK)
        posed = body.pose(dance.rotations[part], dance.betas, dance.transl[part])
        soles = posed.joints[:, :, SHADOW_JOINTS].flatten(1, 2)
        light = torch.from_numpy(room.shadows(soles.numpy()))
        people = [_person(posed.vertices[:, i], body, dresses[i], i, room) for i in (0, 1)]
        yield _compose(people, empty * light[..., None], room)


def _person(
    vertices: Float[Tensor, "frame vertex 3"], body: Body, clothes: Dress, index: int, room: Room
) -> Gaussians:
    """One person's Gaussians in the camera frame: colour and two ownership channels."""
    discs = surfels(vertices, body, clothes.thickness_m)
    colour = shade(clothes.colour, discs.rotations[..., 2])
    owner = torch.zeros(*colour.shape[:-1], 2)
    owner[..., index] = 1.0
    to_camera = torch.from_numpy(room.R_camera_world).float()
    means = torch.from_numpy(room.to_camera(discs.means.double().numpy())).float()
    quat_xyzw = roma.rotmat_to_unitquat(to_camera @ discs.rotations)
    return Gaussians(
        means=means,
        quat_wxyz=roma.quat_xyzw_to_wxyz(quat_xyzw),
        scales=discs.scales,
        opacities=torch.full((1, means.shape[1]), OPACITY),
        features=torch.cat([colour, owner], dim=-1),
    )


def _compose(
    people: list[Gaussians], backdrop: Float[Tensor, "frame height width 3"], room: Room
) -> Shot:
    """Render both people together for the picture and each alone for the silhouettes."""
    K = torch.from_numpy(room.K).float()[None]
    both = _joined(people)
    together = rasterize(both, K, room.width, room.height, background=None)
    rgb = together.features[..., :3] + (1.0 - together.alpha[..., None]) * backdrop
    alone = [rasterize(one, K, room.width, room.height, background=None).alpha for one in people]
    return Shot(
        images=(255.0 * rgb.clamp(0.0, 1.0)).round().byte().numpy(),
        masks=(together.features[..., 3:] > 0.5).movedim(-1, 1).numpy(),
        silhouettes=(torch.stack(alone, dim=1) > 0.5).numpy(),
    )


def _joined(people: list[Gaussians]) -> Gaussians:
    """One scene of all people's Gaussians."""
    names = ("means", "quat_wxyz", "scales", "opacities", "features")
    return Gaussians(
        **{name: torch.cat([getattr(p, name) for p in people], dim=1) for name in names}
    )
