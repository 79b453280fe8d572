"""Comparison of a stored SMPL body with smplx, the official implementation.

smplx has a licence for non-commercial use, so it is an extra: `pip install 'closefit[smpl]'`.
"""

import math
from pathlib import Path

import numpy as np
import roma
import torch

from closefit.body.model import Body
from closefit.body.skeleton import NUM_JOINTS
from closefit.errors import WeightsDamagedError

POSES = 8
ANGLE_RAD = 0.6
"""Standard deviation of the random joint rotations."""

TOLERANCE_M = 1e-4


def deviation_from_smplx(file: Path) -> float | None:
    """Pose the body in `file` at random, with closefit and with smplx.

    Args:
        file: The `.npz` that `import_smpl` has written.

    Returns:
        The largest distance between corresponding vertices and joints, in metres; None without
        smplx.

    Raises:
        WeightsDamagedError: It exceeds `TOLERANCE_M`, or is not a number.
    """
    try:
        import smplx
    except ImportError:
        return None
    with np.load(file, allow_pickle=False) as archive:
        reference = smplx.SMPL(
            model_path="", data_struct=smplx.utils.Struct(**archive), batch_size=POSES
        )
    generator = torch.Generator().manual_seed(0)
    pose = ANGLE_RAD * torch.randn(POSES, NUM_JOINTS, 3, generator=generator)
    betas, transl = (torch.randn(POSES, size, generator=generator) for size in (10, 3))
    with torch.no_grad():
        posed = Body.load(file).pose(roma.rotvec_to_rotmat(pose), betas, transl)
        expected = reference(
            betas=betas, global_orient=pose[:, 0], body_pose=pose[:, 1:].flatten(1), transl=transl
        )
        distances = torch.cat(
            [posed.vertices - expected.vertices, posed.joints - expected.joints[:, :NUM_JOINTS]], 1
        )
    deviation_m = float(distances.norm(dim=-1).max())
    if math.isnan(deviation_m) or deviation_m > TOLERANCE_M:
        raise WeightsDamagedError(
            f"the imported body is up to {deviation_m:.4f} m away from smplx's, and was not kept",
            hint="please report this; until then `--set body=closefit` chooses the free body",
        )
    return deviation_m
