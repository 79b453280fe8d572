"""Skeletons of motion files, motion on them, and the correspondence of their joints to SMPL's.

A layout gives for each of our joints the file's joint at the same place, whose rotation moves the
same part. `{s}` stands for l or r, `{S}` for L or R, `{Side}` for Left or Right, `{side}` for left
or right; each row of a paired joint covers both sides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float

from closefit.body.skeleton import JOINT_NAMES
from closefit.errors import InputError

REQUIRED: Final = (
    "pelvis", "spine3", "neck",
    "left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
"""Joints without which a skeleton cannot be carried over; the others follow their neighbours."""

END: Final = "_end"
"""Suffix of the end point of a chain, after the name of its last joint."""

Z_UP_TO_Y_UP: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Maps a z-up frame to a y-up one: x stays, z becomes y, y becomes -z."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SourceMotion:
    """One person's motion on the file's own skeleton, in the file's unit.

    Attributes:
        joint_names: Names in the file; end points of chains are named after their joint.
        rest_joints: Joint positions of the rest pose.
        rotations_world: Rotation of each joint's part from the rest pose into the world.
        joints: Joint positions in the world.
        unit_m: Metres per unit, where the file gives it.
        fps: Frames per second.
        name: For `PairMotion.name`.
        origin: The file, for messages.
    """

    joint_names: tuple[str, ...]
    rest_joints: Float[np.ndarray, "joint 3"]
    rotations_world: Float[np.ndarray, "frame joint 3 3"]
    joints: Float[np.ndarray, "frame joint 3"]
    unit_m: float | None
    fps: float
    name: str
    origin: str

    def turned(self, rotation: Float[np.ndarray, "3 3"]) -> "SourceMotion":
        """Return the same motion with the rest pose and the world both turned by `rotation`."""
        return replace(
            self,
            rest_joints=self.rest_joints @ rotation.T,
            rotations_world=rotation @ self.rotations_world @ rotation.T,
            joints=self.joints @ rotation.T,
        )


@dataclass(frozen=True)
class Layout:
    """A naming scheme of motion files.

    Attributes:
        name: For messages.
        joints: For each of our joints the file's.
        unit_m: Metres per unit where the scheme implies it.
    """

    name: str
    joints: Mapping[str, str]
    unit_m: float | None = None


def _layout(name: str, rows: Mapping[str, str], unit_m: float | None = None) -> Layout:
    """Write out both sides of each paired row."""
    joints = {}
    for joint in JOINT_NAMES:
        side, _, part = joint.partition("_")
        template = rows.get(part if part else joint)
        if template is not None:
            joints[joint] = template.format(
                s=side[0], S=side[0].upper(), side=side, Side=side.capitalize()
            )
    return Layout(name, joints, unit_m)


POSER_UNIT_M: Final = 1.4
"""Walking speed, hip height and the distance of dancers who hold hands agree with this factor."""

_RIG: Final = {
    "pelvis": "Hips", "neck": "Neck", "head": "Head", "collar": "{Side}Shoulder",
    "shoulder": "{Side}Arm", "elbow": "{Side}ForeArm", "wrist": "{Side}Hand", "hip": "{Side}UpLeg",
    "knee": "{Side}Leg", "ankle": "{Side}Foot", "foot": "{Side}ToeBase",
}  # fmt: skip
"""Names that MotionBuilder and game rigs share."""

LAYOUTS: Final = (
    _layout("SMPL", {name.partition("_")[2] or name: (
        name.replace("left_", "{side}_") if "left" in name else name
    ) for name in JOINT_NAMES if not name.startswith("right_")}),
    _layout(
        "Poser figure (CMU conversion)",
        {
            "pelvis": "hip", "spine1": "abdomen", "spine3": "chest", "neck": "neck",
            "head": "head", "collar": "{s}Collar", "shoulder": "{s}Shldr",
            "elbow": "{s}ForeArm", "wrist": "{s}Hand", "hand": "{s}Mid1",
            "hip": "{s}Thigh", "knee": "{s}Shin", "ankle": "{s}Foot", "foot": "{s}Foot_end",
        },
        POSER_UNIT_M,
    ),
    _layout(
        "Acclaim (CMU)",
        {
            "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax",
            "neck": "lowerneck", "head": "head", "collar": "{s}clavicle",
            "shoulder": "{s}humerus", "elbow": "{s}radius", "wrist": "{s}hand",
            "hand": "{s}fingers", "hip": "{s}femur", "knee": "{s}tibia", "ankle": "{s}foot",
            "foot": "{s}toes",
        },
    ),
    _layout(
        "MotionBuilder (CMU conversion)",
        _RIG | {"spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1",
                "hand": "{Side}HandIndex1"},
    ),
    _layout(
        "Mixamo and other game rigs",
        _RIG | {"spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2",
                "hand": "{Side}HandMiddle1"},
    ),
)  # fmt: skip
"""Known layouts; of those that fit a file the one with most joints is taken."""


def match_layout(joint_names: Sequence[str], source: str) -> tuple[Layout, dict[str, int]]:
    """Find the layout of a file and, for each of our joints that it has, the file's index.

    Prefixes up to a colon (`mixamorig:Hips`) and case do not matter.

    Args:
        joint_names: The file's joints.
        source: Name of the file, for the message.

    Raises:
        InputError: The skeleton is of no known kind.
    """
    place = {name.rpartition(":")[2].lower(): index for index, name in enumerate(joint_names)}
    best: tuple[Layout, dict[str, int]] | None = None
    for layout in LAYOUTS:
        found = {
            joint: place[name.lower()]
            for joint, name in layout.joints.items()
            if name.lower() in place
        }
        if all(joint in found for joint in REQUIRED) and (
            best is None or len(found) > len(best[1])
        ):
            best = layout, found
    if best is None:
        shown = ", ".join(f"`{name}`" for name in joint_names[:6])
        known = "; ".join(layout.name for layout in LAYOUTS)
        raise InputError(
            f"the skeleton of `{source}` is of no known kind (its joints begin {shown})",
            hint=f"rename its joints as one of these does: {known}",
        )
    return best
