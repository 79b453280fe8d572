"""A-PD as the paper's code measures it: on a coarse grid. For comparison with its tables only.

Each body's box (half size: 1.2 times half its longest side) is cut into 32 x 32 x 32 points. A
point inside the body holds its distance to the surface, others 0. The other person's vertices read
the grid by trilinear interpolation. Steps are about 7 cm, so a value differs from the exact one
(`exporters.contacts`), which the other tables show. As in that code, a vertex is moved by the
centre of the grid's body but divided by the size of its own.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.geometry.penetration import penetration_depth
from closefit.geometry.units import MM_PER_M

POINTS = 32
ROOM = 1.2


def grid_a_pd_mm(
    vertices: Float[Tensor, "frame 2 vertex 3"], faces: Int[Tensor, "face 3"]
) -> Float[np.ndarray, " frame"]:
    """Mean depth in mm over all vertices of both people, frame by frame; vertices in metres."""
    found = [_of_frame(pair, faces) for pair in vertices]
    return np.array(found, dtype=np.float64)


def _of_frame(pair: Float[Tensor, "2 vertex 3"], faces: Int[Tensor, "face 3"]) -> float:
    low, high = pair.amin(1), pair.amax(1)
    centre, half = (low + high) / 2, ROOM * (high - low).amax(1) / 2
    steps = torch.linspace(-1.0, 1.0, POINTS, dtype=pair.dtype)
    z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    unit = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    points = centre[:, None] + half[:, None, None] * unit
    depth = penetration_depth(points, pair, faces).depth / half[:, None]
    grids = depth.reshape(2, 1, POINTS, POINTS, POINTS)
    other = pair.flip(0)  # whose vertices read each grid
    places = (other - centre[:, None]) / half.flip(0)[:, None, None]
    read = torch.nn.functional.grid_sample(
        grids, places[:, None, None], mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return MM_PER_M * float((read.reshape(2, -1) * half[:, None]).mean())
