"""The authored poses: joint angles in degrees (`angles`) with jitter, and what carries the person.

Add a pose here and name it in a kind (`kinds`). Poses are only starting points: the solver moves
them until contacts hold. A pose is put together from parts (legs, trunk, arms).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from closefit.choreography.angles import Angles

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


def _pose(*parts: Angles, **options: Any) -> Pose:
    """Return a pose put together from parts; later ones count where they name the same joints."""
    return Pose(angles={name: value for part in parts for name, value in part.items()}, **options)


_RELAXED_ARMS: Angles = {"shoulder": (9, 30, 8), "elbow": (18, 10), "wrist": (4, 0)}
_STAND: Angles = {"hip": (6, 3, 7), "knee": 9, "ankle": -4}
_SOFT_KNEES: Angles = {"hip": (18, 5, 10), "knee": 28, "ankle": -13}
_SQUAT: Angles = {"root": (25, 0, 0), "hip": (105, 18, 14), "knee": 125, "ankle": -32}
_HALF_SQUAT: Angles = {"root": (12, 0, 0), "hip": (58, 12, 12), "knee": 68, "ankle": -24}
_BOXING_LEGS: Angles = {
    "root": (4, -28, 0),
    "left_hip": (30, 6, 0),
    "left_knee": 28,
    "left_ankle": -8,
    "right_hip": (-4, 8, 24),
    "right_knee": 26,
    "right_ankle": -18,
}
_LUNGE: Angles = {
    "root": (10, 0, 0),
    "left_hip": (58, 5, 4),
    "left_knee": 58,
    "left_ankle": -10,
    "right_hip": (-8, 6, 14),
    "right_knee": 28,
    "right_ankle": -24,
}
_SIT: Angles = {"hip": (84, 7, 4), "knee": 86, "ankle": 0}
_KNEEL: Angles = {"hip": (4, 8, 0), "knee": 92, "ankle": 45}
_HALF_KNEEL: Angles = {
    "left_hip": (82, 10, 4),
    "left_knee": 86,
    "left_ankle": -2,
    "right_hip": (-4, 4, 0),
    "right_knee": 88,
    "right_ankle": -20,
}
_HEELS: Angles = {"root": (6, 0, 0), "hip": (72, 12, 0), "knee": 138, "ankle": 45}
_FLOOR_SIT: Angles = {"root": (-12, 0, 0), "hip": (72, 12, 8), "knee": 28, "ankle": 10}
_CROSS_LEGS: Angles = {"root": (-8, 0, 0), "hip": (74, 30, 34), "knee": 112, "ankle": 14}
_ON_BACK: Angles = {"root": (-88, 0, 0), "hip": (8, 8, 8), "knee": 12, "ankle": 25}
_ON_BACK_KNEES: Angles = {"root": (-88, 0, 0), "hip": (52, 12, 0), "knee": 92, "ankle": 28}
_GUARD: Angles = {"root": (-86, 0, 0), "hip": (92, 34, 10), "knee": 92, "ankle": 10}
_PRONE: Angles = {"root": (88, 0, 0), "hip": (0, 8, 5), "knee": 6, "ankle": 48}
_FOURS: Angles = {"root": (76, 0, 0), "hip": (78, 5, 0), "knee": 84, "ankle": 48}
_ON_SIDE: Angles = {
    "root": (0, 0, 84),
    "left_hip": (22, 2, 0),
    "left_knee": 34,
    "left_ankle": 20,
    "right_hip": (40, 4, 0),
    "right_knee": 62,
    "right_ankle": 20,
}
_LEGS_AROUND: Angles = {"root": (8, 0, 0), "hip": (92, 38, 12), "knee": 96, "ankle": 14}
_LEGS_HANG: Angles = {"root": (6, 0, 0), "hip": (28, 8, 4), "knee": 34, "ankle": 28}
_LEGS_OVER_ARM: Angles = {"root": (-38, 0, 0), "hip": (70, 3, 0), "knee": 66, "ankle": 22}

_GUARD_ARMS: Angles = {
    "left_shoulder": (48, 62, 34),
    "left_elbow": (112, 20),
    "right_shoulder": (36, 50, 38),
    "right_elbow": (128, 20),
    "head": (12, 18, 0),
    "spine": (10, 0, 0),
}
_OPEN_ARMS: Angles = {"shoulder": (62, 52, 20), "elbow": (32, 0), "spine": (2, 0, 0)}
_HUG_ARMS: Angles = {"shoulder": (62, 76, 58), "elbow": (74, 10), "spine": (7, 0, 0)}
_LOW_HUG_ARMS: Angles = {"shoulder": (42, 72, 52), "elbow": (66, 10), "spine": (9, 0, 0)}
_NECK_ARMS: Angles = {"shoulder": (92, 76, 44), "elbow": (66, 20), "spine": (4, 0, 0)}
_FORWARD_ARMS: Angles = {"shoulder": (62, 86, 20), "elbow": (36, 20), "spine": (6, 0, 0)}
_LOW_FORWARD: Angles = {"shoulder": (40, 86, 14), "elbow": (42, 10), "spine": (10, 0, 0)}
_PUSH_ARMS: Angles = {"shoulder": (72, 84, 28), "elbow": (42, 60), "wrist": (-48, 0)}

POSES: Mapping[str, Pose] = {
    # Standing.
    "relaxed": _pose(_STAND, _RELAXED_ARMS),
    "open arms": _pose(_STAND, _OPEN_ARMS),
    "hug high": _pose(_STAND, _NECK_ARMS),
    "hug low": _pose(_STAND, _HUG_ARMS),
    "hug waist": _pose(_STAND, _LOW_HUG_ARMS),
    "hug crossed": _pose(
        _STAND,
        {
            "left_shoulder": (88, 78, 48),
            "left_elbow": (70, 20),
            "right_shoulder": (42, 74, 52),
            "right_elbow": (68, 10),
            "spine": (6, 0, -4),
        },
    ),
    "hug down": _pose(
        _SOFT_KNEES, _HUG_ARMS, {"root": (18, 0, 0), "hip": (34, 6, 9), "spine": (26, 0, 0)}
    ),
    "shake right": _pose(
        _STAND,
        _RELAXED_ARMS,
        {"right_shoulder": (34, 80, 12), "right_elbow": (52, -8), "right_wrist": (0, 8)},
    ),
    "shake hug": _pose(
        _STAND,
        {
            "right_shoulder": (34, 70, 40),
            "right_elbow": (84, -8),
            "right_wrist": (0, 8),
            "left_shoulder": (66, 66, 52),
            "left_elbow": (72, 10),
            "spine": (12, 0, 0),
        },
    ),
    "hands front": _pose(_STAND, _FORWARD_ARMS),
    "hands low": _pose(_STAND, _LOW_FORWARD),
    "hand left side": _pose(
        _STAND, _RELAXED_ARMS, {"left_shoulder": (22, 12, 0), "left_elbow": (22, 10)}
    ),
    "hand right side": _pose(
        _STAND, _RELAXED_ARMS, {"right_shoulder": (22, 12, 0), "right_elbow": (22, 10)}
    ),
    "hand up to shoulder": _pose(
        _STAND, _RELAXED_ARMS, {"right_shoulder": (74, 80, 16), "right_elbow": (36, 55)}
    ),
    "hands on shoulders": _pose(
        _STAND, {"shoulder": (78, 80, 18), "elbow": (40, 55), "spine": (4, 0, 0)}
    ),
    "arm around left": _pose(
        _STAND,
        _RELAXED_ARMS,
        {"left_shoulder": (74, -4, -22), "left_elbow": (56, 20), "head": (4, 16, 0)},
    ),
    "arm around right low": _pose(
        _STAND,
        _RELAXED_ARMS,
        {"right_shoulder": (42, -8, 20), "right_elbow": (52, 10), "head": (4, -16, 0)},
    ),
    "lead": _pose(
        _STAND,
        {
            "left_shoulder": (62, 34, -44),
            "left_elbow": (78, -10),
            "right_shoulder": (56, 58, 44),
            "right_elbow": (72, 10),
            "spine": (-2, 0, 0),
        },
    ),
    "follow": _pose(
        _STAND,
        {
            "right_shoulder": (62, 34, -44),
            "right_elbow": (78, -10),
            "left_shoulder": (74, 60, 26),
            "left_elbow": (54, 20),
            "spine": (-4, 6, 0),
        },
    ),
    "push": _pose(_LUNGE, _PUSH_ARMS, {"spine": (10, 0, 0)}),
    "pushed": _pose(
        _STAND,
        {"root": (-8, 0, 0), "spine": (-6, 0, 0), "shoulder": (34, 62, 10), "elbow": (42, 10)},
    ),
    "brace": _pose(_LUNGE, {"shoulder": (58, 72, 26), "elbow": (72, 20), "spine": (8, 0, 0)}),
    # Fighting.
    "boxing": _pose(_BOXING_LEGS, _GUARD_ARMS, jitter_deg=5.0),
    "high guard": _pose(
        _BOXING_LEGS,
        {"shoulder": (66, 66, 40), "elbow": (132, 10), "spine": (14, 0, 0), "head": (16, 14, 0)},
    ),
    "punch left": _pose(
        _BOXING_LEGS,
        _GUARD_ARMS,
        {"left_shoulder": (86, 88, 30), "left_elbow": (12, 55), "spine": (8, -24, 0)},
    ),
    "punch right": _pose(
        _BOXING_LEGS,
        _GUARD_ARMS,
        {
            "root": (8, 4, 0),
            "right_shoulder": (86, 96, 30),
            "right_elbow": (10, 55),
            "spine": (8, 34, 0),
            "head": (10, -20, 0),
        },
    ),
    "uppercut": _pose(
        _BOXING_LEGS,
        _GUARD_ARMS,
        {
            "root": (6, 4, 0),
            "right_shoulder": (52, 82, -6),
            "right_elbow": (94, -50),
            "spine": (12, 28, 0),
        },
    ),
    "kick front": _pose(
        {
            "root": (-16, -10, 0),
            "right_hip": (88, 6, 4),
            "right_knee": 22,
            "right_ankle": -8,
            "left_hip": (4, 4, 14),
            "left_knee": 16,
            "left_ankle": -8,
        },
        _GUARD_ARMS,
        planted=("left",),
    ),
    "kick round": _pose(
        {
            "root": (-6, 58, 24),
            "right_hip": (66, 40, -8),
            "right_knee": 30,
            "right_ankle": 22,
            "left_hip": (2, -14, 22),
            "left_knee": 16,
            "left_ankle": -8,
        },
        _GUARD_ARMS,
        planted=("left",),
    ),
    "knee strike": _pose(
        {
            "root": (-10, 0, 0),
            "right_hip": (104, 6, 0),
            "right_knee": 112,
            "right_ankle": 30,
            "left_hip": (0, 4, 12),
            "left_knee": 14,
            "left_ankle": -10,
        },
        _NECK_ARMS,
        planted=("left",),
    ),
    "bent guard": _pose(
        _SOFT_KNEES,
        {
            "root": (16, 0, 0),
            "hip": (34, 6, 10),
            "spine": (28, 0, 0),
            "shoulder": (52, 74, 44),
            "elbow": (76, 20),
            "head": (-8, 0, 0),
        },
    ),
    "clinch high": _pose(
        _LUNGE, {"shoulder": (88, 80, 40), "elbow": (84, 20), "spine": (12, 0, 0)}
    ),
    "clinch under": _pose(
        _LUNGE,
        {
            "root": (18, 0, 0),
            "shoulder": (50, 70, 46),
            "elbow": (70, 10),
            "spine": (16, 0, 0),
            "head": (-8, 0, 0),
        },
    ),
    # Lifting and carrying.
    "lift": _pose(
        _SOFT_KNEES,
        {"shoulder": (46, 74, 46), "elbow": (78, 0), "root": (-4, 0, 0), "spine": (-6, 0, 0)},
    ),
    "lift crouch": _pose(_HALF_SQUAT, _LOW_HUG_ARMS, {"spine": (14, 0, 0)}),
    "lift up": _pose(
        _STAND,
        {"shoulder": (104, 84, 12), "elbow": (26, 20), "spine": (-6, 0, 0), "head": (-18, 0, 0)},
    ),
    "cradle": _pose(
        _SOFT_KNEES,
        {"shoulder": (36, 84, 14), "elbow": (82, -60), "root": (-6, 0, 0), "spine": (-6, 0, 0)},
    ),
    "carry piggyback": _pose(
        _SOFT_KNEES,
        {
            "root": (14, 0, 0),
            "hip": (32, 6, 8),
            "spine": (22, 0, 0),
            "head": (-14, 0, 0),
            "shoulder": (18, -30, 8),
            "elbow": (62, -40),
        },
    ),
    "ride piggyback": _pose(
        _LEGS_AROUND,
        _NECK_ARMS,
        {"root": (22, 0, 0), "hip": (82, 38, 14)},
        planted=(),
        floating=True,
    ),
    "ride front": _pose(_LEGS_AROUND, _NECK_ARMS, planted=(), floating=True),
    "lifted": _pose(_LEGS_HANG, _NECK_ARMS, planted=(), floating=True),
    "held up": _pose(
        _LEGS_HANG, {"shoulder": (52, 82, 10), "elbow": (20, 30)}, planted=(), floating=True
    ),
    "cradled": _pose(
        _LEGS_OVER_ARM,
        {
            "left_shoulder": (86, 40, 20),
            "left_elbow": (72, 10),
            "right_shoulder": (30, 70, 40),
            "right_elbow": (80, 10),
            "spine": (22, 0, 0),
        },
        planted=(),
        floating=True,
    ),
    # Sitting, kneeling, bending.
    "sit": _pose(_SIT, {"shoulder": (26, 74, 18), "elbow": (52, 40)}, seat_m=0.44, stiff=1.3),
    "sit arm left": _pose(
        _SIT,
        {
            "left_shoulder": (66, -6, -14),
            "left_elbow": (52, 20),
            "right_shoulder": (24, 70, 18),
            "right_elbow": (54, 40),
        },
        seat_m=0.44,
        stiff=1.3,
    ),
    "sit lean right": _pose(
        _SIT,
        {"spine": (8, 0, -14), "head": (6, 0, -18), "shoulder": (28, 72, 26), "elbow": (62, 40)},
        seat_m=0.44,
        stiff=1.3,
    ),
    "squat": _pose(_SQUAT, _LOW_FORWARD),
    "crouch reach": _pose(
        _HALF_SQUAT, {"spine": (24, 0, 0), "shoulder": (52, 84, 12), "elbow": (22, 0)}
    ),
    "bend reach": _pose(
        _SOFT_KNEES,
        {
            "root": (24, 0, 0),
            "hip": (48, 6, 10),
            "spine": (38, 0, 0),
            "shoulder": (62, 84, 12),
            "elbow": (18, 10),
            "head": (-14, 0, 0),
        },
    ),
    "pull back": _pose(
        _HALF_SQUAT,
        {
            "root": (-8, 0, 0),
            "hip": (44, 10, 12),
            "knee": 56,
            "ankle": -16,
            "shoulder": (60, 84, 10),
            "elbow": (30, 0),
            "spine": (10, 0, 0),
        },
    ),
    "kneel": _pose(_KNEEL, _RELAXED_ARMS, planted=(), rests_on=("shin",)),
    "kneel hug": _pose(_KNEEL, _HUG_ARMS, planted=(), rests_on=("shin",)),
    "kneel reach": _pose(
        _KNEEL, _FORWARD_ARMS, {"spine": (16, 0, 0)}, planted=(), rests_on=("shin",)
    ),
    "half kneel": _pose(_HALF_KNEEL, _FORWARD_ARMS, planted=("left",), rests_on=("right shin",)),
    "sit on heels": _pose(
        _HEELS, _FORWARD_ARMS, {"spine": (18, 0, 0)}, planted=(), rests_on=("shin",)
    ),
    "massage": _pose(
        _STAND,
        {"shoulder": (58, 82, 22), "elbow": (46, 55), "spine": (14, 0, 0), "head": (22, 0, 0)},
    ),
    # On the floor.
    "floor sit": _pose(
        _FLOOR_SIT,
        {"shoulder": (38, -30, 0), "elbow": (16, 40)},
        planted=(),
        rests_on=("hips", "foot", "hand little side"),
    ),
    "floor sit reach": _pose(
        _FLOOR_SIT,
        {
            "root": (2, 0, 0),
            "hip": (72, 12, 6),
            "knee": 70,
            "ankle": 4,
            "shoulder": (78, 84, 10),
            "elbow": (18, 10),
            "spine": (16, 0, 0),
        },
        planted=(),
        rests_on=("hips", "foot"),
    ),
    "cross legs": _pose(
        _CROSS_LEGS,
        {"shoulder": (28, 66, 20), "elbow": (56, 30), "spine": (14, 0, 0)},
        planted=(),
        rests_on=("hips", "foot"),
    ),
    "cross legs hands": _pose(
        _CROSS_LEGS,
        {"shoulder": (56, 84, 22), "elbow": (40, 30), "spine": (14, 0, 0)},
        planted=(),
        rests_on=("hips", "foot"),
    ),
    "on back": _pose(
        _ON_BACK,
        {"shoulder": (24, 0, 0), "elbow": (16, 0)},
        planted=(),
        rests_on=("hips", "upper chest", "head", "foot"),
    ),
    "on back guard": _pose(
        _GUARD,
        {"shoulder": (66, 78, 30), "elbow": (62, 20), "spine": (12, 0, 0), "head": (18, 0, 0)},
        planted=(),
        rests_on=("hips", "chest"),
    ),
    "on back pinned": _pose(
        _ON_BACK_KNEES,
        {"shoulder": (94, 14, -62), "elbow": (72, 0), "head": (8, 0, 0)},
        planted=(),
        rests_on=("hips", "upper chest", "head", "foot"),
    ),
    "on back push": _pose(
        _ON_BACK_KNEES,
        {"shoulder": (80, 82, 22), "elbow": (48, 50)},
        planted=(),
        rests_on=("hips", "upper chest", "foot"),
    ),
    "prone": _pose(
        _PRONE,
        {"shoulder": (70, 10, -50), "elbow": (96, 20), "head": (-8, 40, 0)},
        planted=(),
        rests_on=("hips", "chest", "foot"),
    ),
    "fours": _pose(
        _FOURS,
        {"shoulder": (82, 88, 0), "elbow": (10, 60), "wrist": (-70, 0), "head": (-24, 0, 0)},
        planted=(),
        rests_on=("shin", "hand little side", "hand index side"),
    ),
    "mount": _pose(
        {
            "root": (28, 0, 0),
            "hip": (78, 34, 0),
            "knee": 122,
            "ankle": 46,
            "spine": (24, 0, 0),
            "shoulder": (56, 84, 10),
            "elbow": (26, 40),
        },
        planted=(),
        rests_on=("shin",),
    ),
    "in guard": _pose(
        _HEELS,
        {
            "root": (34, 0, 0),
            "hip": (92, 20, 0),
            "knee": 128,
            "spine": (18, 0, 0),
            "shoulder": (62, 82, 12),
            "elbow": (34, 40),
            "head": (-16, 0, 0),
        },
        planted=(),
        rests_on=("shin",),
    ),
    "side control": _pose(
        _FOURS,
        {
            "root": (62, 0, 0),
            "hip": (70, 22, 0),
            "knee": 96,
            "shoulder": (72, 72, 30),
            "elbow": (70, 20),
            "head": (-10, 20, 0),
        },
        planted=(),
        rests_on=("shin", "forearm"),
    ),
    "sprawl": _pose(
        {
            "root": (64, 0, 0),
            "hip": (18, 14, 0),
            "knee": 14,
            "ankle": -20,
            "shoulder": (62, 74, 40),
            "elbow": (72, 10),
            "head": (-10, 0, 0),
        },
        planted=(),
        rests_on=("foot",),
    ),
    "on side": _pose(
        _ON_SIDE,
        {
            "left_shoulder": (72, 70, 0),
            "left_elbow": (60, 0),
            "right_shoulder": (60, 84, 20),
            "right_elbow": (56, 10),
        },
        planted=(),
        rests_on=("hips", "left thigh", "upper chest"),
    ),
    "spoon": _pose(
        _ON_SIDE,
        {
            "left_shoulder": (96, 60, 0),
            "left_elbow": (70, 0),
            "right_shoulder": (48, 78, 40),
            "right_elbow": (62, 10),
        },
        planted=(),
        rests_on=("hips", "left thigh", "upper chest"),
    ),
}
