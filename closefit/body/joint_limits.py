"""Plausibility of poses without a learned prior: a relaxed pose, spreads and joint limits.

All numbers are authored from anatomy (usual ranges of motion), in each joint's own rest axes: x to
the body's left, y up, z forward; the rest pose is the T-pose. A joint's deviation is the rotation
vector from the relaxed pose; the table below is written for the left side and mirrored.
"""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import JOINT_INDEX, LEFT_RIGHT, NUM_JOINTS

_Triple = tuple[float, float, float]


@dataclass(frozen=True)
class _JointRange:
    """Relaxed pose (axis-angle), spread about it, and limits of the deviation; radians."""

    relaxed: _Triple
    spread: _Triple
    low: _Triple
    high: _Triple


_FREE = (9.0, 9.0, 9.0)
_SPINE = _JointRange((0.03, 0.0, 0.0), (0.15, 0.14, 0.12), (-0.35, -0.5, -0.4), (0.7, 0.5, 0.4))
_RANGES: dict[str, _JointRange] = {
    # Thigh forward is a negative turn about x; the shin bends back with a positive one.
    "left_hip": _JointRange(
        (-0.25, 0.05, 0.0), (0.5, 0.3, 0.25), (-2.1, -0.8, -0.5), (0.7, 0.9, 1.0)
    ),
    "left_knee": _JointRange(
        (0.4, 0.0, 0.0), (0.55, 0.1, 0.06), (-0.4, -0.25, -0.12), (2.1, 0.25, 0.12)
    ),
    "left_ankle": _JointRange(
        (-0.15, 0.1, 0.05), (0.3, 0.25, 0.15), (-0.7, -0.5, -0.4), (0.9, 0.5, 0.4)
    ),
    "left_foot": _JointRange(
        (0.0, 0.0, 0.0), (0.2, 0.05, 0.05), (-0.9, -0.1, -0.1), (0.3, 0.1, 0.1)
    ),
    "spine1": _SPINE,
    "spine2": _SPINE,
    "spine3": _SPINE,
    "neck": _JointRange((0.12, 0.0, 0.0), (0.2, 0.25, 0.15), (-0.6, -0.8, -0.5), (0.6, 0.8, 0.5)),
    "head": _JointRange((-0.05, 0.0, 0.0), (0.25, 0.3, 0.2), (-0.6, -0.8, -0.5), (0.6, 0.8, 0.5)),
    "left_collar": _JointRange(
        (0.0, 0.0, -0.02), (0.1, 0.12, 0.12), (-0.3, -0.4, -0.2), (0.3, 0.4, 0.5)
    ),
    # The relaxed arm hangs down: the T-pose turned about z, a little forward and inward.
    "left_shoulder": _JointRange(
        (0.3, -0.15, -1.0), (0.55, 0.55, 0.6), (-1.8, -1.9, -0.7), (1.5, 1.2, 2.4)
    ),
    # The forearm folds forward by a negative turn about y. How much of it shows as a turn about z
    # depends on the twist of the upper arm, which joint positions do not determine.
    "left_elbow": _JointRange(
        (0.1, -0.6, 0.3), (0.3, 0.6, 0.35), (-1.2, -1.9, -0.5), (1.2, 0.6, 0.9)
    ),
    "left_wrist": _JointRange(
        (0.0, 0.0, 0.0), (0.3, 0.2, 0.25), (-0.8, -0.6, -1.2), (0.8, 0.6, 1.2)
    ),
    "left_hand": _JointRange(
        (0.0, 0.0, 0.0), (0.05, 0.05, 0.05), (-0.1, -0.1, -0.1), (0.1, 0.1, 0.1)
    ),
}


def _mirrored(joint_range: _JointRange) -> _JointRange:
    """The same range on the right: turns about y and z change sign, and limits swap with it."""

    def flip(values: _Triple) -> _Triple:
        return (values[0], -values[1], -values[2])

    low, high = joint_range.low, joint_range.high
    return _JointRange(
        flip(joint_range.relaxed),
        joint_range.spread,
        (low[0], -high[1], -high[2]),
        (high[0], -low[1], -low[2]),
    )


def _table() -> dict[int, _JointRange]:
    by_joint = {JOINT_INDEX[name]: value for name, value in _RANGES.items()}
    return by_joint | {right: _mirrored(by_joint[left]) for left, right in LEFT_RIGHT}


_BY_JOINT = _table()
_PELVIS = _JointRange((0.0, 0.0, 0.0), _FREE, (-9.0, -9.0, -9.0), _FREE)


def _column(field: str) -> Float[Tensor, "joint 3"]:
    rows = [getattr(_BY_JOINT.get(joint, _PELVIS), field) for joint in range(NUM_JOINTS)]
    return torch.tensor(rows, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Plausibility of joint rotations; the root is free.

    Attributes:
        relaxed: Rotation matrices of a person who stands with hanging, slightly bent arms.
    """

    relaxed: Float[Tensor, "24 3 3"]
    spread: Float[Tensor, "24 3"]
    low: Float[Tensor, "24 3"]
    high: Float[Tensor, "24 3"]

    @classmethod
    def create(cls, device: torch.device | str, dtype: torch.dtype) -> "JointLimits":
        """Build the tables on a device."""
        relaxed = roma.rotvec_to_rotmat(_column("relaxed"))
        columns = (relaxed, _column("spread"), _column("low"), _column("high"))
        return cls(*(column.to(device, dtype) for column in columns))

    def deviation(self, rotations: Float[Tensor, "*batch 24 3 3"]) -> Float[Tensor, "*batch 23 3"]:
        """Rotation vectors from the relaxed pose of all joints but the root, in radians."""
        relative = self.relaxed[1:].mT @ rotations[..., 1:, :, :]
        vector: Tensor = roma.rotmat_to_rotvec(relative)
        return vector

    def energy(self, rotations: Float[Tensor, "*batch 24 3 3"]) -> Float[Tensor, "*batch"]:
        """Negative log plausibility: Gaussian about the relaxed pose plus squared limit excess.

        An excess of 0.1 rad over a limit costs 1.
        """
        deviation = self.deviation(rotations)
        gaussian = 0.5 * (deviation / self.spread[1:]).square().sum((-2, -1))
        below = torch.relu(self.low[1:] - deviation)
        above = torch.relu(deviation - self.high[1:])
        return gaussian + 100.0 * (below + above).square().sum((-2, -1))
