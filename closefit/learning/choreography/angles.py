"""Anatomical joint angles in degrees, the language that poses are written in, and rotations.

A pose is a row of numbers, one for each name in `ANGLE_NAMES`. All are zero for a person who
stands upright with hanging arms. Angles of the left and right side have the same sign for mirrored
postures.

- `root`: pitch forward, turn left, lean left, in this order: turn, then pitch, then lean.
- `spine` and `head`: bend forward, turn left, lean left; spread over their joints.
- `collar`: raise, forward.
- `shoulder`: raise (0 hangs, 90 level, 180 up), plane in which it is raised (0 sideways, 90
  forward, more crosses the chest), inward twist of the upper arm.
- `elbow`: bend, pronation (turns a palm that faces the body backwards).
- `wrist`: bend towards the palm, deviation towards the thumb.
- `hip`: thigh forward, outward, outward twist. `knee`: bend. `ankle`: toes down.
"""

from collections.abc import Mapping

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.pose import mirrored_rotations
from closefit.body.skeleton import JOINT_INDEX, NUM_JOINTS
from closefit.geometry.rotations import about

_MIDDLE = {"root": 3, "spine": 3, "head": 3}
_SIDED = {"collar": 2, "shoulder": 3, "elbow": 2, "wrist": 2, "hip": 3, "knee": 1, "ankle": 1}
GROUPS: Mapping[str, int] = _MIDDLE | {
    f"{side}_{name}": size for side in ("left", "right") for name, size in _SIDED.items()
}
"""Names of angle groups and how many angles each has."""

ANGLE_NAMES = tuple(f"{name}_{index}" for name, size in GROUPS.items() for index in range(size))
NUM_ANGLES = len(ANGLE_NAMES)

Angles = Mapping[str, int | float | tuple[int | float, ...]]
"""Degrees by group; a sided group without its side (`shoulder`) means both sides."""


def angle_row(angles: Angles) -> Float[np.ndarray, " angle"]:
    """Return the row of `ANGLE_NAMES` for angles given by name; others are zero.

    Raises:
        KeyError: A name that is no group.
        ValueError: More numbers than the group has.
    """
    row = np.zeros(NUM_ANGLES)
    for name, given in angles.items():
        values = [given] if isinstance(given, int | float) else list(given)
        sides = [name] if name in GROUPS else [f"left_{name}", f"right_{name}"]
        for group in sides:
            if len(values) > GROUPS[group]:
                raise ValueError(f"`{group}` has {GROUPS[group]} angles, not {len(values)}")
            start = ANGLE_NAMES.index(f"{group}_0")
            row[start : start + len(values)] = values
    return row


def rotations_from_angles(
    degrees: Float[Tensor, "*batch angle"],
) -> Float[Tensor, "*batch 24 3 3"]:
    """Return the local joint rotations of rows of angles."""
    radians = torch.deg2rad(degrees)
    group: dict[str, tuple[Tensor, ...]] = {}
    start = 0
    for name, size in GROUPS.items():
        group[name] = radians[..., start : start + size].unbind(-1)
        start += size
    identity = torch.eye(3, dtype=degrees.dtype, device=degrees.device)
    rotations = identity.repeat(*degrees.shape[:-1], NUM_JOINTS, 1, 1)
    pitch, turn, lean = group["root"]
    rotations[..., 0, :, :] = about(1, turn) @ about(0, pitch) @ about(2, -lean)
    for part, chain, shares in (
        ("spine", ("spine1", "spine2", "spine3"), (0.3, 0.35, 0.35)),
        ("head", ("neck", "head"), (0.45, 0.55)),
    ):
        bend, turn, lean = group[part]
        for link, share in zip(chain, shares, strict=True):
            rotations[..., JOINT_INDEX[link], :, :] = (
                about(1, share * turn) @ about(0, share * bend) @ about(2, -share * lean)
            )
    for side in ("left", "right"):
        for name, rotation in _left_limbs(side, group).items():
            joint = JOINT_INDEX[f"{side}_{name}"]
            rotations[..., joint, :, :] = (
                rotation if side == "left" else mirrored_rotations(rotation)
            )
    return rotations


def _left_limbs(side: str, group: Mapping[str, tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """Return the rotations of one side's joints as they are on the left."""
    raise_, forward = group[f"{side}_collar"]
    bend, pronation = group[f"{side}_elbow"]
    flex, deviation = group[f"{side}_wrist"]
    lift, outward, twist = group[f"{side}_hip"]
    return {
        "collar": about(2, raise_) @ about(1, -forward),
        "shoulder": _shoulder(*group[f"{side}_shoulder"]),
        "elbow": about(1, -bend) @ about(0, pronation),
        "wrist": about(2, -flex) @ about(1, -deviation),
        "hip": about(0, -lift) @ about(2, outward) @ about(1, twist),
        "knee": about(0, group[f"{side}_knee"][0]),
        "ankle": about(0, group[f"{side}_ankle"][0]),
    }


def _shoulder(elevation: Tensor, plane: Tensor, twist: Tensor) -> Float[Tensor, "*batch 3 3"]:
    """Swing the hanging arm about a level axis, so that the twist does not depend on the plane."""
    quarter = torch.full_like(elevation, -0.5 * torch.pi)
    axis = torch.stack([-plane.sin(), torch.zeros_like(plane), plane.cos()], dim=-1)
    swing: Tensor = roma.rotvec_to_rotmat(elevation[..., None] * axis)
    return swing @ about(2, quarter) @ about(0, twist)
