"""Names of the 24 joints in other programs' skeletons, for retargeting without a table."""

from closefit.body.skeleton import JOINT_NAMES
from closefit.config import JointNames

MIXAMO = {
    "pelvis": "Hips",
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "foot": "ToeBase",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
    "hand": "HandMiddle1",
}
UNREAL = {
    "pelvis": "pelvis",
    "hip": "thigh",
    "knee": "calf",
    "ankle": "foot",
    "foot": "ball",
    "spine1": "spine_01",
    "spine2": "spine_02",
    "spine3": "spine_03",
    "neck": "neck_01",
    "head": "head",
    "collar": "clavicle",
    "shoulder": "upperarm",
    "elbow": "lowerarm",
    "wrist": "hand",
    "hand": "middle_01",
}


def joint_names(style: JointNames) -> tuple[str, ...]:
    """Return the name of each joint; in every style they are unique within one person."""
    return JOINT_NAMES if style == "smpl" else tuple(_renamed(name, style) for name in JOINT_NAMES)


def _renamed(name: str, style: JointNames) -> str:
    side, _, part = name.rpartition("_")
    if style == "mixamo":
        return f"mixamorig:{side.capitalize()}{MIXAMO[part]}"
    return UNREAL[part] + (f"_{side[0]}" if side else "")
