"""Reading Acclaim motion capture: a skeleton (`.asf`) and motion on it (`.amc`), as CMU publishes.

A bone begins where its parent ends and turns about its beginning; its angles are given about its
own `axis` frame. Lengths are in units of 1 / `length` inches (CMU: 0.45), y is up, and CMU's
motion has 120 frames per second, which the files do not state. The rest pose is that of all angles
at zero.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from closefit.boundary.refusals import entry, refusals_as, refuse, shown
from closefit.errors import InputError
from closefit.learning.motions.skeletons import END, SourceMotion
from closefit.learning.motions.words import (
    finite,
    positive,
    read_motion_text,
    require_size,
    require_turns,
    table,
)

Array = np.ndarray[Any, np.dtype[np.float64]]

FPS = 120.0
INCH_M = 0.0254

ROOT = "root"
ROOT_PLACE = ("tx", "ty", "tz")
CHANNELS = frozenset((*ROOT_PLACE, "rx", "ry", "rz", "l"))

HINT = "fetch the file again; it is cut short or damaged"


@dataclass(frozen=True, eq=False)
class _Bone:
    """One bone: its parent, where it ends relative to its beginning, its axes and its channels."""

    name: str
    parent: str
    step: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class _Skeleton:
    """Bones in an order in which parents come first."""

    bones: tuple[_Bone, ...]
    unit_m: float
    degrees: bool


def read_amc(path: Path) -> SourceMotion:
    """Read one person's motion on the skeleton beside it.

    The skeleton is `NAME.asf` for `NAME_*.amc`, else the only `.asf` of the folder.

    Raises:
        InputError: A file is missing or damaged.
    """
    skeleton_path = _skeleton_of(path)
    with refusals_as(InputError, skeleton_path, HINT):
        skeleton = _parse_skeleton(read_motion_text(skeleton_path))
    order = {bone.name: bone.channels for bone in skeleton.bones}
    with refusals_as(InputError, path, HINT):
        values = _parse_motion(read_motion_text(path), order)
        require_size(len(values[ROOT]), 2 * len(skeleton.bones))
    rotations, joints = _forward(skeleton, values)
    rest_values = {name: np.zeros((1, len(channels))) for name, channels in order.items()}
    _, rest = _forward(skeleton, rest_values)
    names = [bone.name for bone in skeleton.bones]
    return SourceMotion(
        joint_names=(*names, *(name + END for name in names)),
        rest_joints=rest[0],
        rotations_world=rotations,
        joints=joints,
        unit_m=skeleton.unit_m,
        fps=FPS,
        name=path.stem,
        origin=str(path),
    )


def _skeleton_of(path: Path) -> Path:
    by_name = path.with_name(path.stem.partition("_")[0] + ".asf")
    if by_name.is_file():
        return by_name
    candidates = sorted(path.parent.glob("*.asf"))
    if len(candidates) == 1:
        return candidates[0]
    raise InputError(
        f"there is no skeleton for `{path}`: `{by_name.name}` is not beside it",
        hint="put the .asf file of this person into the same folder",
    )


def _parse_skeleton(text: str) -> _Skeleton:
    sections = _sections(text)
    units = {words[0]: words[1:] for words in entry(sections, "units")}
    root = {words[0]: words[1:] for words in entry(sections, "root")}
    bones = [_bone(block) for block in _blocks(entry(sections, "bonedata"))]
    by_name = {bone.name: bone for bone in bones}
    ordered = [
        _Bone(
            name=ROOT,
            parent="",
            step=np.zeros(3),
            axes=np.eye(3),
            channels=_channels(entry(root, "order"), ROOT),
        )
    ]
    if set(ROOT_PLACE) - set(ordered[0].channels):
        refuse("its root has no place: `order` lacks TX, TY or TZ")
    placed, blocks = {ROOT}, _blocks(entry(sections, "hierarchy"))
    for parent, *children in (line for block in blocks for line in block):
        for child in children:
            if parent not in placed or child in placed:
                refuse(f"bone `{shown(child)}` has two parents, or one that comes after it")
            placed.add(child)
            ordered.append(dataclasses.replace(entry(by_name, child), parent=parent))
    (length,) = finite(entry(units, "length"), "length", 1)
    return _Skeleton(
        bones=tuple(ordered),
        unit_m=INCH_M / positive(length, "length"),
        degrees=units.get("angle", ["deg"]) == ["deg"],
    )


def _sections(text: str) -> dict[str, list[list[str]]]:
    """Words of each line, by the `:section` that the line is in."""
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words and words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        elif words:
            lines.append(words)
    return sections


def _blocks(lines: list[list[str]]) -> list[list[list[str]]]:
    """Lines between each `begin` and its `end`."""
    blocks: list[list[list[str]]] = []
    for words in lines:
        if words == ["begin"]:
            blocks.append([])
        elif words != ["end"]:
            if not blocks:
                refuse(f"`{shown(' '.join(words))}` is before any `begin`")
            blocks[-1].append(words)
    return blocks


def _bone(lines: list[list[str]]) -> _Bone:
    values = {words[0]: words[1:] for words in lines}
    name = " ".join(entry(values, "name"))
    direction = np.array(finite(entry(values, "direction"), name, 3))
    *angles, order = entry(values, "axis") or [""]
    if not order:
        refuse(f"`{shown(name)}` has no order of its axes")
    require_turns(order, name)
    (length,) = finite(entry(values, "length"), name, 1)
    size = positive(float(np.linalg.norm(direction)), f"direction of {name}")
    return _Bone(
        name=name,
        parent="",
        step=length * direction / size,
        axes=_rotation(order, np.array([finite(angles, name, len(order))]))[0],
        channels=_channels(values.get("dof", []), name),
    )


def _channels(words: list[str], name: str) -> tuple[str, ...]:
    """Check the names of a bone's channels.

    Raises:
        RefusedError: They are no channels, or cannot be those of one bone.
    """
    channels = tuple(word.lower() for word in words)
    if not set(channels) <= CHANNELS or len(set(channels)) < len(channels):
        refuse(f"`{shown(name)}` has the channels `{shown(' '.join(words))}`")
    return channels


def _rotation(order: str, degrees: Float[np.ndarray, "frame angle"]) -> Array:
    """Rotations about fixed axes, one after the other in the `order` named (X first: Rz Ry Rx)."""
    rotation: Array = Rotation.from_euler(order.lower(), degrees, degrees=True).as_matrix()
    return rotation


def _parse_motion(text: str, order: Mapping[str, tuple[str, ...]]) -> dict[str, Array]:
    """Return (frame, channel) values of each bone; bones without motion have zeros."""
    rows: dict[str, list[str]] = {name: [] for name in order}
    frames = 0
    for line in text.splitlines():
        name, *words = line.split() or [""]
        if name.isdigit():
            frames += 1
            if name != str(frames):
                refuse(f"frame `{shown(name)}` follows frame {frames - 1}")
        elif name and name[0] not in "#:":
            if len(words) != len(entry(order, name)):
                refuse(f"bone `{shown(name)}` has {len(words)} values in frame {frames}")
            rows[name] += words
    require_size(frames, 2 * len(order))
    values = {}
    for name, found in rows.items():
        width = len(order[name])
        if found and len(found) != frames * width:
            refuse(f"bone `{shown(name)}` is in {len(found) // width} of {frames} frames")
        values[name] = table(found, frames, width) if found else np.zeros((frames, width))
    return values


def _forward(skeleton: _Skeleton, values: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return rotations and positions: where each bone begins, then where each ends."""
    rotations: dict[str, Array] = {"": np.eye(3)}
    ends: dict[str, Array] = {}
    starts: dict[str, Array] = {}
    for bone in skeleton.bones:
        channels = values[bone.name]
        local = bone.axes @ _turn(bone.channels, channels, skeleton.degrees) @ bone.axes.T
        rotations[bone.name] = rotations[bone.parent] @ local
        starts[bone.name] = ends[bone.parent] if bone.parent else _place(bone.channels, channels)
        ends[bone.name] = starts[bone.name] + rotations[bone.name] @ bone.step
    names = [bone.name for bone in skeleton.bones]
    turned = np.stack([rotations[name] for name in names], axis=1)
    placed = [positions[name] for positions in (starts, ends) for name in names]
    return np.concatenate([turned, turned], axis=1), np.stack(placed, axis=1)


def _turn(channels: tuple[str, ...], values: Array, degrees: bool) -> Array:
    """Rotation of the channels rx, ry, rz, in the order in which they are named."""
    turns = [index for index, name in enumerate(channels) if name.startswith("r")]
    if not turns:
        return np.broadcast_to(np.eye(3), (len(values), 3, 3))
    angles = values[:, turns] if degrees else np.degrees(values[:, turns])
    return _rotation("".join(channels[index][1] for index in turns), angles)


def _place(channels: tuple[str, ...], values: Array) -> Array:
    """Position of the channels tx, ty, tz."""
    return values[:, [channels.index(f"t{axis}") for axis in "xyz"]]
