"""`motion.npz`: both people's motion in the camera frame, for programs.

Reading it loads no torch, which would take longer than the viewer's start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.body.skeleton import JOINT_NAMES
from closefit.boundary.arrays import Npz
from closefit.boundary.refusals import refusals_as, refuse, word
from closefit.boundary.schema import check_schema
from closefit.errors import ArtifactDamagedError
from closefit.exporters.scene import scene_from_camera
from closefit.records import Motion
from closefit.storage.artifacts import atomic_write

FAR = 1e7
"""No number in the file is as large: metres, pixels, seconds, radians."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportedMotion:
    """Both people's motion: one array per field, as `motion.npz` holds them.

    Camera frame in OpenCV axes (x right, y down, z forward), metres, source pixels, float32. Where
    the camera moves, it is the frame of the camera at that moment: `K` projects into the picture.
    Rotations are given twice: as matrices and, as SMPL programs expect them, as axis-angle vectors.
    Arrays that a file need not have are None: files of earlier versions lack some.

    Attributes:
        fps: Frames per second.
        width: Width of the source video in pixels.
        height: Height of the source video in pixels.
        K: Intrinsics; one matrix per frame where the camera moves or a camera file was given.
        valid: The person's pose in this frame rests on observations near in time, in this frame or
            in others.
        confidence: Trust in the pose, 0 (guess) to 1 (0.5: expect 80 mm of joint error).
        global_orient: Rotation of the pelvis, axis-angle.
        body_pose: Rotations of the other 23 joints, axis-angle, relative to their parents.
        betas: Shape coefficients of each person's body.
        transl: Translation as in SMPL: `joints[:, :, 0]` minus the pelvis of the shaped rest body.
        rotations: All 24 local rotations as matrices.
        joints: Joint positions.
        keypoints2d_reprojected: COCO-17 keypoints of the body in the image.
        body: Name of the body, `closefit` or `smpl`.
        joint_names: Names of the 24 joints.
        floor: Plane: the height of a point is `floor[:3] . point + floor[3]`; one per frame where
            the camera moves.
        R: World to camera, where a camera file has it.
        t: World to camera, where a camera file has it.
        time_s: Time of each frame, from frame 0 on.
        start_s: Time of frame 0 in the source video.
        seen: The person was detected in this frame.
        filled: The detections of this frame were interpolated over a short gap.
        guessed: Neither: the pose follows from other frames and from the other person.
        focal_log_sigma: Only where the focal length was estimated: standard deviation of its
            logarithm, about the share by which it may be off.
        identity_confidence: Probability that the detection is of this person and not of the other.
        T_scene_camera: From the camera frame to that of `scene.glb`: y up, floor at height zero;
            one matrix per frame where the camera moves.
        stature_m: Standing height.
        score: Probability that a careful person would keep the half second around this frame
            (docs/quality.md).
    """

    fps: Float[np.ndarray, ""]
    width: Int[np.ndarray, ""]
    height: Int[np.ndarray, ""]
    K: Float[np.ndarray, "... 3 3"]
    valid: Bool[np.ndarray, "frame 2"]
    confidence: Float[np.ndarray, "frame 2"]
    global_orient: Float[np.ndarray, "frame 2 3"]
    body_pose: Float[np.ndarray, "frame 2 69"]
    betas: Float[np.ndarray, "2 10"]
    transl: Float[np.ndarray, "frame 2 3"]
    rotations: Float[np.ndarray, "frame 2 24 3 3"]
    joints: Float[np.ndarray, "frame 2 24 3"]
    keypoints2d_reprojected: Float[np.ndarray, "frame 2 17 2"]
    body: np.ndarray
    joint_names: np.ndarray
    floor: Float[np.ndarray, "... 4"]
    R: Float[np.ndarray, "frame 3 3"] | None = None
    t: Float[np.ndarray, "frame 3"] | None = None
    time_s: Float[np.ndarray, " frame"] | None = None
    start_s: Float[np.ndarray, ""] | None = None
    seen: Bool[np.ndarray, "frame 2"] | None = None
    filled: Bool[np.ndarray, "frame 2"] | None = None
    guessed: Bool[np.ndarray, "frame 2"] | None = None
    identity_confidence: Float[np.ndarray, "frame 2"] | None = None
    focal_log_sigma: Float[np.ndarray, ""] | None = None
    T_scene_camera: Float[np.ndarray, "... 4 4"] | None = None
    stature_m: Float[np.ndarray, "2"] | None = None
    score: Float[np.ndarray, " frame"] | None = None


def write_motion(
    path: Path,
    motion: Motion,
    keypoints_px: Float[np.ndarray, "frame 2 17 2"],
    fps: float,
    size_wh: tuple[int, int],
    further: Mapping[str, np.ndarray],
) -> None:
    """Write the motion as `ExportedMotion` documents it, all or nothing.

    Args:
        path: File to write.
        motion: Motion in the camera frame.
        keypoints_px: The body's COCO keypoints in the image.
        fps: Frames per second.
        size_wh: Size of the source video in pixels.
        further: `K` and whatever else is known; a `floor` here counts instead of the motion's.
    """
    import roma
    import torch

    axis_angle = roma.rotmat_to_rotvec(torch.from_numpy(motion.rotations)).numpy()
    arrays: dict[str, np.ndarray] = {
        "fps": np.array(fps, np.float32),
        "width": np.array(size_wh[0], np.int32),
        "height": np.array(size_wh[1], np.int32),
        "floor": motion.floor.astype(np.float32),
        **{name: _single_precision(array) for name, array in further.items()},
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
    }
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _single_precision(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def read_motion(path: Path) -> ExportedMotion:
    """Read a file that `write_motion` wrote.

    Raises:
        ArtifactDamagedError: It is damaged, or of another kind.
    """
    hint = f"run `closefit stage export {word(path.parent)}` to write it again"
    with refusals_as(ArtifactDamagedError, path, hint):
        file = Npz(path, kinds="biufU")
        names = {field.name for field in fields(ExportedMotion)}
        arrays = {name: file[name] for name in file if name in names}
        check_schema(arrays, ExportedMotion)
        motion = ExportedMotion(**arrays)
        _check_values(motion)
    return motion


def to_scene(motion: ExportedMotion) -> Float[np.ndarray, "frame 4 4"]:
    """Return the transform from each frame's camera to the scene (y up, floor at height zero)."""
    move = motion.T_scene_camera
    if move is None or move.ndim == 2:
        move = scene_from_camera(motion.floor)
    return np.broadcast_to(move.astype(np.float64), (len(motion.valid), 4, 4))


def _check_values(motion: ExportedMotion) -> None:
    """Check that the numbers are such as a motion can have.

    Raises:
        RefusedError: They are not.
    """
    for f in fields(motion):
        array = getattr(motion, f.name)
        may_be_far = f.name == "keypoints2d_reprojected"  # of points behind the camera
        if array is None or array.dtype.kind != "f" or may_be_far:
            continue
        if not (np.abs(array) < FAR).all():
            refuse(f"`{f.name}` has a value that is not finite, or too large")
    frames = len(motion.valid)
    for name, axes in (("K", 2), ("floor", 1), ("T_scene_camera", 2)):
        array = getattr(motion, name)
        if not frames or (array is not None and array.shape[:-axes] not in ((), (frames,))):
            refuse(f"`{name}` has shape {array.shape} for {frames} frames")
    if motion.floor.ndim == 2 and (
        motion.T_scene_camera is None or motion.T_scene_camera.ndim == 2
    ):
        refuse("`floor` has one plane per frame, but `T_scene_camera` has not one matrix per frame")
    if not (motion.fps > 0 and motion.width > 0 and motion.height > 0):
        refuse("its frame rate or its picture size is not positive")
    if motion.time_s is not None and not (np.diff(motion.time_s) > 0).all():
        refuse("its times do not increase")
    for share in (motion.confidence, motion.identity_confidence, motion.score):
        if share is not None and not ((share >= 0) & (share <= 1)).all():
            refuse("a confidence or a score is not from 0 to 1")
