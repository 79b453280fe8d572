"""Poses of people on their feet, or carried by somebody who is."""

from collections.abc import Mapping

from closefit.learning.choreography.pose_parts import (
    BOXING_LEGS,
    FORWARD_ARMS,
    GUARD_ARMS,
    HALF_SQUAT,
    HUG_ARMS,
    LEGS_AROUND,
    LEGS_HANG,
    LEGS_OVER_ARM,
    LOW_FORWARD,
    LOW_HUG_ARMS,
    LUNGE,
    NECK_ARMS,
    OPEN_ARMS,
    PUSH_ARMS,
    RELAXED_ARMS,
    SOFT_KNEES,
    STAND,
    Pose,
    pose,
)

STANDING: Mapping[str, Pose] = {
    # Standing.
    "relaxed": pose(STAND, RELAXED_ARMS),
    "open arms": pose(STAND, OPEN_ARMS),
    "hug high": pose(STAND, NECK_ARMS),
    "hug low": pose(STAND, HUG_ARMS),
    "hug waist": pose(STAND, LOW_HUG_ARMS),
    "hug crossed": pose(
        STAND,
        {
            "left_shoulder": (88, 78, 48),
            "left_elbow": (70, 20),
            "right_shoulder": (42, 74, 52),
            "right_elbow": (68, 10),
            "spine": (6, 0, -4),
        },
    ),
    "hug down": pose(
        SOFT_KNEES, HUG_ARMS, {"root": (18, 0, 0), "hip": (34, 6, 9), "spine": (26, 0, 0)}
    ),
    "shake right": pose(
        STAND,
        RELAXED_ARMS,
        {"right_shoulder": (34, 80, 12), "right_elbow": (52, -8), "right_wrist": (0, 8)},
    ),
    "shake hug": pose(
        STAND,
        {
            "right_shoulder": (34, 70, 40),
            "right_elbow": (84, -8),
            "right_wrist": (0, 8),
            "left_shoulder": (66, 66, 52),
            "left_elbow": (72, 10),
            "spine": (12, 0, 0),
        },
    ),
    "hands front": pose(STAND, FORWARD_ARMS),
    "hands low": pose(STAND, LOW_FORWARD),
    "hands offered": pose(STAND, LOW_FORWARD, {"elbow": (42, -75)}),
    "hands laid": pose(STAND, LOW_FORWARD, {"elbow": (34, 70), "shoulder": (48, 84, 10)}),
    "hands raised": pose(
        STAND, {"shoulder": (64, 62, -6), "elbow": (88, 55), "wrist": (-30, 0), "spine": (2, 0, 0)}
    ),
    "hand left side": pose(
        STAND, RELAXED_ARMS, {"left_shoulder": (22, 12, 0), "left_elbow": (22, 10)}
    ),
    "hand right side": pose(
        STAND, RELAXED_ARMS, {"right_shoulder": (22, 12, 0), "right_elbow": (22, 10)}
    ),
    "hand up to shoulder": pose(
        STAND, RELAXED_ARMS, {"right_shoulder": (74, 80, 16), "right_elbow": (36, 55)}
    ),
    "hands on shoulders": pose(
        STAND, {"shoulder": (78, 80, 18), "elbow": (40, 55), "spine": (4, 0, 0)}
    ),
    "arm around left": pose(
        STAND,
        RELAXED_ARMS,
        {"left_shoulder": (74, -4, -22), "left_elbow": (56, 20), "head": (4, 16, 0)},
    ),
    "arm around right low": pose(
        STAND,
        RELAXED_ARMS,
        {"right_shoulder": (42, -8, 20), "right_elbow": (52, 10), "head": (4, -16, 0)},
    ),
    "lead": pose(
        STAND,
        {
            "left_shoulder": (62, 34, -44),
            "left_elbow": (78, -10),
            "right_shoulder": (56, 58, 44),
            "right_elbow": (72, 10),
            "spine": (-2, 0, 0),
        },
    ),
    "follow": pose(
        STAND,
        {
            "right_shoulder": (62, 34, -44),
            "right_elbow": (78, -10),
            "left_shoulder": (74, 60, 26),
            "left_elbow": (54, 20),
            "spine": (-4, 6, 0),
        },
    ),
    "push": pose(LUNGE, PUSH_ARMS, {"spine": (10, 0, 0)}),
    "pushed": pose(
        STAND,
        {"root": (-8, 0, 0), "spine": (-6, 0, 0), "shoulder": (34, 62, 10), "elbow": (42, 10)},
    ),
    "brace": pose(LUNGE, {"shoulder": (58, 72, 26), "elbow": (72, 20), "spine": (8, 0, 0)}),
    # Fighting.
    "boxing": pose(BOXING_LEGS, GUARD_ARMS, jitter_deg=5.0),
    "high guard": pose(
        BOXING_LEGS,
        {"shoulder": (66, 66, 40), "elbow": (132, 10), "spine": (14, 0, 0), "head": (16, 14, 0)},
    ),
    "punch left": pose(
        BOXING_LEGS,
        GUARD_ARMS,
        {"left_shoulder": (86, 88, 30), "left_elbow": (12, 55), "spine": (8, -24, 0)},
    ),
    "punch right": pose(
        BOXING_LEGS,
        GUARD_ARMS,
        {
            "root": (8, 4, 0),
            "right_shoulder": (86, 96, 30),
            "right_elbow": (10, 55),
            "spine": (8, 34, 0),
            "head": (10, -20, 0),
        },
    ),
    "uppercut": pose(
        BOXING_LEGS,
        GUARD_ARMS,
        {
            "root": (6, 4, 0),
            "right_shoulder": (52, 82, -6),
            "right_elbow": (94, -50),
            "spine": (12, 28, 0),
        },
    ),
    "kick front": pose(
        {
            "root": (-16, -10, 0),
            "right_hip": (88, 6, 4),
            "right_knee": 22,
            "right_ankle": -8,
            "left_hip": (4, 4, 14),
            "left_knee": 16,
            "left_ankle": -8,
        },
        GUARD_ARMS,
        planted=("left",),
    ),
    "kick round": pose(
        {
            "root": (-6, 58, 24),
            "right_hip": (66, 40, -8),
            "right_knee": 30,
            "right_ankle": 22,
            "left_hip": (2, -14, 22),
            "left_knee": 16,
            "left_ankle": -8,
        },
        GUARD_ARMS,
        planted=("left",),
    ),
    "knee strike": pose(
        {
            "root": (-10, 0, 0),
            "right_hip": (104, 6, 0),
            "right_knee": 112,
            "right_ankle": 30,
            "left_hip": (0, 4, 12),
            "left_knee": 14,
            "left_ankle": -10,
        },
        NECK_ARMS,
        planted=("left",),
    ),
    "bent guard": pose(
        SOFT_KNEES,
        {
            "root": (16, 0, 0),
            "hip": (34, 6, 10),
            "spine": (28, 0, 0),
            "shoulder": (52, 74, 44),
            "elbow": (76, 20),
            "head": (-8, 0, 0),
        },
    ),
    "clinch high": pose(LUNGE, {"shoulder": (88, 80, 40), "elbow": (84, 20), "spine": (12, 0, 0)}),
    "clinch under": pose(
        LUNGE,
        {
            "root": (18, 0, 0),
            "shoulder": (50, 70, 46),
            "elbow": (70, 10),
            "spine": (16, 0, 0),
            "head": (-8, 0, 0),
        },
    ),
    # Lifting and carrying.
    "lift": pose(
        SOFT_KNEES,
        {"shoulder": (46, 74, 46), "elbow": (78, 0), "root": (-4, 0, 0), "spine": (-6, 0, 0)},
    ),
    "lift crouch": pose(HALF_SQUAT, LOW_HUG_ARMS, {"spine": (14, 0, 0)}),
    "lift up": pose(
        STAND,
        {"shoulder": (104, 84, 12), "elbow": (26, 20), "spine": (-6, 0, 0), "head": (-18, 0, 0)},
    ),
    "cradle": pose(
        SOFT_KNEES,
        {"shoulder": (36, 84, 14), "elbow": (82, -60), "root": (-6, 0, 0), "spine": (-6, 0, 0)},
    ),
    "carry piggyback": pose(
        SOFT_KNEES,
        {
            "root": (14, 0, 0),
            "hip": (32, 6, 8),
            "spine": (22, 0, 0),
            "head": (-14, 0, 0),
            "shoulder": (18, -30, 8),
            "elbow": (62, -40),
        },
    ),
    "ride piggyback": pose(
        LEGS_AROUND,
        NECK_ARMS,
        {"root": (22, 0, 0), "hip": (82, 38, 14)},
        planted=(),
        floating=True,
    ),
    "ride front": pose(LEGS_AROUND, NECK_ARMS, planted=(), floating=True),
    "lifted": pose(LEGS_HANG, NECK_ARMS, planted=(), floating=True),
    "held up": pose(
        LEGS_HANG, {"shoulder": (52, 82, 10), "elbow": (20, 30)}, planted=(), floating=True
    ),
    "cradled": pose(
        LEGS_OVER_ARM,
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
}
