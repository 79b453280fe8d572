"""CHI3D: three pairs, four cameras that stand still, joints of a marker skeleton.

In each folder train/s02, train/s03 and train/s04:

- videos/CAMERA/ACTION.mp4; it may be longer than the joints
- camera_parameters/CAMERA/ACTION.json: extrinsics R, T (T is the place of the camera), intrinsics
- joints3d_25/ACTION.json: joints3d_25 [2][frame][25][3], world, metres
- interaction_contact_signature.json: ACTION -> start_fr, end_fr, fr_id
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from closefit import video
from closefit.benchmark.sequences import (
    Entry,
    Found,
    Options,
    Recording,
    Truth,
    choose,
    in_camera,
    plain,
    require_folder,
)
from closefit.boundary.files import read_json
from closefit.boundary.refusals import entry, named, refuse, within
from closefit.boundary.values import numbers, whole_number
from closefit.records import VideoInfo
from closefit.video import STAMP_SLACK_S, Image

SUBJECTS = ("s02", "s03", "s04")
CAMERAS = ("50591643", "58860488", "60457274", "65906101")
USUAL_CAMERA = "58860488"
SIGNATURES = "interaction_contact_signature.json"

JOINTS = {
    "left_hip": 1, "left_knee": 2, "left_ankle": 3,
    "right_hip": 4, "right_knee": 5, "right_ankle": 6, "neck": 8,
    "left_shoulder": 11, "left_elbow": 12, "left_wrist": 13,
    "right_shoulder": 14, "right_elbow": 15, "right_wrist": 16,
}  # fmt: skip
"""Joints of our skeleton among the 25; the heads of the two skeletons are not the same point."""


def find(root: Path, options: Options) -> Found:
    """List the sequences of a split: all subjects that have a truth, or one.

    Raises:
        InputError: The folder is not CHI3D's.
        ConfigError: There is no such split or camera.
    """
    split = choose(options.split, "train", ("train", *SUBJECTS), "--split")
    view = choose(options.view, USUAL_CAMERA, (*CAMERAS, "all"), "--view")
    require_folder(root, "train/s*/joints3d_25", "CHI3D")
    wanted = SUBJECTS if split == "train" else (split,)
    entries: list[Entry] = []
    missing = []
    for subject in wanted:
        folder = root / "train" / subject
        actions = sorted(path.stem for path in (folder / "joints3d_25").glob("*.json"))
        if not actions:
            missing.append(subject)
        entries += [
            _entry(folder, action, camera, options.view is not None)
            for action in actions
            for camera in (CAMERAS if view == "all" else (view,))
        ]
    return Found(
        entries=entries,
        missing=missing,
        protocol=(
            f"subjects: {', '.join(wanted)}; the test subjects have no public truth",
            "frames: start_fr to end_fr of the contact signature; all where there is none",
            f"camera: {view}; true intrinsics without distortion, pictures as they are",
            "truth: joints3d_25, a marker skeleton, whose joints are centimetres from those of a "
            "body model",
        ),
    )


def _entry(folder: Path, action: str, camera: str, is_chosen: bool) -> Entry:
    name = f"{folder.name}_{plain(action)}" + (f"_{camera}" if is_chosen else "")
    return Entry(name, lambda: _read(folder, action, camera))


def _read(folder: Path, action: str, camera: str) -> Recording:
    """Read one action of one camera.

    Raises:
        RefusedError: A file of it cannot be used.
        InputError: Its video cannot be read.
    """
    path = folder / "joints3d_25" / f"{action}.json"
    with within(path):
        world = numbers(entry(read_json(path), "joints3d_25"), "joints3d_25", 2, None, 25, 3)
    path = folder / "camera_parameters" / camera / f"{action}.json"
    with within(path):
        K, R, centre = _camera(read_json(path))
    clip = folder / "videos" / camera / f"{action}.mp4"
    if not clip.is_file():
        refuse(f"there is no video `{clip}`")
    info = video.probe(clip)
    first, last = _range(folder, action)
    shown = min(world.shape[1], info.num_frames)
    wanted = range(first, (shown if last is None else last + 1))
    frames = [number for number in wanted if number < shown]
    if not frames:
        refuse(f"frames {first} to {last} are not in its video")
    lacking = len(wanted) - len(frames)
    joints = world[:, frames][:, :, list(JOINTS.values())].swapaxes(0, 1)
    truth = Truth(
        joints=in_camera(joints, R, -R @ centre),
        names=tuple(JOINTS),
        valid=np.ones((len(frames), 2), bool),
    )
    return Recording(
        pictures=lambda: _pictures(info, frames),
        fps=info.fps,
        K=K,
        truth=truth,
        scored=np.ones(len(frames), bool),
        problems=(f"{lacking} of {len(wanted)} frames are not in its video",) if lacking else (),
    )


def _camera(
    content: Any,
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Intrinsics, rotation and place of a camera."""
    outside, inside = entry(content, "extrinsics"), entry(content, "intrinsics_wo_distortion")
    R = numbers(entry(outside, "R"), "R", 3, 3)
    centre = numbers(np.ravel(entry(outside, "T")), "T", 3)
    focal, middle = (numbers(np.ravel(entry(inside, key)), key, 2) for key in ("f", "c"))
    K = np.array([[focal[0], 0.0, middle[0]], [0.0, focal[1], middle[1]], [0.0, 0.0, 1.0]])
    return K, R, centre


def _range(folder: Path, action: str) -> tuple[int, int | None]:
    """First and last frame that count; None where nothing says so."""
    path = folder / SIGNATURES
    if not path.is_file():
        return 0, None
    with within(path):
        content = read_json(path)
        if not isinstance(content, dict) or action not in content:
            return 0, None
        signature = content[action]
        first, last = (whole_number(entry(signature, k), k) for k in ("start_fr", "end_fr"))
        if first > last:
            refuse(f"`{action}` ends before it begins: {named([first, last])}")
    return first, last


def _pictures(info: VideoInfo, frames: list[int]) -> Iterator[Image]:
    times = video.frame_times(info)
    until_s = float(times[frames[-1]]) + 2.0 * STAMP_SLACK_S
    return islice(video.frames(info, float(times[frames[0]]), until_s), len(frames))
