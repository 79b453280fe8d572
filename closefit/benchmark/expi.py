"""ExPI: acrobatics of two people, markers without a body model, 25 frames per second.

In each folder {acro1,acro2}/ACTION:

- mocap_cleaned.tsv: separated by commas, a header, then 36 points in mm: 18 of each person
- calib-new.xml: a list of Camera (number - 1) with K, R, T (metres) and radial Distortion
- CAMERA/img-000000.jpg, numbered as the rows; a folder with the camera's number in its name
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from jaxtyping import Float

from closefit.benchmark.sequences import (
    Entry,
    Found,
    Options,
    Recording,
    Truth,
    choose,
    gaps,
    in_camera,
    plain,
    read_picture,
    require_folder,
)
from closefit.boundary.files import read_text
from closefit.boundary.refusals import refuse, within
from closefit.boundary.values import numbers
from closefit.geometry.units import MM_PER_M
from closefit.video import Image

FPS = 25.0
ACTORS = ("acro1", "acro2")
USUAL_CAMERA = {"acro1": 20, "acro2": 19}
POINTS = 18
UNIT_PX = 1000.0
"""Radial distortion is a polynomial in thousands of pixels."""

JOINTS = {
    "left_shoulder": 4, "right_shoulder": 5, "left_elbow": 6, "right_elbow": 7,
    "left_wrist": 8, "right_wrist": 9, "left_hip": 10, "right_hip": 11,
    "left_knee": 12, "right_knee": 13, "left_ankle": 14, "right_ankle": 15,
}  # fmt: skip
"""Joints of our skeleton among the 18 markers; the markers at the ankles are the heels."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera: x_camera = R x_world + T; distorted = centre + 1000 d (1 - k1 r^2 - k2 r^4)."""

    K: Float[np.ndarray, "3 3"]
    R: Float[np.ndarray, "3 3"]
    T: Float[np.ndarray, "3"]
    centre: Float[np.ndarray, "2"]
    k: Float[np.ndarray, "2"]


def find(root: Path, options: Options) -> Found:
    """List the sequences of both pairs of actors, or of one.

    Raises:
        InputError: The folder is not ExPI's.
        ConfigError: There is no such split or camera.
    """
    split = choose(options.split, "all", ("all", *ACTORS), "--split")
    require_folder(root, "acro*/*/mocap_cleaned.tsv", "ExPI")
    wanted = ACTORS if split == "all" else (split,)
    entries, missing = [], []
    for actors in wanted:
        folders = sorted(path.parent for path in root.glob(f"{actors}/*/mocap_cleaned.tsv"))
        if not folders:
            missing.append(actors)
        view = options.view or str(USUAL_CAMERA[actors])
        entries += [
            _entry(folder, camera, options.view is not None)
            for folder in folders
            for camera in (_cameras(folder) if view == "all" else (view,))
        ]
    return Found(
        entries=entries,
        missing=missing,
        protocol=(
            f"actors: {', '.join(wanted)}",
            f"camera: {options.view or 'acro1: 20, acro2: 19'}; pictures without radial "
            "distortion, true intrinsics",
            "truth: 12 markers on the skin; those at the ankles are the heels",
        ),
    )


def _entry(folder: Path, view: str, is_chosen: bool) -> Entry:
    name = f"{folder.parent.name}_{plain(folder.name)}" + (f"_{plain(view)}" if is_chosen else "")
    return Entry(name, lambda: _read(folder, view))


def _read(folder: Path, view: str) -> Recording:
    """Read one sequence of one camera.

    Raises:
        RefusedError: It cannot be used.
    """
    with within(folder / "mocap_cleaned.tsv"):
        world = _rows(read_text(folder / "mocap_cleaned.tsv"))
    with within(folder / "calib-new.xml"):
        camera = _camera(read_text(folder / "calib-new.xml"), view)
    pictures = _pictures_of(folder, view)
    frames = [number for number in range(len(world)) if number in pictures]
    if not frames:
        refuse(f"there is no picture `img-000000.jpg`, ... of camera {view}")
    chosen = world[frames][:, :, list(JOINTS.values())]
    valid = np.isfinite(chosen).all(axis=(2, 3))
    joints = in_camera(np.nan_to_num(chosen), camera.R, camera.T)
    return Recording(
        pictures=lambda: _without_distortion([pictures[number] for number in frames], camera),
        fps=FPS,
        K=camera.K,
        truth=Truth(joints=joints, names=tuple(JOINTS), valid=valid),
        scored=np.ones(len(frames), bool),
        problems=tuple(gaps("pictures", range(len(world)), frames)),
    )


def _rows(text: str) -> Float[np.ndarray, "frame 2 18 3"]:
    """Markers of both people in metres; NaN where one is not known."""
    lines = [line for line in text.splitlines()[1:] if line.strip()]
    if not lines:
        refuse("it has no row")
    cells = [[_number(cell) for cell in line.split(",")] for line in lines]
    if {len(row) for row in cells} != {2 * POINTS * 3}:
        refuse(f"a row has not {2 * POINTS * 3} numbers with commas between them")
    values = numbers(cells, "markers", len(lines), 2 * POINTS * 3, unknown=True)
    return values.reshape(len(lines), 2, POINTS, 3) / MM_PER_M


def _number(cell: str) -> float:
    try:
        return float(cell) if cell.strip() else float("nan")
    except ValueError:
        refuse(f"`{cell[:20]}` is no number")


def _camera(text: str, view: str) -> Camera:
    """The camera of a number, counted from 1 in the list."""
    if "<!" in text:  # declarations can make a small file expand to a large one
        refuse("it has declarations, which a calibration does not need")
    try:
        cameras = ElementTree.fromstring(text).findall(".//Camera")
    except ElementTree.ParseError as error:
        refuse(f"it is no XML: {error}")
    if not view.isdigit() or not 1 <= int(view) <= len(cameras):
        refuse(f"it has no camera {view}, only 1 to {len(cameras)}")
    element = cameras[int(view) - 1]
    distortion = element.find("Distortion")
    bent = {} if distortion is None else distortion.attrib
    extra = [_number(bent.get(key, "0")) for key in ("Cx", "Cy", "K1", "K2")]
    found = numbers(extra, "Distortion", 4)
    K, R, T = (_values(element, key, count) for key, count in (("K", 9), ("R", 9), ("T", 3)))
    return Camera(K.reshape(3, 3), R.reshape(3, 3), T, found[:2], found[2:])


def _values(element: ElementTree.Element, key: str, count: int) -> Float[np.ndarray, " value"]:
    """Numbers of a camera, in an element of this name or in an attribute."""
    inner = element.find(key)
    text = element.get(key, "") if inner is None else inner.text or ""
    return numbers([_number(word) for word in text.split()], key, count)


def _folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Folders inside, each with the last number in its name: that of a camera."""
    for path in sorted(folder.iterdir()):
        digits = re.findall(r"\d+", path.name)
        if path.is_dir() and digits:
            yield digits[-1].lstrip("0") or "0", path


def _cameras(folder: Path) -> list[str]:
    """Numbers of the cameras of which there are pictures."""
    own = {view for view, place in _folders(folder) if next(place.glob("img-*.jpg"), None)}
    return sorted(own, key=int)


def _pictures_of(folder: Path, view: str) -> dict[int, Path]:
    """Pictures of a camera by number."""
    found = {}
    for place in (place for number, place in _folders(folder) if number == view):
        for path in place.glob("img-*.jpg"):
            if path.stem[4:].isdigit():
                found[int(path.stem[4:])] = path
    return found


def _without_distortion(paths: list[Path], camera: Camera) -> Iterator[Image]:
    maps = None
    for path in paths:
        picture = read_picture(path)
        if not camera.k.any():
            yield picture
            continue
        if maps is None:
            height, width = picture.shape[:2]
            grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + 0.5
            d = (grid - camera.centre) / UNIT_PX
            square = (d**2).sum(axis=-1, keepdims=True)
            factor = 1.0 - camera.k[0] * square - camera.k[1] * square**2
            places = camera.centre + UNIT_PX * d * factor - 0.5
            maps = (places[..., 0].astype(np.float32), places[..., 1].astype(np.float32))
        yield cv2.remap(picture, *maps, cv2.INTER_LINEAR)
