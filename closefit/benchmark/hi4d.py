"""Hi4D: 20 pairs, 100 sequences, 8 cameras that stand still; SMPL bodies, 30 frames per second.

In each folder pairNN/ACTIONNN:

- meta.npz: start, end (both included), mono_cam
- cameras/rgb_cameras.npz: ids, intrinsics, extrinsics [R | t] from world to camera
- images/CAMERA/000007.jpg: undistorted
- smpl/000007.npz: joints_3d (2, 24, 3), verts (2, 6890, 3)
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

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
    in_camera,
    pictures_of,
    plain,
    require_folder,
)
from closefit.boundary.arrays import Npz
from closefit.boundary.refusals import RefusedError, named, refuse, within
from closefit.boundary.values import numbers, whole_number

FPS = 30.0
TEST_PAIRS = ("pair23", "pair27", "pair28", "pair32", "pair37")
"""Of CloseInt and of the paper."""

SPLITS = ("closeint", "all")
WINDOW = 16
VERTICES = 6890


def find(root: Path, options: Options) -> Found:
    """List the sequences of a split.

    Raises:
        InputError: The folder is not Hi4D's.
        ConfigError: There is no such split or camera.
    """
    split = choose(options.split, "closeint", SPLITS, "--split")
    require_folder(root, "pair*/*/meta.npz", "Hi4D")
    view = options.view or "mono"
    pairs = sorted(path.name for path in root.glob("pair*") if path.is_dir())
    wanted = TEST_PAIRS if split == "closeint" else tuple(pairs)
    actions = [
        action
        for pair in wanted
        for action in sorted((root / pair).glob("*"))
        if (action / "meta.npz").is_file()
    ]
    entries = [entry for action in actions for entry in _entries(action, view, split)]
    windows = (
        f"windows of {WINDOW} frames from the first one on; what is left over does not count"
        if split == "closeint"
        else "all frames"
    )
    return Found(
        entries=entries,
        missing=[pair for pair in wanted if not any(a.parent.name == pair for a in actions)],
        protocol=(
            f"split {split}: {', '.join(wanted) if split == 'closeint' else 'every pair'}",
            f"frames: {windows}",
            f"camera: {'mono_cam of each sequence' if view == 'mono' else view}; true intrinsics",
            "truth: `joints_3d` and `verts` of the data set, as they are",
        ),
    )


def _entries(action: Path, view: str, split: str) -> list[Entry]:
    name = f"{action.parent.name}_{action.name}"
    if view == "mono":
        return [Entry(name, lambda: _read(action, view, split))]
    if view != "all":
        return [Entry(f"{name}_{plain(view)}", lambda: _read(action, view, split))]
    cameras = sorted(path.name for path in (action / "images").glob("*") if path.is_dir())
    return [Entry(f"{name}_{c}", lambda c=c: _read(action, c, split)) for c in cameras]  # type: ignore[misc]


def _read(action: Path, view: str, split: str) -> Recording:
    """Read one sequence of one camera.

    Raises:
        RefusedError: It cannot be used.
    """
    with within(action / "meta.npz"):
        meta = Npz(action / "meta.npz")
        start, end = (whole_number(meta[key], key) for key in ("start", "end"))
        camera = str(whole_number(meta["mono_cam"], "mono_cam")) if view == "mono" else view
    with within(action / "cameras" / "rgb_cameras.npz"):
        K, R, t = _camera(Npz(action / "cameras" / "rgb_cameras.npz"), camera)
    folder = action / "images" / camera
    paths = {int(p.stem): p for p in folder.glob("*.jpg") if p.stem.isdigit()}
    numbers_ = [number for number in range(start, end + 1) if number in paths]
    if not numbers_:
        refuse(f"there is no picture of frames {start} to {end} in `{folder}`")
    problems = gaps("pictures", range(start, end + 1), numbers_)
    truth, lacking = _truth(action, numbers_, R, t)
    problems += lacking
    scored = np.ones(len(numbers_), bool)
    if split == "closeint":
        scored[WINDOW * len(range(0, len(numbers_) - WINDOW, WINDOW)) :] = False
    return Recording(
        pictures=pictures_of([paths[number] for number in numbers_]),
        fps=FPS,
        K=K,
        truth=truth,
        scored=scored,
        problems=tuple(problems),
    )


def _camera(
    arrays: Npz, camera: str
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    ids = [str(int(number)) for number in np.atleast_1d(arrays["ids"])]
    if camera not in ids:
        refuse(f"it has no camera `{camera}`, only {named(ids, 10)}")
    index = ids.index(camera)
    K = numbers(arrays["intrinsics"], "intrinsics", len(ids), 3, 3)[index]
    extrinsics = numbers(arrays["extrinsics"], "extrinsics", len(ids), 3, 4)[index]
    return K, extrinsics[:, :3], extrinsics[:, 3]


def _truth(
    action: Path,
    frames: Sequence[int],
    R: Float[np.ndarray, "3 3"],
    t: Float[np.ndarray, "3"],
) -> tuple[Truth, list[str]]:
    """Truth of the frames; those without a file, or with a damaged one, do not count."""
    joints = np.zeros((len(frames), 2, 24, 3))
    vertices: np.ndarray | None = np.zeros((len(frames), 2, VERTICES, 3), np.float32)
    valid = np.zeros((len(frames), 2), bool)
    there, problems = [], []
    for index, number in enumerate(frames):
        path = action / "smpl" / f"{number:06}.npz"
        if not path.is_file():
            continue
        there.append(number)
        try:
            found, skin = _people(Npz(path))
        except RefusedError as refused:
            problems.append(f"`smpl/{path.name}` cannot be used: {refused.problem}")
            continue
        valid[index] = True
        joints[index] = in_camera(found, R, t)
        if vertices is not None and skin is not None:
            vertices[index] = in_camera(skin, R, t)
        else:
            vertices = None
    truth = Truth(
        joints=joints[:, :, SMPL14_OF_24],
        names=SMPL14,
        valid=valid,
        vertices=vertices,
        all_joints=joints,
    )
    return truth, problems + gaps("truth", frames, there)


def _people(
    arrays: Npz,
) -> tuple[Float[np.ndarray, "2 24 3"], Float[np.ndarray, "2 vertex 3"] | None]:
    joints = numbers(arrays["joints_3d"], "joints_3d", 2, 24, 3)
    if "verts" not in arrays:
        return joints, None
    return joints, numbers(arrays["verts"], "verts", 2, VERTICES, 3)
