"""`person_{0,1}_amass.npz`: one person's motion with the keys of the AMASS archive, z up."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float

from closefit.exporters.scene import Z_UP_FROM_Y_UP
from closefit.storage.artifacts import atomic_write

POSE_COLUMNS = 156
"""SMPL-H: pelvis, 21 body joints and 30 finger joints, three numbers each."""

SHARED_JOINTS = 22
"""SMPL's joints before the two hands, which SMPL-H replaces by fingers."""

NUM_BETAS = 16

FREE_BODY_NOTE = (
    "betas are zero: this motion was fitted with the closefit body, whose shape space is not "
    "SMPL's. trans is the position of the pelvis minus that of this body's rest pose, which is "
    "the origin; a body with another rest pelvis stands elsewhere by that constant."
)
SMPL_NOTE = "betas are SMPL's; fingers are at rest."


@dataclass(frozen=True, kw_only=True, eq=False)
class AmassMotion:
    """One person's motion: one array per field. World frame: z up, metres, floor at height zero.

    Attributes:
        poses: Axis-angle rotations of SMPL-H's 52 joints, relative to their parents; joint 0 from
            the body frame (y up, facing +z) to the world. Fingers are at rest.
        root_orient: The first 3 numbers of `poses`: the pelvis.
        pose_body: The next 63: 21 joints of the body.
        trans: Translation as in SMPL: position of the pelvis minus that of the rest body.
        betas: SMPL's shape; zero for the closefit body, whose shape space is another.
        gender: `neutral`.
        mocap_framerate: Frames per second.
        mocap_frame_rate: The same, under the name that some programs read.
        stature_m: Standing height of the person whose motion this is.
        note: What `betas` and `trans` mean here, in words.
    """

    poses: Float[np.ndarray, "frame 156"]
    root_orient: Float[np.ndarray, "frame 3"]
    pose_body: Float[np.ndarray, "frame 63"]
    trans: Float[np.ndarray, "frame 3"]
    betas: Float[np.ndarray, "16"]
    gender: np.ndarray
    mocap_framerate: Float[np.ndarray, ""]
    mocap_frame_rate: Float[np.ndarray, ""]
    stature_m: Float[np.ndarray, ""]
    note: np.ndarray


def write_amass(
    path: Path,
    rotations: Float[np.ndarray, "frame 24 3 3"],
    pelvis: Float[np.ndarray, "frame 3"],
    rest_pelvis: Float[np.ndarray, "3"],
    smpl_betas: Float[np.ndarray, "10"] | None,
    fps: float,
    stature_m: float,
) -> None:
    """Write one person's motion in an upright y-up world, in metres, all or nothing.

    Args:
        path: File to write.
        rotations: Local joint rotations.
        pelvis: Pelvis position.
        rest_pelvis: Pelvis of the body that the file describes, in its rest pose.
        smpl_betas: SMPL's shape; None for the free body, whose shape SMPL cannot express.
        fps: Frames per second.
        stature_m: Height of the person whose motion this is.
    """
    world = rotations.copy()
    world[:, 0] = Z_UP_FROM_Y_UP @ world[:, 0]
    axis_angle = roma.rotmat_to_rotvec(torch.from_numpy(world[:, :SHARED_JOINTS])).numpy()
    poses = np.zeros((len(rotations), POSE_COLUMNS))
    poses[:, : 3 * SHARED_JOINTS] = axis_angle.reshape(len(rotations), -1)
    betas = np.zeros(NUM_BETAS)
    if smpl_betas is not None:
        betas[: len(smpl_betas)] = smpl_betas
    content = AmassMotion(
        poses=poses,
        root_orient=poses[:, :3],
        pose_body=poses[:, 3 : 3 * SHARED_JOINTS],
        trans=pelvis @ Z_UP_FROM_Y_UP.T - rest_pelvis,
        betas=betas,
        gender=np.array("neutral"),
        mocap_framerate=np.array(fps),
        mocap_frame_rate=np.array(fps),
        stature_m=np.array(stature_m),
        note=np.array(FREE_BODY_NOTE if smpl_betas is None else SMPL_NOTE),
    )
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **asdict(content))
