"""SMPL's 24-joint skeleton as data: names, tree, mirror pairs, named body parts, evaluation sets.

Both bodies (the free one and SMPL) have exactly this skeleton, so it is a constant and not a
property of a loaded body. "Left" is the body's own left, which is +x in the rest frame.
"""

from typing import Final

JOINT_NAMES: Final = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)

NUM_JOINTS: Final = len(JOINT_NAMES)

PARENTS: Final = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip

JOINT_INDEX: Final = {name: index for index, name in enumerate(JOINT_NAMES)}


def other_side(name: str) -> str:
    """Return the name with left and right swapped (itself for points on the midline)."""
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    return "left_" + name.removeprefix("right_") if name.startswith("right_") else name


MIRROR: Final = tuple(JOINT_INDEX[other_side(name)] for name in JOINT_NAMES)
"""`MIRROR[j]` is the joint on the other side; midline joints map to themselves."""

LEFT_RIGHT: Final = tuple((left, right) for left, right in enumerate(MIRROR) if left < right)
"""(left, right) joint pairs."""


def _depth(joint: int) -> int:
    """Return the number of joints between `joint` and the pelvis."""
    return 0 if joint == 0 else 1 + _depth(PARENTS[joint])


DEPTHS: Final = tuple(_depth(joint) for joint in range(NUM_JOINTS))

LEVELS: Final = tuple(
    tuple(joint for joint in range(NUM_JOINTS) if DEPTHS[joint] == depth)
    for depth in range(max(DEPTHS) + 1)
)
"""Joints by distance from the pelvis. SMPL's order is breadth first, so each level is a run of
consecutive joints and the levels in sequence are all joints in order."""

PARTS: Final = {
    "head": (15,),
    "neck": (12,),
    "torso": (3, 6, 9, 13, 14),
    "hips": (0,),
    "left upper arm": (16,),
    "right upper arm": (17,),
    "left forearm": (18,),
    "right forearm": (19,),
    "left hand": (20, 22),
    "right hand": (21, 23),
    "left thigh": (1,),
    "right thigh": (2,),
    "left shin": (4,),
    "right shin": (5,),
    "left foot": (7, 10),
    "right foot": (8, 11),
}
"""Named body parts for contact reports, each with the joints whose skin belongs to it."""

PART_NAMES: Final = tuple(PARTS)

JOINT_PART: Final = tuple(
    next(index for index, joints in enumerate(PARTS.values()) if joint in joints)
    for joint in range(NUM_JOINTS)
)
"""`JOINT_PART[j]` is the index into `PART_NAMES` of the part that joint j moves."""

EVALUATION_JOINTS: Final = (1, 2, 4, 5, 7, 8, 12, 15, 16, 17, 18, 19, 20, 21)
"""Hips, knees, ankles, neck, head, shoulders, elbows, wrists: the joints the measures use."""
