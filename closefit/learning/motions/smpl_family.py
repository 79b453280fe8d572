"""Poses of SMPL, SMPL-H and SMPL-X transferred to the body.

All three have our skeleton and rest pose, so the 21 body rotations transfer as they are; fingers,
jaw and eyes are dropped. Their shape coefficients are meaningless for another body: the shape
is the mean, or fits the joints where a file has them.

Their `trans` moves the body after it was turned about its pelvis, so the pelvis is at `trans` plus
the pelvis of the rest pose, whatever the turn and whichever axis is up. That point differs by some
centimetres from person to person; here it is the neutral body's.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import roma
import torch
from jaxtyping import Float

from closefit.body.model import Body
from closefit.errors import InputError
from closefit.learning.motions.retargeting import body_lengths, check_leg_length, fit_shape
from closefit.learning.motions.skeletons import Z_UP_TO_Y_UP
from closefit.records import PairMotion

Family = Literal["smpl", "smplx"]

REST_PELVIS_M: dict[Family, tuple[float, float, float]] = {
    "smpl": (-0.002, -0.223, 0.028),
    "smplx": (0.003, -0.351, 0.012),
}
"""Pelvis of the neutral rest pose; SMPL-H's is SMPL's."""

BODY_JOINTS = 21
"""Joints after the pelvis that all three share: up to the wrists."""

FASTEST_M_S = 15.0
HIGHEST_M = 4.0
"""A pelvis that is faster, or rises and falls by more, is not given in metres."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SmplMotion:
    """Motion of some people as a file of the SMPL family gives it.

    Attributes:
        root: Rotation matrix of the pelvis, in the file's world.
        body: Local rotation matrices of joints 1 to 21.
        pelvis_m: Position of the pelvis in the file's world.
        joints_m: Joint positions of one frame per person (SMPL's first 22 at least), where the
            file has them.
        up: Vertical axis of the file's world.
        fps: Frames per second.
        name: What it is called.
        origin: The file or folder, for messages.
    """

    root: Float[np.ndarray, "frame person 3 3"]
    body: Float[np.ndarray, "frame person 21 3 3"]
    pelvis_m: Float[np.ndarray, "frame person 3"]
    joints_m: Float[np.ndarray, "person joint 3"] | None
    up: Literal["y", "z"]
    fps: float
    name: str
    origin: str


def matrices(axis_angle: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of rotation vectors in radians."""
    turned = roma.rotvec_to_rotmat(torch.from_numpy(np.asarray(axis_angle, dtype=np.float64)))
    result: np.ndarray = turned.numpy()
    return result


def carry_over(motion: SmplMotion, body: Body) -> PairMotion:
    """Transfer motion of the SMPL family to `body`, in our world frame (`floor` comes after).

    Raises:
        InputError: Values are missing, or cannot be metres.
    """
    to_world = Z_UP_TO_Y_UP if motion.up == "z" else np.eye(3)
    pelvis = motion.pelvis_m @ to_world.T
    for values in (motion.root, motion.body, pelvis):
        if not np.isfinite(values).all():
            raise InputError(
                f"`{motion.origin}` holds values that are not numbers",
                hint="leave it out with --exclude, or cut the frames that are missing",
            )
    _check_metres(pelvis, motion.fps, motion.origin)
    betas, leg_ratios = _shapes(motion, body)
    pelvis[..., 1] *= leg_ratios
    frames, people = pelvis.shape[:2]
    rotations = np.broadcast_to(np.eye(3), (frames, people, 24, 3, 3)).copy()
    rotations[:, :, 0] = to_world @ motion.root
    rotations[:, :, 1 : 1 + BODY_JOINTS] = motion.body
    return PairMotion(
        rotations=rotations.astype(np.float32),
        pelvis_m=pelvis.astype(np.float32),
        betas=betas.astype(np.float32),
        fps=np.array(float(motion.fps)),
        body_name=np.array(body.name),
        name=np.array(motion.name),
    )


def _shapes(
    motion: SmplMotion, body: Body
) -> tuple[Float[np.ndarray, "person 10"], Float[np.ndarray, " person"]]:
    """Fit each person's shape to the file's joints; return it and our leg over theirs."""
    people = motion.pelvis_m.shape[1]
    betas, ratios = np.zeros((people, 10)), np.ones(people)
    if motion.joints_m is None:
        return betas, ratios
    body = body.to(device="cpu", dtype=torch.float64)
    for person, joints in enumerate(motion.joints_m):
        lengths = body_lengths(torch.from_numpy(joints.astype(np.float64)))
        check_leg_length(float(lengths[0]), motion.origin)
        shape = fit_shape(body, lengths)
        betas[person] = shape.numpy()
        ratios[person] = float(body_lengths(body.rest(shape).joints)[0] / lengths[0])
    return betas, ratios


def _check_metres(pelvis: Float[np.ndarray, "frame person 3"], fps: float, origin: str) -> None:
    rise = float(np.ptp(pelvis[..., 1], axis=0).max())
    steps = np.linalg.norm(np.diff(pelvis, axis=0), axis=-1) * fps
    speed = float(np.median(steps)) if steps.size else 0.0
    if rise > HIGHEST_M or speed > FASTEST_M_S:
        raise InputError(
            f"a pelvis in `{origin}` moves {rise:.3g} m up and down, at {speed:.3g} m/s",
            hint="translations must be in metres",
        )
