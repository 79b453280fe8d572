"""`motion.npz`: both people's motion in the camera frame, for programs."""

from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float

from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_NAMES
from closefit.geometry.camera import project
from closefit.records import Motion
from closefit.storage.artifacts import atomic_write


def write_motion(
    path: Path,
    motion: Motion,
    keypoints_px: Float[np.ndarray, "frame 2 17 2"],
    fps: float,
    size_wh: tuple[int, int],
    camera: dict[str, np.ndarray],
) -> None:
    """Write the motion in OpenCV axes (x right, y down, z forward), metres and source pixels.

    Rotations are given twice: as matrices and, as SMPL programs want them, as axis-angle vectors.
    `joints[:, :, 0]` is `transl` plus the pelvis of the shaped rest body. The floor is a plane: the
    height of a point above it is floor[:3] . point + floor[3].

    Args:
        path: File to write, all or nothing.
        motion: Motion in the camera frame.
        keypoints_px: The body's COCO keypoints in the image.
        fps: Frames per second.
        size_wh: Size of the source video in pixels.
        camera: Intrinsics `K`, (3, 3) or (frame, 3, 3), and `R`, `t` (world to camera) if known.
    """
    axis_angle = roma.rotmat_to_rotvec(torch.from_numpy(motion.rotations)).numpy()
    arrays: dict[str, np.ndarray] = {
        "fps": np.array(fps, np.float32),
        "width": np.array(size_wh[0], np.int32),
        "height": np.array(size_wh[1], np.int32),
        **{name: array.astype(np.float32) for name, array in camera.items()},
        "valid": motion.valid,
        "confidence": motion.confidence.astype(np.float32),
        "global_orient": axis_angle[:, :, 0].astype(np.float32),
        "body_pose": axis_angle[:, :, 1:].reshape(*axis_angle.shape[:2], 69).astype(np.float32),
        "betas": motion.betas.astype(np.float32),
        "transl": motion.transl.astype(np.float32),
        "rotations": motion.rotations.astype(np.float32),
        "joints": motion.joints.astype(np.float32),
        "keypoints2d_reprojected": keypoints_px.astype(np.float32),
        "body": motion.body_name,
        "joint_names": np.array(JOINT_NAMES),
        "floor": motion.floor.astype(np.float32),
    }
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def reprojected_keypoints(
    body: Body, motion: Motion, keypoint_set: str
) -> Float[np.ndarray, "frame 2 keypoint 2"]:
    """Keypoints of both posed bodies in source pixels."""
    regressor = KeypointRegressor(body, keypoint_set)
    K, *pose = (
        torch.from_numpy(array).to(body.v_template)
        for array in (motion.K, motion.rotations, motion.betas, motion.transl)
    )
    posed = body.subset(regressor.vertex_indices).pose(*pose)
    keypoints: np.ndarray = project(regressor.of(posed), K[:, None, None]).cpu().numpy()
    return keypoints
