"""The authored poses by name: joint angles in degrees (`angles`), and what supports the person.

Poses are only starting points: the solver moves them until contacts hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from closefit.learning.choreography.angles import Angles

Degrees = int | float | tuple[int | float, ...]


@dataclass(frozen=True)
class Pose:
    """One person's posture.

    Attributes:
        angles: Degrees by group name.
        planted: Feet that stand flat on the floor and do not slide.
        floating: The partner carries the person, so the floor does not determine the height.
        rests_on: Parts (`capsules.NAMES`; without a side both) that lie on the floor.
        seat_m: Height of the seat under the person's hips; 0: no seat.
        jitter_deg: Standard deviation of every angle's variation.
        stiff: Factor on the solver's reluctance to change the pose, 1 as usual.
    """

    angles: Angles
    planted: tuple[str, ...] = ("left", "right")
    floating: bool = False
    rests_on: tuple[str, ...] = ()
    seat_m: float = 0.0
    jitter_deg: float = 4.0
    stiff: float = 1.0


def pose(*parts: Angles, **options: Any) -> Pose:
    """Return a pose composed of parts; later parts override earlier ones."""
    return Pose(angles={name: value for part in parts for name, value in part.items()}, **options)


def resting(*parts: Angles, on: tuple[str, ...]) -> Pose:
    """Return a pose of a person who lies, sits or kneels on some parts of the body."""
    return pose(*parts, planted=(), rests_on=on)


def seated(*parts: Angles) -> Pose:
    """Return a pose of a person on a chair."""
    return pose(*parts, seat_m=0.44, stiff=1.3)


def carried(*parts: Angles) -> Pose:
    """Return a pose of a person whom the partner carries."""
    return pose(*parts, planted=(), floating=True)


def body(**degrees: Degrees) -> dict[str, Degrees]:
    """Return angles of the trunk, the head and of both sides alike."""
    return degrees


def left(**degrees: Degrees) -> dict[str, Degrees]:
    """Return angles of the left side."""
    return {f"left_{name}": value for name, value in degrees.items()}


def right(**degrees: Degrees) -> dict[str, Degrees]:
    """Return angles of the right side."""
    return {f"right_{name}": value for name, value in degrees.items()}


RELAXED_ARMS = body(shoulder=(9, 30, 8), elbow=(18, 10), wrist=(4, 0))
STAND = body(hip=(6, 3, 7), knee=9, ankle=-4)
SOFT_KNEES = body(hip=(18, 5, 10), knee=28, ankle=-13)
SQUAT = body(root=(25, 0, 0), hip=(105, 18, 14), knee=125, ankle=-32)
HALF_SQUAT = body(root=(12, 0, 0), hip=(58, 12, 12), knee=68, ankle=-24)
BOXING_LEGS = (
    body(root=(4, -28, 0))
    | left(hip=(30, 6, 0), knee=28, ankle=-8)
    | right(hip=(-4, 8, 24), knee=26, ankle=-18)
)
LUNGE = (
    body(root=(10, 0, 0))
    | left(hip=(58, 5, 4), knee=58, ankle=-10)
    | right(hip=(-8, 6, 14), knee=28, ankle=-24)
)
SIT = body(hip=(84, 7, 4), knee=86, ankle=0)
KNEEL = body(hip=(4, 8, 0), knee=92, ankle=45)
HALF_KNEEL = left(hip=(82, 10, 4), knee=86, ankle=-2) | right(hip=(-4, 4, 0), knee=88, ankle=-20)
HEELS = body(root=(6, 0, 0), hip=(72, 12, 0), knee=138, ankle=45)
FLOOR_SIT = body(root=(-12, 0, 0), hip=(72, 12, 8), knee=28, ankle=10)
CROSS_LEGS = body(root=(-8, 0, 0), hip=(74, 30, 34), knee=112, ankle=14)
ON_BACK = body(root=(-88, 0, 0), hip=(8, 8, 8), knee=12, ankle=25)
ON_BACK_KNEES = body(root=(-88, 0, 0), hip=(52, 12, 0), knee=92, ankle=28)
GUARD = body(root=(-86, 0, 0), hip=(92, 34, 10), knee=92, ankle=10)
PRONE = body(root=(88, 0, 0), hip=(0, 8, 5), knee=6, ankle=48)
FOURS = body(root=(76, 0, 0), hip=(78, 5, 0), knee=84, ankle=48)
ON_SIDE = (
    body(root=(0, 0, 84))
    | left(hip=(22, 2, 0), knee=34, ankle=20)
    | right(hip=(40, 4, 0), knee=62, ankle=20)
)
LEGS_AROUND = body(root=(8, 0, 0), hip=(92, 38, 12), knee=96, ankle=14)
LEGS_HANG = body(root=(6, 0, 0), hip=(28, 8, 4), knee=34, ankle=28)
LEGS_OVER_ARM = body(root=(-38, 0, 0), hip=(70, 3, 0), knee=66, ankle=22)

GUARD_ARMS = (
    left(shoulder=(48, 62, 34), elbow=(112, 20))
    | right(shoulder=(36, 50, 38), elbow=(128, 20))
    | body(head=(12, 18, 0), spine=(10, 0, 0))
)
OPEN_ARMS = body(shoulder=(62, 52, 20), elbow=(32, 0), spine=(2, 0, 0))
HUG_ARMS = body(shoulder=(62, 76, 58), elbow=(74, 10), spine=(7, 0, 0))
LOW_HUG_ARMS = body(shoulder=(42, 72, 52), elbow=(66, 10), spine=(9, 0, 0))
NECK_ARMS = body(shoulder=(92, 76, 44), elbow=(66, 20), spine=(4, 0, 0))
FORWARD_ARMS = body(shoulder=(62, 86, 20), elbow=(36, 20), spine=(6, 0, 0))
LOW_FORWARD = body(shoulder=(40, 86, 14), elbow=(42, 10), spine=(10, 0, 0))
PUSH_ARMS = body(shoulder=(72, 84, 28), elbow=(42, 60), wrist=(-48, 0))

POSES: Mapping[str, Pose] = {
    # Standing.
    "relaxed": pose(STAND, RELAXED_ARMS),
    "open arms": pose(STAND, OPEN_ARMS),
    "hug high": pose(STAND, NECK_ARMS),
    "hug low": pose(STAND, HUG_ARMS),
    "hug waist": pose(STAND, LOW_HUG_ARMS),
    "hug crossed": pose(
        STAND,
        left(shoulder=(88, 78, 48), elbow=(70, 20)),
        right(shoulder=(42, 74, 52), elbow=(68, 10)),
        body(spine=(6, 0, -4)),
    ),
    "hug down": pose(SOFT_KNEES, HUG_ARMS, body(root=(18, 0, 0), hip=(34, 6, 9), spine=(26, 0, 0))),
    "shake right": pose(
        STAND, RELAXED_ARMS, right(shoulder=(34, 80, 12), elbow=(52, -8), wrist=(0, 8))
    ),
    "shake hug": pose(
        STAND,
        right(shoulder=(34, 70, 40), elbow=(84, -8), wrist=(0, 8)),
        left(shoulder=(66, 66, 52), elbow=(72, 10)),
        body(spine=(12, 0, 0)),
    ),
    "hands front": pose(STAND, FORWARD_ARMS),
    "hands low": pose(STAND, LOW_FORWARD),
    "hands offered": pose(STAND, LOW_FORWARD, body(elbow=(42, -75))),
    "hands laid": pose(STAND, LOW_FORWARD, body(elbow=(34, 70), shoulder=(48, 84, 10))),
    "hands raised": pose(
        STAND, body(shoulder=(64, 62, -6), elbow=(88, 55), wrist=(-30, 0), spine=(2, 0, 0))
    ),
    "hand left side": pose(STAND, RELAXED_ARMS, left(shoulder=(22, 12, 0), elbow=(22, 10))),
    "hand right side": pose(STAND, RELAXED_ARMS, right(shoulder=(22, 12, 0), elbow=(22, 10))),
    "hand up to shoulder": pose(STAND, RELAXED_ARMS, right(shoulder=(74, 80, 16), elbow=(36, 55))),
    "hands on shoulders": pose(STAND, body(shoulder=(78, 80, 18), elbow=(40, 55), spine=(4, 0, 0))),
    "arm around left": pose(
        STAND, RELAXED_ARMS, left(shoulder=(74, -4, -22), elbow=(56, 20)), body(head=(4, 16, 0))
    ),
    "arm around right low": pose(
        STAND, RELAXED_ARMS, right(shoulder=(42, -8, 20), elbow=(52, 10)), body(head=(4, -16, 0))
    ),
    "lead": pose(
        STAND,
        left(shoulder=(62, 34, -44), elbow=(78, -10)),
        right(shoulder=(56, 58, 44), elbow=(72, 10)),
        body(spine=(-2, 0, 0)),
    ),
    "follow": pose(
        STAND,
        right(shoulder=(62, 34, -44), elbow=(78, -10)),
        left(shoulder=(74, 60, 26), elbow=(54, 20)),
        body(spine=(-4, 6, 0)),
    ),
    "push": pose(LUNGE, PUSH_ARMS, body(spine=(10, 0, 0))),
    "pushed": pose(
        STAND, body(root=(-8, 0, 0), spine=(-6, 0, 0), shoulder=(34, 62, 10), elbow=(42, 10))
    ),
    "brace": pose(LUNGE, body(shoulder=(58, 72, 26), elbow=(72, 20), spine=(8, 0, 0))),
    # Fighting.
    "boxing": pose(BOXING_LEGS, GUARD_ARMS, jitter_deg=5.0),
    "high guard": pose(
        BOXING_LEGS,
        body(shoulder=(66, 66, 40), elbow=(132, 10), spine=(14, 0, 0), head=(16, 14, 0)),
    ),
    "punch left": pose(
        BOXING_LEGS,
        GUARD_ARMS,
        left(shoulder=(86, 88, 30), elbow=(12, 55)),
        body(spine=(8, -24, 0)),
    ),
    "punch right": pose(
        BOXING_LEGS,
        GUARD_ARMS,
        body(root=(8, 4, 0), spine=(8, 34, 0), head=(10, -20, 0)),
        right(shoulder=(86, 96, 30), elbow=(10, 55)),
    ),
    "uppercut": pose(
        BOXING_LEGS,
        GUARD_ARMS,
        body(root=(6, 4, 0), spine=(12, 28, 0)),
        right(shoulder=(52, 82, -6), elbow=(94, -50)),
    ),
    "kick front": pose(
        body(root=(-16, -10, 0)),
        right(hip=(88, 6, 4), knee=22, ankle=-8),
        left(hip=(4, 4, 14), knee=16, ankle=-8),
        GUARD_ARMS,
        planted=("left",),
    ),
    "kick round": pose(
        body(root=(-6, 58, 24)),
        right(hip=(66, 40, -8), knee=30, ankle=22),
        left(hip=(2, -14, 22), knee=16, ankle=-8),
        GUARD_ARMS,
        planted=("left",),
    ),
    "knee strike": pose(
        body(root=(-10, 0, 0)),
        right(hip=(104, 6, 0), knee=112, ankle=30),
        left(hip=(0, 4, 12), knee=14, ankle=-10),
        NECK_ARMS,
        planted=("left",),
    ),
    "bent guard": pose(
        SOFT_KNEES,
        body(root=(16, 0, 0), hip=(34, 6, 10), spine=(28, 0, 0), shoulder=(52, 74, 44)),
        body(elbow=(76, 20), head=(-8, 0, 0)),
    ),
    "clinch high": pose(LUNGE, body(shoulder=(88, 80, 40), elbow=(84, 20), spine=(12, 0, 0))),
    "clinch under": pose(
        LUNGE,
        body(root=(18, 0, 0), shoulder=(50, 70, 46), elbow=(70, 10), spine=(16, 0, 0)),
        body(head=(-8, 0, 0)),
    ),
    # Lifting and carrying.
    "lift": pose(
        SOFT_KNEES, body(shoulder=(46, 74, 46), elbow=(78, 0), root=(-4, 0, 0), spine=(-6, 0, 0))
    ),
    "lift crouch": pose(HALF_SQUAT, LOW_HUG_ARMS, body(spine=(14, 0, 0))),
    "lift up": pose(
        STAND, body(shoulder=(104, 84, 12), elbow=(26, 20), spine=(-6, 0, 0), head=(-18, 0, 0))
    ),
    "cradle": pose(
        SOFT_KNEES, body(shoulder=(36, 84, 14), elbow=(82, -60), root=(-6, 0, 0), spine=(-6, 0, 0))
    ),
    "carry piggyback": pose(
        SOFT_KNEES,
        body(root=(14, 0, 0), hip=(32, 6, 8), spine=(22, 0, 0), head=(-14, 0, 0)),
        body(shoulder=(18, -30, 8), elbow=(62, -40)),
    ),
    "ride piggyback": carried(LEGS_AROUND, NECK_ARMS, body(root=(22, 0, 0), hip=(82, 38, 14))),
    "ride front": carried(LEGS_AROUND, NECK_ARMS),
    "lifted": carried(LEGS_HANG, NECK_ARMS),
    "held up": carried(LEGS_HANG, body(shoulder=(52, 82, 10), elbow=(20, 30))),
    "cradled": carried(
        LEGS_OVER_ARM,
        left(shoulder=(86, 40, 20), elbow=(72, 10)),
        right(shoulder=(30, 70, 40), elbow=(80, 10)),
        body(spine=(22, 0, 0)),
    ),
    # Sitting, kneeling, bending.
    "sit": seated(SIT, body(shoulder=(26, 74, 18), elbow=(52, 40))),
    "sit arm left": seated(
        SIT,
        left(shoulder=(66, -6, -14), elbow=(52, 20)),
        right(shoulder=(24, 70, 18), elbow=(54, 40)),
    ),
    "sit lean right": seated(
        SIT, body(spine=(8, 0, -14), head=(6, 0, -18), shoulder=(28, 72, 26), elbow=(62, 40))
    ),
    "squat": pose(SQUAT, LOW_FORWARD),
    "bend reach": pose(
        SOFT_KNEES,
        body(root=(24, 0, 0), hip=(48, 6, 10), spine=(38, 0, 0), shoulder=(62, 84, 12)),
        body(elbow=(18, 10), head=(-14, 0, 0)),
    ),
    "pull back": pose(
        HALF_SQUAT,
        body(root=(-8, 0, 0), hip=(44, 10, 12), knee=56, ankle=-16, shoulder=(60, 84, 10)),
        body(elbow=(30, 0), spine=(10, 0, 0)),
    ),
    "kneel": resting(KNEEL, RELAXED_ARMS, on=("shin",)),
    "kneel hug": resting(KNEEL, HUG_ARMS, on=("shin",)),
    "kneel reach": resting(KNEEL, FORWARD_ARMS, body(spine=(16, 0, 0)), on=("shin",)),
    "half kneel": pose(HALF_KNEEL, FORWARD_ARMS, planted=("left",), rests_on=("right shin",)),
    "massage": pose(
        STAND, body(shoulder=(58, 82, 22), elbow=(46, 55), spine=(14, 0, 0), head=(22, 0, 0))
    ),
    # On the floor.
    "floor sit": resting(
        FLOOR_SIT,
        body(shoulder=(38, -30, 0), elbow=(16, 40)),
        on=("hips", "foot", "palm little side"),
    ),
    "floor sit reach": resting(
        FLOOR_SIT,
        body(root=(2, 0, 0), hip=(72, 12, 6), knee=70, ankle=4, shoulder=(78, 84, 10)),
        body(elbow=(18, 10), spine=(16, 0, 0)),
        on=("hips", "foot"),
    ),
    "cross legs": resting(
        CROSS_LEGS,
        body(shoulder=(28, 66, 20), elbow=(56, 30), spine=(14, 0, 0)),
        on=("hips", "foot"),
    ),
    "cross legs hands": resting(
        CROSS_LEGS,
        body(shoulder=(56, 84, 22), elbow=(40, 30), spine=(14, 0, 0)),
        on=("hips", "foot"),
    ),
    "on back": resting(
        ON_BACK,
        body(shoulder=(24, 0, 0), elbow=(16, 0)),
        on=("hips", "upper chest", "head", "foot"),
    ),
    "on back guard": resting(
        GUARD,
        body(shoulder=(66, 78, 30), elbow=(62, 20), spine=(12, 0, 0), head=(18, 0, 0)),
        on=("hips", "chest"),
    ),
    "on back pinned": resting(
        ON_BACK_KNEES,
        body(shoulder=(94, 14, -62), elbow=(72, 0), head=(8, 0, 0)),
        on=("hips", "upper chest", "head", "foot"),
    ),
    "on back push": resting(
        ON_BACK_KNEES,
        body(shoulder=(80, 82, 22), elbow=(48, 50)),
        on=("hips", "upper chest", "foot"),
    ),
    "prone": resting(
        PRONE,
        body(shoulder=(70, 10, -50), elbow=(96, 20), head=(-8, 40, 0)),
        on=("hips", "chest", "foot"),
    ),
    "fours": resting(
        FOURS,
        body(shoulder=(82, 88, 0), elbow=(10, 60), wrist=(-70, 0), head=(-24, 0, 0)),
        on=("shin", "palm little side", "palm index side"),
    ),
    "mount": resting(
        body(root=(28, 0, 0), hip=(78, 34, 0), knee=122, ankle=46, spine=(24, 0, 0)),
        body(shoulder=(56, 84, 10), elbow=(26, 40)),
        on=("shin",),
    ),
    "in guard": resting(
        HEELS,
        body(root=(34, 0, 0), hip=(92, 20, 0), knee=128, spine=(18, 0, 0)),
        body(shoulder=(62, 82, 12), elbow=(34, 40), head=(-16, 0, 0)),
        on=("shin",),
    ),
    "side control": resting(
        FOURS,
        body(root=(62, 0, 0), hip=(70, 22, 0), knee=96, shoulder=(72, 72, 30), elbow=(70, 20)),
        body(head=(-10, 20, 0)),
        on=("shin", "forearm"),
    ),
    "sprawl": resting(
        body(root=(64, 0, 0), hip=(18, 14, 0), knee=14, ankle=-20, shoulder=(62, 74, 40)),
        body(elbow=(72, 10), head=(-10, 0, 0)),
        on=("foot",),
    ),
    "on side": resting(
        ON_SIDE,
        left(shoulder=(72, 70, 0), elbow=(60, 0)),
        right(shoulder=(60, 84, 20), elbow=(56, 10)),
        on=("hips", "left thigh", "upper chest"),
    ),
    "spoon": resting(
        ON_SIDE,
        left(shoulder=(96, 60, 0), elbow=(70, 0)),
        right(shoulder=(48, 78, 40), elbow=(62, 10)),
        on=("hips", "left thigh", "upper chest"),
    ),
    "floor sit fold": resting(
        FLOOR_SIT,
        body(root=(16, 0, 0), hip=(100, 14, 8), knee=14, spine=(38, 0, 0)),
        body(shoulder=(76, 86, 6), elbow=(12, 20)),
        on=("hips", "foot"),
    ),
    "sit straddle": resting(
        body(root=(-14, 0, 0), hip=(78, 36, 16), knee=58, ankle=8, spine=(16, 0, 0)),
        right(shoulder=(84, 74, 62), elbow=(112, 0)),
        left(shoulder=(80, 64, 20), elbow=(118, 10)),
        on=("hips", "foot"),
    ),
    "straddle": carried(
        LEGS_AROUND,
        body(root=(8, 0, 0), hip=(72, 40, 0), knee=88),
        body(shoulder=(46, 84, 6), elbow=(24, 55)),
    ),
    "press down": resting(
        KNEEL,
        body(root=(20, 0, 0), hip=(52, 12, 0), knee=118, spine=(34, 0, 0)),
        body(shoulder=(72, 92, 14), elbow=(8, 55), wrist=(-55, 0), head=(8, 0, 0)),
        on=("shin",),
    ),
    "tie shoe": resting(
        HEELS,
        body(root=(30, 0, 0), hip=(96, 14, 0), knee=136, spine=(36, 0, 0)),
        body(shoulder=(64, 82, 12), elbow=(34, 20)),
        on=("shin",),
    ),
    "shoot": pose(
        HALF_KNEEL,
        body(root=(34, 0, 0)),
        left(hip=(100, 14, 4)),
        right(hip=(30, 6, 0), knee=86),
        body(shoulder=(60, 70, 40), elbow=(58, 10), spine=(14, 0, 0), head=(-22, 0, 0)),
        planted=("left",),
        rests_on=("right shin",),
    ),
    "dip": pose(
        LUNGE,
        body(root=(22, 0, 0), spine=(16, 0, 0)),
        left(shoulder=(62, 34, -34), elbow=(50, -10)),
        right(shoulder=(58, 66, 44), elbow=(58, 10)),
    ),
    "dipped": pose(
        HALF_SQUAT,
        body(root=(-40, 0, 0), hip=(12, 6, 8), knee=58, ankle=-18, spine=(-14, 0, 0)),
        right(shoulder=(70, 34, -34), elbow=(46, -10)),
        left(shoulder=(84, 70, 26), elbow=(50, 20)),
        body(head=(-14, 0, 0)),
    ),
}
