"""`person_{0,1}.bvh`: one person's skeleton animation in metres, y up.

The rest pose is the body's (arms along x); every joint but the root has only rotations. Angles are
in degrees in the order of the channels, Z then Y then X: a joint turns by Rz Ry Rx.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from closefit.storage.artifacts import atomic_write

ROTATION_CHANNELS = "Zrotation Yrotation Xrotation"
ROOT_CHANNELS = f"6 Xposition Yposition Zposition {ROTATION_CHANNELS}"

CHILDREN = tuple(
    tuple(joint for joint in range(NUM_JOINTS) if PARENTS[joint] == parent)
    for parent in range(NUM_JOINTS)
)

TIP_LENGTH = 0.5
"""Length of a bone beyond the last joint of a limb over the bone before it."""


def write_bvh(
    path: Path,
    rest_joints: Float[np.ndarray, "24 3"],
    rotations: Float[np.ndarray, "frame 24 3 3"],
    pelvis: Float[np.ndarray, "frame 3"],
    fps: float,
    names: Sequence[str] = JOINT_NAMES,
) -> None:
    """Write one person's motion in an upright y-up world, in metres, all or nothing."""
    order = _file_order(0)
    angles = np.degrees(euler_zyx(rotations))[:, order].reshape(len(rotations), -1)
    rows = np.concatenate([pelvis, angles], axis=1)
    lines = [
        "HIERARCHY",
        *_joint_lines(0, rest_joints, names, ""),
        "MOTION",
        f"Frames: {len(rows)}",
        f"Frame Time: {1.0 / fps:.8f}",
        *(" ".join(f"{value:.6f}" for value in row) for row in rows),
    ]
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode("ascii"))


def euler_zyx(
    rotations: Float[np.ndarray, "frame joint 3 3"],
) -> Float[np.ndarray, "frame joint 3"]:
    """Angles z, y, x in radians with R = Rz Ry Rx, continuous over the frames.

    Each rotation has two sets of angles, and each angle repeats every turn: of all these the one
    nearest to the frame before is taken, so that programs may interpolate between frames.
    """
    y = np.arcsin(np.clip(-rotations[..., 2, 0], -1.0, 1.0))
    z = np.arctan2(rotations[..., 1, 0], rotations[..., 0, 0])
    x = np.arctan2(rotations[..., 2, 1], rotations[..., 2, 2])
    # At y = +-90 degrees only a combination of z and x is defined: all of it goes to z.
    locked = np.hypot(rotations[..., 0, 0], rotations[..., 1, 0]) < 1e-7
    z = np.where(locked, np.arctan2(-rotations[..., 0, 1], rotations[..., 1, 1]), z)
    x = np.where(locked, 0.0, x)
    angles = np.stack([z, y, x], axis=-1)
    other = np.stack([z + np.pi, np.pi - y, x + np.pi], axis=-1)
    for frame in range(1, len(angles)):
        before = angles[frame - 1]
        near, far = (_nearest_turn(choice[frame], before) for choice in (angles, other))
        take_far = np.abs(far - before).sum(-1) < np.abs(near - before).sum(-1)
        angles[frame] = np.where(take_far[:, None], far, near)
    return angles


def _nearest_turn(
    angles: Float[np.ndarray, "joint 3"], before: Float[np.ndarray, "joint 3"]
) -> Float[np.ndarray, "joint 3"]:
    turn = 2.0 * np.pi
    nearest: Float[np.ndarray, "joint 3"] = angles - turn * np.round((angles - before) / turn)
    return nearest


def _file_order(joint: int) -> list[int]:
    """Joints in the order in which the hierarchy names them."""
    return [joint, *(below for child in CHILDREN[joint] for below in _file_order(child))]


def _joint_lines(
    joint: int, rest: Float[np.ndarray, "24 3"], names: Sequence[str], indent: str
) -> list[str]:
    """Lines of the hierarchy from `joint` down."""
    inner = indent + "  "
    is_root = PARENTS[joint] < 0
    bone = np.zeros(3) if is_root else rest[joint] - rest[PARENTS[joint]]
    lines = [
        f"{indent}{'ROOT' if is_root else 'JOINT'} {names[joint]}",
        f"{indent}{{",
        f"{inner}{_offset(bone)}",
        f"{inner}CHANNELS {ROOT_CHANNELS if is_root else f'3 {ROTATION_CHANNELS}'}",
    ]
    for child in CHILDREN[joint]:
        lines += _joint_lines(child, rest, names, inner)
    if not CHILDREN[joint]:
        tip = [f"{inner}End Site", f"{inner}{{", f"{inner}  {_offset(TIP_LENGTH * bone)}"]
        lines += [*tip, f"{inner}}}"]
    return [*lines, f"{indent}}}"]


def _offset(vector: Float[np.ndarray, "3"]) -> str:
    return "OFFSET " + " ".join(f"{value:.6f}" for value in vector)
