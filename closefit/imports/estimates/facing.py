"""The rotation of the clip's camera against motion that comes without a camera."""

import math

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import rest_pelvis
from closefit.geometry.camera import project
from closefit.init.from_estimate import place
from closefit.records import PersonEstimates

YAWS = 36
PITCHES_RAD = (-0.15, 0.0, 0.15, 0.35)
"""Slopes of the camera against the horizontal that are tried; cameras mostly look down."""

FRAMES = 40
"""Frames of a track, spread over the clip, on which the rotations are compared."""

LARGE_MISFIT = 0.2
"""Keypoint error in body heights from which on the loss is constant."""


def camera_rotations(
    clip: PersonEstimates, targets: KeypointTargets, body: Body
) -> Float[Tensor, "track person 3 3"]:
    """Find R_clip_tool, from the assumed camera's frame into the clip's camera, by a grid search.

    It is one rotation for the whole clip, for each track as each person: the one under which the
    posed mean body, put where it fits best in each frame, agrees best with the keypoints.
    """
    device = targets.K.device
    grid = _grid().to(device)
    betas = torch.zeros(10, device=device)
    projector = KeypointProjector(body, targets.set_name)
    chosen = torch.eye(3, device=device).repeat(clip.known.shape[1], 2, 1, 1)
    for track in range(clip.known.shape[1]):
        some = np.flatnonzero(clip.known[:, track])
        some = some[np.linspace(0, len(some) - 1, min(FRAMES, len(some))).astype(int)]
        if len(some) == 0:
            continue
        part = targets.cut(torch.as_tensor(some, device=device))
        rotations = torch.as_tensor(clip.rotations[some, track], device=device).float()
        _, relative = projector.keypoints(rotations, betas, -rest_pelvis(body, betas[None])[0])
        rotated = torch.einsum("hij,fkj->hfki", grid, relative)[:, :, None]
        rotated = rotated.expand(-1, -1, 2, -1, -1)
        pelvis, _ = place(rotated, part)
        projected = project(rotated + pelvis[..., None, :], part.K[:, None, None])
        error = (projected - part.points_px).norm(dim=-1) / part.height_px[..., None]
        misfit = (part.weight * error.clamp_max(LARGE_MISFIT)).sum((1, 3))
        chosen[track] = grid[misfit.argmin(0)]
    return chosen


def _grid() -> Float[Tensor, "rotation 3 3"]:
    """Rotations about the vertical, followed by slopes."""
    yaw = torch.arange(YAWS) * (2.0 * math.pi / YAWS)
    about = roma.rotvec_to_rotmat(yaw[:, None] * torch.tensor([0.0, 1.0, 0.0]))
    # A camera that looks down sees the world rotated about x so that what is level comes up.
    pitch = torch.tensor(PITCHES_RAD)
    slope = roma.rotvec_to_rotmat(pitch[:, None] * torch.tensor([1.0, 0.0, 0.0]))
    rotations: Tensor = (slope[:, None] @ about[None]).reshape(-1, 3, 3)
    return rotations
