"""`gaussians/person_{0,1}.ply`: Gaussians with the attributes that splat viewers read.

Binary little endian, as Kerbl et al. 2023 write it: scales are logarithms, opacities logits,
colours the constant term of spherical harmonics, rotations quaternions w x y z. Skinning weights
follow, one attribute per joint; viewers skip attributes that they do not know.
"""

from pathlib import Path

import numpy as np

from closefit.body.skeleton import JOINT_NAMES
from closefit.exporters.appearance import RestGaussians
from closefit.storage.artifacts import atomic_write

SH_CONSTANT = 0.28209479177387814
"""Value of the constant spherical harmonic, 1 / (2 sqrt(pi))."""

MIN_OPACITY, MAX_OPACITY = 1e-5, 1.0 - 1e-5
MIN_SCALE_M = 1e-7

ATTRIBUTES = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
    *(f"weight_{joint}" for joint in JOINT_NAMES),
)  # fmt: skip


def write_ply(path: Path, gaussians: RestGaussians) -> None:
    """Write one person's Gaussians in the rest pose: metres, y up, facing +z."""
    opacity = np.clip(gaussians.opacity, MIN_OPACITY, MAX_OPACITY)[:, None]
    columns = [
        gaussians.means,
        np.zeros_like(gaussians.means),
        (gaussians.colour - 0.5) / SH_CONSTANT,
        np.log(opacity / (1.0 - opacity)),
        np.log(np.maximum(gaussians.scales_m, MIN_SCALE_M)),
        gaussians.quats_wxyz,
        gaussians.weights,
    ]
    table = np.concatenate(columns, axis=1).astype("<f4")
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(table)}",
        *(f"property float {name}" for name in ATTRIBUTES),
        "end_header",
    ]
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as file:
        file.write(("\n".join(header) + "\n").encode("ascii"))
        file.write(np.ascontiguousarray(table).tobytes())
