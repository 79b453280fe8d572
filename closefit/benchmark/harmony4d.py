"""Harmony4D: close contact, many fisheye cameras that stand still; SMPL bodies.

In each folder {train,test}/NN_activity/NNN_activity:

- exo/cam01/images/00001.jpg, ...
- colmap/workplace/cameras.txt, images.txt: COLMAP's text files
- colmap/workplace/colmap_from_aria_transforms.pkl, or scale.npy: from the world to COLMAP
- processed_data/smpl/00001.npy: a dictionary of two people; joints (45, 3), vertices (6890, 3)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import roma
import torch
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
    plain,
    read_picture,
    require_folder,
)
from closefit.boundary.arrays import read_npy
from closefit.boundary.files import read_text
from closefit.boundary.refusals import RefusedError, entry, named, refuse, within
from closefit.boundary.values import numbers
from closefit.imports.pickles import load_npy, load_pickle
from closefit.video import Image

FPS = 20.0
SPLITS = ("test", "train")
FISHEYE = "OPENCV_FISHEYE"
PEOPLE, VERTICES = 2, 6890


@dataclass(frozen=True, eq=False)
class Rig:
    """One camera.

    Attributes:
        K: Intrinsics, pixel centres at +0.5; those of the picture without distortion, too.
        distortion: Four coefficients of OpenCV's fisheye model.
        T_camera_world: From the world to the camera, metres.
    """

    K: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, "4"]
    T_camera_world: Float[np.ndarray, "4 4"]


def find(root: Path, options: Options) -> Found:
    """List the sequences of a split.

    Raises:
        InputError: The folder is not Harmony4D's.
        ConfigError: There is no such split or camera.
    """
    split = choose(options.split, "test", SPLITS, "--split")
    require_folder(root, f"{split}/*/*/exo", f"Harmony4D's {split} set")
    view = options.view or "first"
    folders = sorted(path.parent for path in root.glob(f"{split}/*/*/exo"))
    entries: list[Entry] = []
    for folder in folders:
        cameras = sorted(path.name for path in (folder / "exo").glob("cam*"))
        wanted = cameras if view == "all" else [view if view != "first" else "".join(cameras[:1])]
        entries += [_entry(folder, camera, view != "first") for camera in wanted]
    return Found(
        entries=entries,
        protocol=(
            f"split {split}",
            f"camera: {'the first one of each sequence' if view == 'first' else view}; pictures "
            "without fisheye distortion, true intrinsics",
            f"frames: all; {FPS:g} per second, measured by users, stated in no file",
            "truth: `joints` (the first 24) and `vertices` of the data set, as they are",
        ),
    )


def _entry(folder: Path, camera: str, is_chosen: bool) -> Entry:
    name = plain(folder.name) + (f"_{plain(camera)}" if is_chosen else "")
    return Entry(name, lambda: _read(folder, camera))


def _read(folder: Path, camera: str) -> Recording:
    """Read one sequence of one camera.

    Raises:
        RefusedError: It cannot be used.
    """
    rig = _rig(folder / "colmap" / "workplace", camera)
    pictures = folder / "exo" / camera / "images"
    paths = {int(path.stem): path for path in pictures.glob("*.jpg") if path.stem.isdigit()}
    truths = folder / "processed_data" / "smpl"
    known = {int(path.stem): path for path in truths.glob("*.npy") if path.stem.isdigit()}
    if not paths or not known:
        refuse(f"there is no picture in `{pictures}`, or no truth in `{truths}`")
    frames = sorted(paths)
    joints = np.zeros((len(frames), PEOPLE, 24, 3))
    vertices = np.zeros((len(frames), PEOPLE, VERTICES, 3), np.float32)
    valid = np.zeros((len(frames), PEOPLE), bool)
    problems = gaps("pictures", sorted(known), frames)
    for index, number in enumerate(frames):
        if number not in known:
            continue
        try:
            joints[index], vertices[index] = _people(known[number], rig)
        except RefusedError as refused:
            problems.append(f"`smpl/{known[number].name}` cannot be used: {refused.problem}")
        else:
            valid[index] = True
    return Recording(
        pictures=lambda: _without_distortion([paths[number] for number in frames], rig),
        fps=FPS,
        K=rig.K,
        truth=Truth(
            joints=joints[:, :, SMPL14_OF_24],
            names=SMPL14,
            valid=valid,
            vertices=vertices,
            all_joints=joints,
        ),
        scored=np.ones(len(frames), bool),
        problems=(*problems, *gaps("truth", frames, sorted(known))),
    )


def _people(
    path: Path, rig: Rig
) -> tuple[Float[np.ndarray, "2 24 3"], Float[np.ndarray, "2 vertex 3"]]:
    """Joints and vertices of both people in the camera's frame; people in order of their names."""
    content = load_npy(path)
    if not isinstance(content, dict) or len(content) != PEOPLE:
        refuse("it has not two people")
    move = rig.T_camera_world
    found = []
    for key, count in (("joints", None), ("vertices", VERTICES)):
        world = [numbers(entry(content[who], key), key, count, 3) for who in sorted(content)]
        if any(len(points) < 24 for points in world):
            refuse(f"`{key}` has fewer than 24 points")
        found.append(np.stack([points @ move[:3, :3].T + move[:3, 3] for points in world]))
    return found[0][:, :24], found[1]


def _rig(folder: Path, camera: str) -> Rig:
    """Read a camera.

    Raises:
        RefusedError: It is not there, or a file cannot be used.
    """
    with within(folder / "images.txt"):
        words = _image_line(read_text(folder / "images.txt"), camera)
        turn = _numbers(words[1:8])
    with within(folder / "cameras.txt"):
        K, distortion = _intrinsics(read_text(folder / "cameras.txt"), words[8])
    quaternion = torch.from_numpy(turn[[1, 2, 3, 0]])
    outside = np.eye(4)
    outside[:3, :3] = roma.unitquat_to_rotmat(roma.quat_normalize(quaternion)).numpy()
    outside[:3, 3] = turn[4:]
    to_colmap = _to_colmap(folder)
    scale = float(np.cbrt(np.linalg.det(to_colmap[:3, :3])))
    if not scale > 0:
        refuse("the transform from the world to COLMAP is none")
    whole = outside @ to_colmap
    whole[:3] /= scale
    return Rig(K, distortion, whole)


def _image_line(text: str, camera: str) -> list[str]:
    """The words of the first picture of a camera in `images.txt`, which has two lines for each."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    records = [words for words in map(str.split, lines[::2]) if len(words) == 10]
    own = [words for words in records if words[9].startswith(f"{camera}/")]
    if not own:
        known = sorted({words[9].split("/")[0] for words in records})
        refuse(f"it has no camera `{camera}`, only {named(known)}")
    return own[0]


def _intrinsics(text: str, number: str) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "4"]]:
    own = [words for words in map(str.split, text.splitlines()) if words[:1] == [number]]
    if not own:
        refuse(f"it has no camera {number}")
    if own[0][1:2] != [FISHEYE] or len(own[0]) != 12:
        refuse(f"camera {number} is not of the kind {FISHEYE} with 8 parameters")
    fx, fy, cx, cy, *k = _numbers(own[0][4:])
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), np.array(k)


def _numbers(words: list[str]) -> Float[np.ndarray, " value"]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        refuse(f"{named(words)} are no numbers")
    return numbers(values, "values", len(words))


def _to_colmap(folder: Path) -> Float[np.ndarray, "4 4"]:
    """From the world (that of aria01, metres) to COLMAP's."""
    path = folder / "colmap_from_aria_transforms.pkl"
    if path.is_file():
        with within(path):
            content: Any = load_pickle(path)
            return numbers(entry(content, "aria01"), "aria01", 4, 4)
    with within(folder / "scale.npy"):
        to_metres = numbers(read_npy(folder / "scale.npy"), "scale", 4, 4)
        if abs(np.linalg.det(to_metres)) < 1e-12:
            refuse("it is no transform")
        inverse: np.ndarray = np.linalg.inv(to_metres)
        return inverse


def _without_distortion(paths: list[Path], rig: Rig) -> Iterator[Image]:
    """Pictures as a pinhole camera with the same intrinsics sees them."""
    maps = None
    for path in paths:
        picture = read_picture(path)
        if maps is None:
            K = rig.K.copy()
            K[:2, 2] -= 0.5  # OpenCV's pixel centres are whole numbers
            size = picture.shape[1], picture.shape[0]
            maps = cv2.fisheye.initUndistortRectifyMap(
                K, rig.distortion, np.eye(3), K, size, cv2.CV_32FC1
            )
        yield cv2.remap(picture, *maps, cv2.INTER_LINEAR)
