"""What the readers of all data sets give: sequences of pictures with true joints."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image as Pictures

from closefit.body.skeleton import JOINT_INDEX
from closefit.boundary.files import UNREADABLE
from closefit.boundary.refusals import named, refuse
from closefit.errors import ConfigError, FileMissingError, InputError
from closefit.video import Image

JointSet = Literal["smpl", "lsp"]

SMPL14 = (
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "neck"),
    *("head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist"),
    "right_wrist",
)
"""The joints that closefit's measures use (`skeleton.EVALUATION_JOINTS`), by name."""

SMPL14_OF_24 = tuple(JOINT_INDEX[name] for name in SMPL14)

MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is true of a sequence, in the camera's frame (OpenCV axes), metres.

    Attributes:
        joints: Joints of both people.
        names: What they are: names of joints of the skeleton.
        valid: The data set gives this person in this frame.
        vertices: Vertices of both bodies, where the data set has them.
        all_joints: SMPL's 24 joints, where the data set has them: `--joints lsp` needs them.
    """

    joints: Float[np.ndarray, "frame 2 joint 3"]
    names: tuple[str, ...]
    valid: Bool[np.ndarray, "frame 2"]
    vertices: Float[np.ndarray, "frame 2 vertex 3"] | None = None
    all_joints: Float[np.ndarray, "frame 2 24 3"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """A sequence of one camera, ready to be run.

    Attributes:
        pictures: Its frames, upright RGB, from the first on.
        fps: Frames per second.
        K: Intrinsics of the pictures, pixel centres at +0.5.
        truth: A truth per frame.
        scored: Frames that the protocol counts.
        problems: What of it is missing; the rest is scored.
    """

    pictures: Callable[[], Iterator[Image]]
    fps: float
    K: Float[np.ndarray, "*frame 3 3"]
    truth: Truth
    scored: Bool[np.ndarray, " frame"]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A sequence that a data set should have.

    Attributes:
        name: Its name, fit for files; another one for another camera, or part of the sequence.
        read: Reads it; raises `RefusedError` or `InputError` where it cannot be used.
    """

    name: str
    read: Callable[[], Recording]


@dataclass(frozen=True)
class Found:
    """The sequences of a data set that the protocol asks for.

    Attributes:
        entries: Those that are there.
        missing: Names of those that are not.
        protocol: In words: which frames, cameras, joints.
    """

    entries: Sequence[Entry]
    missing: Sequence[str] = ()
    protocol: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which part of a data set is wanted.

    Attributes:
        split: Name of a split; None for the usual one.
        view: Name of a camera; None for the usual one.
    """

    split: str | None = None
    view: str | None = None


def require_folder(root: Path, inside: str, layout: str) -> None:
    """Refuse a path that is not of this data set.

    Raises:
        InputError: It is not.
    """
    if not root.is_dir():
        raise FileMissingError(f"there is no folder `{root}`", hint="check the path")
    if next(root.glob(inside), None) is None:
        raise InputError(
            f"`{root}` does not look like {layout}: it has no `{inside}`",
            hint="name the folder that docs/benchmarks.md describes for this data set",
        )


def choose(value: str | None, usual: str, choices: Sequence[str], option: str) -> str:
    """Return a value of an option.

    Raises:
        ConfigError: There is no such choice.
    """
    chosen = usual if value is None else value
    if chosen not in choices:
        raise ConfigError(
            f"`{option} {chosen}` is not one of {named(choices)}",
            hint=f"for example {option} {usual}",
        )
    return chosen


def plain(name: str) -> str:
    """Return a name that is fit for files."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)


def read_picture(path: Path) -> Image:
    """Return a picture, RGB.

    Raises:
        RefusedError: It cannot be read.
    """
    try:
        with Pictures.open(path) as file:
            return np.asarray(file.convert("RGB"))
    except UNREADABLE as error:
        refuse(f"the picture `{path}` cannot be read ({type(error).__name__})")


def pictures_of(paths: Sequence[Path]) -> Callable[[], Iterator[Image]]:
    """Return what yields the pictures of these files."""
    return lambda: map(read_picture, paths)


def in_camera(
    points: Float[np.ndarray, "*batch 3"],
    R: Float[np.ndarray, "3 3"],
    t: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "*batch 3"]:
    """Move points from the world into the camera: `R x + t`."""
    moved: np.ndarray = points @ R.T + t
    return moved


def gaps(what: str, wanted: Sequence[int], there: Sequence[int]) -> list[str]:
    """Name the frames that are wanted and not there."""
    lacking = sorted(set(wanted) - set(there))
    if not lacking:
        return []
    more = f" and {len(lacking) - MOST_SHOWN} more" if len(lacking) > MOST_SHOWN else ""
    return [f"{what} of frames {', '.join(map(str, lacking[:MOST_SHOWN]))}{more} are not there"]
