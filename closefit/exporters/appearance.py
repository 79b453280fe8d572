"""Each person's Gaussians on the shaped rest body, and the colours that they give its skin."""

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from closefit.appearance.avatar import face_frames
from closefit.body.model import Body
from closefit.palette import PERSON_COLOURS
from closefit.records import OptimizedMotion

BLENDED_GAUSSIANS = 4
"""A vertex takes the colour of so many Gaussians next to it."""


@dataclass(frozen=True, eq=False)
class RestGaussians:
    """One person's Gaussians, body frame (y up, facing +z), metres.

    `weights` are the shares with which they follow each joint.
    """

    means: Float[np.ndarray, "gaussian 3"]
    quats_wxyz: Float[np.ndarray, "gaussian 4"]
    scales_m: Float[np.ndarray, "gaussian 3"]
    opacity: Float[np.ndarray, " gaussian"]
    colour: Float[np.ndarray, "gaussian 3"]
    weights: Float[np.ndarray, "gaussian 24"]


def rest_gaussians(body: Body, motion: OptimizedMotion, person: int) -> RestGaussians:
    """Place a person's Gaussians on their shaped rest body."""
    body = body.to("cpu")
    corners = body.faces[torch.from_numpy(motion.gaussian_face[person]).long()]
    weights = torch.from_numpy(motion.gaussian_barycentric[person])[..., None]
    rest = body.rest(torch.from_numpy(motion.betas[person])).vertices
    # Gaussians turn with the frames of the mean body's faces, whatever the shape.
    frames = face_frames(body.v_template[corners])
    offset = torch.from_numpy(motion.gaussian_offset_m[person])
    own = roma.rotvec_to_rotmat(torch.from_numpy(motion.gaussian_rotation[person]))
    means = (rest[corners] * weights).sum(1) + (frames @ offset[..., None])[..., 0]
    quats = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(frames @ own))
    return RestGaussians(
        means=means.numpy(),
        quats_wxyz=quats.numpy(),
        scales_m=motion.gaussian_scale_m[person],
        opacity=motion.gaussian_opacity[person],
        colour=motion.gaussian_colour[person],
        weights=(body.weights[corners] * weights).sum(1).numpy(),
    )


def vertex_colours(
    vertices: Float[np.ndarray, "vertex 3"], gaussians: RestGaussians, person: int
) -> Float[np.ndarray, "vertex 3"]:
    """Colour of each vertex of the rest body: that of the Gaussians around it, sRGB in 0 to 1.

    A person without Gaussians gets a plain colour.
    """
    count = min(BLENDED_GAUSSIANS, len(gaussians.means))
    if count == 0:
        return np.tile(PERSON_COLOURS[person], (len(vertices), 1))
    distance, nearest = cKDTree(gaussians.means).query(vertices, k=np.arange(1, count + 1))
    near: Int[np.ndarray, "vertex neighbour"] = nearest
    weight = (gaussians.opacity[near] + 1e-3) / (distance + 1e-3)
    weight /= weight.sum(axis=1, keepdims=True)
    colours: Float[np.ndarray, "vertex 3"] = (weight[..., None] * gaussians.colour[near]).sum(1)
    colours = np.clip(colours, 0.0, 1.0)
    return colours.astype(np.float32)
