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

from closefit.boundary.refusals import shown
from closefit.errors import InputError
from closefit.learning.motions.skeletons import END, SourceMotion

FPS_ROUNDING = 0.01


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
    try:
        head, _, motion = path.read_text(encoding="ascii", errors="replace").partition("MOTION")
        hierarchy = _parse_hierarchy(head.split())
        rows, fps = _parse_motion(motion, sum(map(len, hierarchy.channels)))
    except (ValueError, IndexError) as error:
        raise InputError(
            f"cannot read `{path}` as BVH: {shown(str(error), 200)}",
            hint="export the motion again; the file is cut short or damaged",
        ) from error
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
        raise ValueError("it does not begin with HIERARCHY")
    above: list[int] = []
    latest = -1
    place = 1
    while place < len(words):
        word = words[place]
        parent = above[-1] if above else -1
        if word in ("ROOT", "JOINT"):
            latest = hierarchy.add(words[place + 1], parent)
            place += 2
        elif word == "End":
            latest = hierarchy.add(hierarchy.names[parent] + END, parent)
            place += 2
        elif word == "{":
            above.append(latest)
            place += 1
        elif word == "}":
            above.pop()
            place += 1
        elif word == "OFFSET":
            hierarchy.offsets[latest] = [float(value) for value in words[place + 1 : place + 4]]
            place += 4
        elif word == "CHANNELS":
            count = int(words[place + 1])
            hierarchy.channels[latest] = words[place + 2 : place + 2 + count]
            place += 2 + count
        else:
            raise ValueError(f"unknown word `{word}` in the hierarchy")
    if above or not hierarchy.names:
        raise ValueError("the hierarchy is not complete")
    return hierarchy


def _parse_motion(text: str, width: int) -> tuple[Float[np.ndarray, "frame channel"], float]:
    """Return the channel values and the frame rate."""
    lines = text.strip().splitlines()
    count = int(lines[0].partition(":")[2])
    frame_time_s = float(lines[1].partition(":")[2])
    if not frame_time_s > 0.0:
        raise ValueError(f"the frame time is `{frame_time_s}`")
    values = np.array(" ".join(lines[2:]).split(), dtype=np.float64)
    if values.size != count * width:
        raise ValueError(f"it holds {values.size} values, not {count} frames of {width}")
    fps = 1.0 / frame_time_s
    # Frame times are rounded: 0.008333 means 120 Hz.
    whole = abs(fps - round(fps)) < FPS_ROUNDING
    return values.reshape(count, width), float(round(fps)) if whole else fps


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
    turns = [index for index, name in enumerate(channels) if name.endswith("rotation")]
    moves = {name[0].lower(): index for index, name in enumerate(channels) if "position" in name}
    rotation = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    if turns:
        axes = "".join(channels[index][0].upper() for index in turns)
        rotation = Rotation.from_euler(axes, values[:, turns], degrees=True).as_matrix()
    if not moves:
        return rotation, None
    return rotation, np.stack([values[:, moves[axis]] for axis in "xyz"], axis=1)
