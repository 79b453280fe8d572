"""What poses are made of: the parts of the body in usual postures, and how to put them together."""

from dataclasses import dataclass
from typing import Any

from closefit.learning.choreography.angles import Angles

BOTH_FEET = ("left", "right")


@dataclass(frozen=True)
class Pose:
    """One person's posture.

    Attributes:
        angles: Degrees by group name.
        planted: Feet that stand flat on the floor and do not slide.
        floating: The height is not given by the floor: the partner carries the person.
        rests_on: Parts (`capsules.NAMES`; without a side both) that lie on the floor.
        seat_m: Height of the seat under the person's hips; there is none if 0.
        jitter_deg: Standard deviation of every angle's variation.
        stiff: How little the solver may change the pose, 1 as usual.
    """

    angles: Angles
    planted: tuple[str, ...] = BOTH_FEET
    floating: bool = False
    rests_on: tuple[str, ...] = ()
    seat_m: float = 0.0
    jitter_deg: float = 4.0
    stiff: float = 1.0


def pose(*parts: Angles, **options: Any) -> Pose:
    """Return a pose put together from parts; later ones count where they name the same joints."""
    return Pose(angles={name: value for part in parts for name, value in part.items()}, **options)


RELAXED_ARMS: Angles = {"shoulder": (9, 30, 8), "elbow": (18, 10), "wrist": (4, 0)}
STAND: Angles = {"hip": (6, 3, 7), "knee": 9, "ankle": -4}
SOFT_KNEES: Angles = {"hip": (18, 5, 10), "knee": 28, "ankle": -13}
SQUAT: Angles = {"root": (25, 0, 0), "hip": (105, 18, 14), "knee": 125, "ankle": -32}
HALF_SQUAT: Angles = {"root": (12, 0, 0), "hip": (58, 12, 12), "knee": 68, "ankle": -24}
BOXING_LEGS: Angles = {
    "root": (4, -28, 0),
    "left_hip": (30, 6, 0),
    "left_knee": 28,
    "left_ankle": -8,
    "right_hip": (-4, 8, 24),
    "right_knee": 26,
    "right_ankle": -18,
}
LUNGE: Angles = {
    "root": (10, 0, 0),
    "left_hip": (58, 5, 4),
    "left_knee": 58,
    "left_ankle": -10,
    "right_hip": (-8, 6, 14),
    "right_knee": 28,
    "right_ankle": -24,
}
SIT: Angles = {"hip": (84, 7, 4), "knee": 86, "ankle": 0}
KNEEL: Angles = {"hip": (4, 8, 0), "knee": 92, "ankle": 45}
HALF_KNEEL: Angles = {
    "left_hip": (82, 10, 4),
    "left_knee": 86,
    "left_ankle": -2,
    "right_hip": (-4, 4, 0),
    "right_knee": 88,
    "right_ankle": -20,
}
HEELS: Angles = {"root": (6, 0, 0), "hip": (72, 12, 0), "knee": 138, "ankle": 45}
FLOOR_SIT: Angles = {"root": (-12, 0, 0), "hip": (72, 12, 8), "knee": 28, "ankle": 10}
CROSS_LEGS: Angles = {"root": (-8, 0, 0), "hip": (74, 30, 34), "knee": 112, "ankle": 14}
ON_BACK: Angles = {"root": (-88, 0, 0), "hip": (8, 8, 8), "knee": 12, "ankle": 25}
ON_BACK_KNEES: Angles = {"root": (-88, 0, 0), "hip": (52, 12, 0), "knee": 92, "ankle": 28}
GUARD: Angles = {"root": (-86, 0, 0), "hip": (92, 34, 10), "knee": 92, "ankle": 10}
PRONE: Angles = {"root": (88, 0, 0), "hip": (0, 8, 5), "knee": 6, "ankle": 48}
FOURS: Angles = {"root": (76, 0, 0), "hip": (78, 5, 0), "knee": 84, "ankle": 48}
ON_SIDE: Angles = {
    "root": (0, 0, 84),
    "left_hip": (22, 2, 0),
    "left_knee": 34,
    "left_ankle": 20,
    "right_hip": (40, 4, 0),
    "right_knee": 62,
    "right_ankle": 20,
}
LEGS_AROUND: Angles = {"root": (8, 0, 0), "hip": (92, 38, 12), "knee": 96, "ankle": 14}
LEGS_HANG: Angles = {"root": (6, 0, 0), "hip": (28, 8, 4), "knee": 34, "ankle": 28}
LEGS_OVER_ARM: Angles = {"root": (-38, 0, 0), "hip": (70, 3, 0), "knee": 66, "ankle": 22}

GUARD_ARMS: Angles = {
    "left_shoulder": (48, 62, 34),
    "left_elbow": (112, 20),
    "right_shoulder": (36, 50, 38),
    "right_elbow": (128, 20),
    "head": (12, 18, 0),
    "spine": (10, 0, 0),
}
OPEN_ARMS: Angles = {"shoulder": (62, 52, 20), "elbow": (32, 0), "spine": (2, 0, 0)}
HUG_ARMS: Angles = {"shoulder": (62, 76, 58), "elbow": (74, 10), "spine": (7, 0, 0)}
LOW_HUG_ARMS: Angles = {"shoulder": (42, 72, 52), "elbow": (66, 10), "spine": (9, 0, 0)}
NECK_ARMS: Angles = {"shoulder": (92, 76, 44), "elbow": (66, 20), "spine": (4, 0, 0)}
FORWARD_ARMS: Angles = {"shoulder": (62, 86, 20), "elbow": (36, 20), "spine": (6, 0, 0)}
LOW_FORWARD: Angles = {"shoulder": (40, 86, 14), "elbow": (42, 10), "spine": (10, 0, 0)}
PUSH_ARMS: Angles = {"shoulder": (72, 84, 28), "elbow": (42, 60), "wrist": (-48, 0)}
