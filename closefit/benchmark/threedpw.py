"""3DPW: people outdoors, a camera that moves; SMPL's joints, 30 frames per second.

- imageFiles/SEQUENCE/image_00000.jpg: numbered as the arrays below
- sequenceFiles/{train,validation,test}/SEQUENCE.pkl: jointPositions, cam_poses (world to camera),
  cam_intrinsics, campose_valid, poses2d; a list has an entry per person
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from closefit.benchmark.sequences import (
    SMPL14,
    SMPL14_OF_24,
    Entry,
    Found,
    Options,
    Recording,
    Truth,
    choose,
    gaps,
    pictures_of,
    require_folder,
)
from closefit.boundary.refusals import RefusedError, entry, refuse, within
from closefit.boundary.values import numbers
from closefit.imports.pickles import load_pickle

FPS = 30.0

PC = {
    "courtyard_basketball_00": (200, 280),
    "courtyard_captureSelfies_00": (500, 600),
    "courtyard_dancing_00": (60, 370),
    "courtyard_dancing_01": (60, 270),
    "courtyard_hug_00": (100, 500),
    "downtown_bus_00": (1620, 1900),
}
"""3DPW-PC of ROMP: first frame, and the frame after the last."""

CROWD = ("courtyard_hug_00", "courtyard_dancing_00")
"""3DPW-Crowd."""

TWO_PEOPLE = (
    *("downtown_arguing_00", "downtown_bar_00", "downtown_bus_00", "downtown_cafe_00"),
    *("downtown_car_00", "downtown_crossStreets_00", "downtown_downstairs_00"),
    *("downtown_rampAndStairs_00", "downtown_runForBus_00", "downtown_runForBus_01"),
    *("downtown_sitOnStairs_00", "downtown_upstairs_00", "downtown_walking_00"),
    *("downtown_warmWelcome_00", "office_phoneCall_00"),
)
"""Sequences of the test set with two people, of a list for ordinal depth."""

SPLITS = ("pairs", "two-people", "pc", "crowd")


def find(root: Path, options: Options) -> Found:
    """List the sequences of a split; `pairs` is every test sequence with exactly two people.

    Raises:
        InputError: The folder is not 3DPW's.
        ConfigError: There is no such split or camera.
    """
    split = choose(options.split, "pairs", SPLITS, "--split")
    choose(options.view, "only", ("only", "all"), "--view")
    require_folder(root, "sequenceFiles/*/*.pkl", "3DPW")
    there = {path.stem: path for path in sorted((root / "sequenceFiles").glob("*/*.pkl"))}
    if split == "pairs":
        wanted = [name for name, path in there.items() if path.parent.name == "test"]
    else:
        wanted = list({"pc": PC, "crowd": CROWD, "two-people": TWO_PEOPLE}[split])
    people = {name: _count(there[name]) for name in wanted if name in there}
    if split == "pairs":
        wanted = [name for name in wanted if people[name] in (2, None)]
    ranges = PC if split == "pc" else {}
    return Found(
        entries=[_entry(root, there[name], ranges.get(name)) for name in wanted if name in there],
        missing=[name for name in wanted if name not in there],
        protocol=(
            f"split {split}: {_words(split, len(wanted))}; the paper's own list is not public",
            "frames: those in which the data set gives both camera and person",
            "camera: it moves; closefit looks for its turns, but not for its way; true intrinsics",
            "truth: `jointPositions`, SMPL's joints, not those of a regressor",
        ),
    )


def _entry(root: Path, path: Path, part: tuple[int, int] | None) -> Entry:
    """The name says which part of the sequence it is: each has a clip of its own."""
    name = path.stem if part is None else f"{path.stem}_{part[0]}-{part[1]}"
    return Entry(name, lambda: _read(root, path, part))


def _words(split: str, count: int) -> str:
    return {
        "pairs": f"the {count} test sequences with exactly two people",
        "two-people": "two-person test sequences of a list for ordinal depth",
        "pc": "ROMP's 3DPW-PC, with its ranges of frames",
        "crowd": "3DPW-Crowd",
    }[split]


def _count(path: Path) -> int | None:
    """Number of people in a sequence; None where that cannot be read, which is said later."""
    try:
        return len(_list(load_pickle(path), "jointPositions"))
    except RefusedError:
        return None


def _read(root: Path, path: Path, part: tuple[int, int] | None) -> Recording:
    """Read a sequence, or a part of it.

    Raises:
        RefusedError: It cannot be used.
    """
    with within(path):
        content = load_pickle(path)
        if not isinstance(content, dict):
            refuse("it holds no dictionary")
        joints, valid, K = _arrays(content)
    folder = root / "imageFiles" / path.stem
    first, stop = part or (0, len(valid))
    there = {
        number: folder / f"image_{number:05}.jpg"
        for number in range(first, min(stop, len(valid)))
        if (folder / f"image_{number:05}.jpg").is_file()
    }
    if not there:
        refuse(f"there is no picture of it in `{folder}`")
    frames = sorted(there)
    return Recording(
        pictures=pictures_of([there[number] for number in frames]),
        fps=FPS,
        K=K,
        truth=Truth(
            joints=joints[frames][:, :, SMPL14_OF_24],
            names=SMPL14,
            valid=valid[frames],
            all_joints=joints[frames],
        ),
        scored=np.ones(len(frames), bool),
        problems=tuple(gaps("pictures", range(first, stop), frames)),
    )


def _arrays(
    content: dict[str, Any],
) -> tuple[
    Float[np.ndarray, "frame 2 24 3"], Bool[np.ndarray, "frame 2"], Float[np.ndarray, "3 3"]
]:
    """Joints in the camera's frame, who counts, and intrinsics."""
    lists = {key: _list(content, key) for key in ("jointPositions", "campose_valid", "poses2d")}
    if any(len(found) != 2 for found in lists.values()):
        refuse(f"it has {len(lists['jointPositions'])} people, not two")
    poses = numbers(entry(content, "cam_poses"), "cam_poses", None, 4, 4, limit=1e9)
    count = len(poses)
    world = np.stack(
        [numbers(found, "jointPositions", count, 72) for found in lists["jointPositions"]], axis=1
    ).reshape(count, 2, 24, 3)
    joints = np.einsum("fij,fpkj->fpki", poses[:, :3, :3], world) + poses[:, None, None, :3, 3]
    seen = [(numbers(f, "poses2d", count, 3, 18) != 0).any((1, 2)) for f in lists["poses2d"]]
    known = [
        numbers(np.asarray(found) * 1.0, "campose_valid", count) != 0
        for found in lists["campose_valid"]
    ]
    valid = np.stack(known, axis=1) & np.stack(seen, axis=1)
    return joints, valid, numbers(entry(content, "cam_intrinsics"), "cam_intrinsics", 3, 3)


def _list(content: Any, key: str) -> list[Any]:
    found = entry(content, key)
    if isinstance(found, np.ndarray) and found.ndim > 1:
        return list(found)
    if not isinstance(found, list | tuple):
        refuse(f"`{key}` is no list with an entry per person")
    return list(found)
