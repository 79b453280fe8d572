"""Reading BVH: a hierarchy of joints with offsets, then one row of channel values per frame.

Lengths are in whatever unit the file was written with (`unit_m` is None), angles in degrees;
rotations apply in the order in which a joint's channels name them. The rest pose is that of all
angles at zero.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from closefit.boundary.refusals import refusals_as, refuse, shown
from closefit.errors import InputError
from closefit.learning.motions.arrays import MAX_FPS, MIN_FPS
from closefit.learning.motions.skeletons import END, SourceMotion
from closefit.learning.motions.words import (
    MAX_FRAMES,
    finite,
    read_motion_text,
    require_size,
    require_turns,
    table,
    whole,
)

FPS_ROUNDING = 0.01
MOST_CHANNELS = 6
CHANNELS = frozenset(f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation"))


@dataclass
class _Hierarchy:
    """Joints in the order of the file."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)

    def add(self, name: str, parent: int) -> int:
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append([0.0, 0.0, 0.0])
        self.channels.append([])
        return len(self.names) - 1


def read_bvh(path: Path) -> SourceMotion:
    """Read one person's motion.

    Raises:
        InputError: The file is damaged, or is not BVH.
    """
    with refusals_as(InputError, path, "export the motion again as BVH"):
        head, _, motion = read_motion_text(path).partition("MOTION")
        hierarchy = _parse_hierarchy(head.split())
        rows, fps = _parse_motion(motion, sum(map(len, hierarchy.channels)))
        require_size(len(rows), len(hierarchy.names))
    rotations, joints = _forward(hierarchy, rows)
    rest = np.zeros((len(hierarchy.names), 3))
    for joint, parent in enumerate(hierarchy.parents):
        if parent >= 0:
            rest[joint] = rest[parent] + hierarchy.offsets[joint]
    return SourceMotion(
        joint_names=tuple(hierarchy.names),
        rest_joints=rest,
        rotations_world=rotations,
        joints=joints,
        unit_m=None,
        fps=fps,
        name=path.stem,
        origin=str(path),
    )


def _parse_hierarchy(words: list[str]) -> _Hierarchy:
    hierarchy = _Hierarchy()
    if words[:1] != ["HIERARCHY"]:
        refuse("it does not begin with HIERARCHY")
    above: list[int] = []
    latest = -1
    place = 1
    while place < len(words):
        word, following = words[place], words[place + 1 : place + 2 + MOST_CHANNELS]
        parent = above[-1] if above else -1
        if word in ("ROOT", "JOINT") and following:
            latest = hierarchy.add(following[0], parent)
            place += 2
        elif word == "End" and parent >= 0:
            latest = hierarchy.add(hierarchy.names[parent] + END, parent)
            place += 2
        elif word == "{" and latest >= 0:
            above.append(latest)
            place += 1
        elif word == "}" and above:
            above.pop()
            place += 1
        elif word == "OFFSET" and latest >= 0:
            hierarchy.offsets[latest] = finite(following[:3], hierarchy.names[latest], 3)
            place += 4
        elif word == "CHANNELS" and latest >= 0 and following:
            count = whole(following[0], word, 0, MOST_CHANNELS)
            hierarchy.channels[latest] = _channels(following[1 : 1 + count], count)
            place += 2 + count
        else:
            refuse(f"`{shown(word)}` is in the wrong place of the hierarchy")
    if above or not hierarchy.names:
        refuse("the hierarchy is not complete")
    return hierarchy


def _channels(names: list[str], count: int) -> list[str]:
    """Check the names of a joint's channels.

    Raises:
        RefusedError: They are not so many, or cannot be those of one joint.
    """
    kinds = [name.lower() for name in names]
    if len(names) != count or not set(kinds) <= CHANNELS:
        refuse(f"`{shown(' '.join(names))}` are no {count} channels")
    moved = [kind[0] for kind in kinds if kind.endswith("position")]
    if sorted(moved) not in ([], ["x", "y", "z"]):
        refuse(f"`{shown(' '.join(names))}` has some axes of a position only")
    require_turns("".join(kind[0] for kind in kinds if kind.endswith("rotation")), "CHANNELS")
    return names


def _parse_motion(text: str, width: int) -> tuple[Float[np.ndarray, "frame channel"], float]:
    """Return the channel values and the frame rate."""
    lines = [*text.strip().splitlines(), "", ""]
    count = whole(lines[0].partition(":")[2], "Frames", 1, MAX_FRAMES)
    (frame_time_s,) = finite([lines[1].partition(":")[2].strip()], "Frame Time")
    if not 1.0 / MAX_FPS <= frame_time_s <= 1.0 / MIN_FPS:
        refuse(f"the frame time is `{frame_time_s:g}` seconds")
    if not width:
        refuse("no joint has channels")
    fps = 1.0 / frame_time_s
    # Frame times are rounded: 0.008333 means 120 Hz.
    is_whole = abs(fps - round(fps)) < FPS_ROUNDING
    rate = float(round(fps)) if is_whole else fps
    return table(" ".join(lines[2:]).split(), count, width), rate


def _forward(
    hierarchy: _Hierarchy, rows: Float[np.ndarray, "frame channel"]
) -> tuple[Float[np.ndarray, "frame joint 3 3"], Float[np.ndarray, "frame joint 3"]]:
    """Return world rotations and positions of all joints."""
    count = len(hierarchy.names)
    rotations = np.empty((len(rows), count, 3, 3))
    positions = np.empty((len(rows), count, 3))
    first = 0
    for joint, (parent, channels) in enumerate(
        zip(hierarchy.parents, hierarchy.channels, strict=True)
    ):
        values = rows[:, first : first + len(channels)]
        first += len(channels)
        local, moved = _joint_motion(channels, values)
        # A joint with position channels is placed by them: they replace its offset.
        step = np.broadcast_to(hierarchy.offsets[joint], (len(rows), 3)) if moved is None else moved
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local, step
        else:
            above = rotations[:, parent]
            rotations[:, joint] = above @ local
            positions[:, joint] = positions[:, parent] + (above @ step[..., None])[..., 0]
    return rotations, positions


def _joint_motion(
    channels: list[str], values: Float[np.ndarray, "frame channel"]
) -> tuple[Float[np.ndarray, "frame 3 3"], Float[np.ndarray, "frame 3"] | None]:
    """Return a joint's local rotation, and its position where the file gives it."""
    turns = [index for index, name in enumerate(channels) if name.lower().endswith("rotation")]
    moves = {
        name[0].lower(): index for index, name in enumerate(channels) if "position" in name.lower()
    }
    rotation = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    if turns:
        axes = "".join(channels[index][0].upper() for index in turns)
        rotation = Rotation.from_euler(axes, values[:, turns], degrees=True).as_matrix()
    if not moves:
        return rotation, None
    return rotation, np.stack([values[:, moves[axis]] for axis in "xyz"], axis=1)
