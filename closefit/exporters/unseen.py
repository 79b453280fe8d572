"""Gaussians of skin that the camera never saw: the mirrored side, or a neutral tone.

A fit leaves there what its start and its smoothing made of them: smears.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from closefit.body.model import Body
from closefit.body.skeleton import JOINT_PART, NUM_JOINTS
from closefit.exporters.appearance import RestGaussians
from closefit.exporters.mesh_raster import MeshPainter
from closefit.exporters.views import project_perspective
from closefit.records import OptimizedMotion

FRAMES = 40
"""At most so many frames, evenly spaced, are looked at."""

HEIGHT_PX = 200
NEAR_M = 0.1
TRUSTED_FRAMES = 3.0
"""Skin that was seen in so many of these frames keeps what was fitted."""

SMOOTHING = 6
"""So many times trust is averaged with the neighbours, so that no seam shows."""

MIRROR_M = 0.05
"""The mirrored side gives the colour where it has a seen Gaussian so near."""

BLENDED = 4
RELIABLE = 0.5


def trust_in_skin(
    body: Body, motion: OptimizedMotion, size_wh: tuple[int, int]
) -> Float[np.ndarray, "2 vertex"]:
    """Return how far the camera has seen each vertex: 0 never, 1 often enough."""
    scale = min(1.0, HEIGHT_PX / size_wh[1])
    width, height = (max(1, round(side * scale)) for side in size_wh)
    faces = body.faces.cpu().numpy()
    painter = MeshPainter(faces, width, height)
    to_small = np.array([[width / size_wh[0]], [height / size_wh[1]], [1.0]])
    frames = np.unique(np.linspace(0, len(motion.transl) - 1, FRAMES).round().astype(int))
    rotations, betas, transl = (
        torch.from_numpy(array).to(body.v_template)
        for array in (motion.rotations[frames], motion.betas, motion.transl[frames])
    )
    count = np.zeros((2, len(body.v_template)), np.float32)
    for number, frame in enumerate(frames):
        posed = body.pose(rotations[number], betas, transl[number]).vertices.cpu().numpy()
        projected = project_perspective(posed, motion.K[frame] * to_small, NEAR_M)
        count += painter.visible(posed, projected) * motion.valid[frame][:, None]
    return _smoothed(np.minimum(count / min(TRUSTED_FRAMES, len(frames)), 1.0), faces)


def _smoothed(
    values: Float[np.ndarray, "2 vertex"], faces: Int[np.ndarray, "face 3"]
) -> Float[np.ndarray, "2 vertex"]:
    corner, face = faces.ravel(), np.repeat(np.arange(len(faces)), 3)
    shape = values.shape[1], len(faces)
    around = csr_matrix((np.ones(len(corner), np.float32), (corner, face)), shape)
    faces_at = np.maximum(np.asarray(around.sum(axis=1)).ravel(), 1.0)
    for _ in range(SMOOTHING):
        values = (around @ values[:, faces].mean(axis=2).T).T / faces_at
    return values.astype(np.float32)


def fade_unseen(gaussians: RestGaussians, trust: Float[np.ndarray, " gaussian"]) -> RestGaussians:
    """Return the Gaussians with what was not seen replaced, in proportion to the lack of trust.

    Colours come from the mirrored side, else from the middle of the seen Gaussians of the same body
    part, else of all. Sizes and opacities become those in the middle of the seen ones.
    """
    seen = trust > RELIABLE
    if not seen.any() or seen.all():
        return gaussians
    share = trust[:, None]
    colour = _replacement(gaussians, seen)
    scale = np.exp(np.median(np.log(gaussians.scales_m[seen]), axis=0))
    opacity = np.median(gaussians.opacity[seen])
    return replace(
        gaussians,
        colour=(share * gaussians.colour + (1.0 - share) * colour).astype(np.float32),
        scales_m=(gaussians.scales_m**share * scale ** (1.0 - share)).astype(np.float32),
        opacity=(trust * gaussians.opacity + (1.0 - trust) * opacity).astype(np.float32),
    )


def _replacement(
    gaussians: RestGaussians, seen: Bool[np.ndarray, " gaussian"]
) -> Float[np.ndarray, "gaussian 3"]:
    """Colour of each Gaussian from the others that were seen."""
    part = np.array(JOINT_PART)[gaussians.weights.argmax(axis=1)]
    colour = np.tile(np.median(gaussians.colour[seen], axis=0), (len(seen), 1))
    for number in range(NUM_JOINTS):
        own = part == number
        if (own & seen).any():
            colour[own] = np.median(gaussians.colour[own & seen], axis=0)
    mirrored = gaussians.means * np.array([-1.0, 1.0, 1.0], np.float32)
    neighbours = min(BLENDED, int(seen.sum()))
    tree = cKDTree(gaussians.means[seen])
    distance, nearest = tree.query(mirrored, k=np.arange(1, neighbours + 1))
    near = distance[:, 0] < MIRROR_M
    colour[near] = gaussians.colour[seen][nearest[near]].mean(axis=1)
    return colour
