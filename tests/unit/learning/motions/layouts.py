"""Writers of miniature data sets in their documented layouts, from motion that is known.

They follow the layouts' documentation and share no code with the readers.
"""

import json
import pickle
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from closefit.records import PairMotion

Y_UP_FROM_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
SMPL_BESIDE_PELVIS = np.array(
    [[0.0695, -0.0914, -0.0068], [-0.0677, -0.0905, -0.0043], [-0.0025, 0.1090, -0.0267]]
)
SMPLX_PELVIS = np.array([0.0031, -0.3514, 0.0120])


def axis_angle(matrices: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec().reshape(matrices.shape[:-1])


def in_world(motion: PairMotion, up: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and pelvis positions with the given axis up."""
    turn = np.eye(3) if up == "y" else Y_UP_FROM_Z_UP.T
    rotations = motion.rotations.astype(np.float64)
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    return rotations, motion.pelvis_m.astype(np.float64) @ turn.T


def write_amass_layout(path: Path, motion: PairMotion, columns: int = 156) -> Path:
    rotations, pelvis = in_world(motion, "z")
    poses = np.zeros((len(pelvis), columns))
    poses[:, :66] = axis_angle(rotations[:, 0, :22]).reshape(-1, 66)
    rest = SMPLX_PELVIS if columns == 165 else SMPL_PELVIS
    rate = "mocap_frame_rate" if columns == 165 else "mocap_framerate"
    values = {"poses": poses, "trans": pelvis[:, 0] - rest, rate: np.array(120.0)}
    gender = np.array("male", dtype=object)  # AMASS has such entries
    np.savez(path, betas=np.zeros(16), gender=gender, **values)
    return path


def write_interhuman_raw(path: Path, motion: PairMotion) -> Path:
    rotations, pelvis = in_world(motion, "z")
    vectors = axis_angle(rotations)
    content: dict[str, object] = {"mocap_framerate": 59.94, "frames": len(pelvis)}
    for person in range(2):
        content[f"person{person + 1}"] = {
            "trans": (pelvis[:, person] - SMPL_PELVIS).astype(np.float32),
            "root_orient": vectors[:, person, 0].astype(np.float32),
            "pose_body": vectors[:, person, 1:22].reshape(len(pelvis), 63).astype(np.float32),
            "betas": np.zeros(10, np.float32),
            "gender": "neutral",
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def write_interhuman_processed(
    root: Path, name: str, motion: PairMotion, joints: np.ndarray
) -> Path:
    """`joints` (frame, 2, 24, 3) with y up; those beside the pelvis become SMPL's."""
    rotations, pelvis = in_world(motion, "z")
    positions = joints[:, :, :22] @ Y_UP_FROM_Z_UP
    beside = np.einsum("fpxy,jy->fpjx", rotations[:, :, 0], SMPL_BESIDE_PELVIS)
    positions[:, :, 1:4] = pelvis[:, :, None] + beside
    for person in range(2):
        rows = np.zeros((len(joints), 492), np.float32)
        rows[:, :66] = positions[:, person].reshape(-1, 66)
        sixes = rotations[:, person, 1:22, :, :2].reshape(len(joints), -1)
        rows[:, 186 : 186 + 126] = sixes
        folder = root / "motions_processed" / f"person{person + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", rows)
    return root


def write_interx(folder: Path, motion: PairMotion) -> Path:
    rotations, pelvis = in_world(motion, "y")
    vectors = axis_angle(rotations)
    folder.mkdir(parents=True, exist_ok=True)
    for person in range(2):
        np.savez(
            folder / f"P{person + 1}.npz",
            root_orient=vectors[:, person, 0],
            pose_body=vectors[:, person, 1:22],
            pose_lhand=np.zeros((len(pelvis), 15, 3)),
            pose_rhand=np.zeros((len(pelvis), 15, 3)),
            trans=pelvis[:, person] - SMPLX_PELVIS,
            betas=np.zeros((1, 10)),
            gender=np.array("female"),
        )
    return folder


def write_hi4d(folder: Path, motion: PairMotion, joints: np.ndarray | None) -> Path:
    rotations, pelvis = in_world(motion, "y")
    vectors = axis_angle(rotations)
    (folder / "smpl").mkdir(parents=True, exist_ok=True)
    for frame in range(len(pelvis)):
        more = {} if joints is None else {"joints_3d": joints[frame]}
        np.savez(
            folder / "smpl" / f"{frame + 11:06d}.npz",
            betas=np.zeros((2, 10)),
            global_orient=vectors[frame, :, 0],
            body_pose=vectors[frame, :, 1:].reshape(2, 69),
            transl=pelvis[frame] - SMPL_PELVIS,
            **more,
        )
    return folder


def write_chi3d(path: Path, motion: PairMotion) -> Path:
    rotations, pelvis = in_world(motion, "z")
    by_person = rotations.swapaxes(0, 1)
    content = {
        "transl": (pelvis - SMPLX_PELVIS).swapaxes(0, 1).tolist(),
        "global_orient": by_person[:, :, :1].tolist(),
        "body_pose": by_person[:, :, 1:22].tolist(),
        "betas": np.zeros((2, len(pelvis), 10)).tolist(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
