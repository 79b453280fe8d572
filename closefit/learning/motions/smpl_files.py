"""Files of the SMPL family. The folder layouts are in docs/motions.md.

| Data set | People | Body | Up | Rate | Arrays |
| --- | --- | --- | --- | --- | --- |
| AMASS | 1 | SMPL, SMPL-H, SMPL-X | z | in the file | `poses` (frame, 72, 156 or 165), `trans` |
| InterHuman, raw | 2 | SMPL-H | z | in the file | `root_orient`, `pose_body`, `trans` |
| InterHuman, processed | 2 | SMPL-H | z | 30 | positions and 6D rotations, (frame, 492) |
| Inter-X | 2 | SMPL-X | y | 120 | `root_orient`, `pose_body`, `trans` |
| Hi4D | 2 | SMPL | y | 30 | `global_orient`, `body_pose`, `transl`, `joints_3d` |
| CHI3D | 2 | SMPL-X | z | 50 | matrices, indexed by person, then frame |

Rotations are axis-angle in radians and lengths metres unless stated otherwise. Shape coefficients
are not used. All readers raise InputError for files that are missing, damaged or of another layout.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import roma
import torch
from jaxtyping import Float

from closefit.boundary.arrays import Npz, read_npy
from closefit.boundary.files import read_json
from closefit.boundary.values import RefusedError, refusals_as
from closefit.errors import InputError
from closefit.geometry.rotations import matrix_from_6d
from closefit.imports.pickles import load_pickle
from closefit.learning.motions.arrays import rate, same_length, take
from closefit.learning.motions.smpl_family import (
    BODY_JOINTS,
    REST_PELVIS_M,
    Family,
    SmplMotion,
    matrices,
)

AMASS_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")
AMASS_COLUMNS = {72: "smpl", 156: "smpl", 165: "smplx"}
"""Columns of `poses` and the body; the pelvis comes first, then the body, then fingers and face."""

OWN_NOTE = "motion was fitted with the closefit body"
"""Part of the note in AMASS files that closefit wrote: their rest pelvis is the origin."""

FETCH_HINT = "fetch the file again"

INTERHUMAN_PEOPLE = ("person1", "person2")
INTERX_PEOPLE = ("P1.npz", "P2.npz")
HI4D_FRAMES = "smpl"
"""Folder of a motion's frames."""
CHI3D_FOLDER = "smplx"

POSITIONS = 62
"""Joint positions at the start of a processed InterHuman row; 51 rotations follow, without the
pelvis. A rotation's six numbers are its first two columns read row by row: R00 R01 R10 R11 ..."""

ROOT_JOINTS = (1, 2, 3)
ROOT_OFFSETS_M = np.array([[0.069, -0.091, -0.007], [-0.068, -0.091, -0.004], [0.0, 0.109, -0.027]])
"""Left hip, right hip and spine1 from the pelvis, in the rest pose of the neutral body."""


def open_npz(path: Path) -> Npz:
    """Open an `.npz`; arrays that are not used may hold objects, as AMASS has them for text.

    Raises:
        InputError: It is damaged.
    """
    with refusals_as(InputError, path, FETCH_HINT):
        return Npz(path)


def text(path: Path, name: str) -> str:
    """Return a text of an `.npz`; empty where there is none."""
    try:
        return str(Npz(path, kinds="U")[name])
    except RefusedError:
        return ""


def is_amass(path: Path) -> bool:
    """Whether an `.npz` holds motion; AMASS also has files of body shapes only."""
    try:
        return "poses" in Npz(path)
    except RefusedError:
        return True  # damaged: `read_amass` raises the error


def read_amass(path: Path) -> SmplMotion:
    """Read one person's motion, also from closefit's own `person_*_amass.npz`."""
    arrays = open_npz(path)
    poses = take(arrays, "poses", [(None, count) for count in AMASS_COLUMNS], path)
    trans = take(arrays, "trans", [(None, 3)], path)
    frames = same_length({"poses": poses, "trans": trans}, path)
    rate_key = next((key for key in AMASS_RATE_KEYS if key in arrays), AMASS_RATE_KEYS[0])
    fps = rate(arrays, rate_key, path)
    rotations = matrices(poses[:, : 3 * (1 + BODY_JOINTS)].reshape(frames, 1, 1 + BODY_JOINTS, 3))
    is_own = OWN_NOTE in text(path, "note")
    family: Family = "smplx" if AMASS_COLUMNS[poses.shape[1]] == "smplx" else "smpl"
    rest_pelvis = np.zeros(3) if is_own else np.array(REST_PELVIS_M[family])
    return SmplMotion(
        root=rotations[:, :, 0],
        body=rotations[:, :, 1:],
        pelvis_m=(trans + rest_pelvis)[:, None],
        joints_m=None,
        up="z",
        fps=fps,
        name=path.stem,
        origin=str(path),
    )


def read_interhuman_raw(path: Path) -> SmplMotion:
    """Read `motions/NAME.pkl` with a restricted unpickler."""
    with refusals_as(InputError, path, "fetch the file again; it must hold arrays only"):
        content = load_pickle(path)
    people = []
    for name in INTERHUMAN_PEOPLE:
        person = content.get(name) if isinstance(content, dict) else None
        if not isinstance(person, dict):
            raise InputError(
                f"`{path}` lacks `{name}`", hint="InterHuman's files hold person1 and person2"
            )
        people.append(_person(person, path))
    fps = rate(content, "mocap_framerate", path)
    return _two_people(people, INTERHUMAN_PEOPLE, "smpl", "z", fps, path.stem, path)


def read_interx(folder: Path) -> SmplMotion:
    """Read both people of one motion."""
    people = [_person(open_npz(folder / name), folder / name) for name in INTERX_PEOPLE]
    return _two_people(people, INTERX_PEOPLE, "smplx", "y", 120.0, folder.name, folder)


def _person(arrays: Mapping[str, Any] | Npz, path: Path) -> dict[str, np.ndarray]:
    """Take one person's arrays: root orientation, 21 body rotations, translation."""
    columns = [(None, BODY_JOINTS, 3), (None, 3 * BODY_JOINTS)]
    return {
        "root_orient": take(arrays, "root_orient", [(None, 3)], path),
        "pose_body": take(arrays, "pose_body", columns, path),
        "trans": take(arrays, "trans", [(None, 3)], path),
    }


def _two_people(
    people: Sequence[Mapping[str, np.ndarray]],
    names: Sequence[str],
    family: Family,
    up: Literal["y", "z"],
    fps: float,
    name: str,
    path: Path,
) -> SmplMotion:
    """Put the arrays of two people side by side."""
    labelled = zip(names, people, strict=True)
    lengths = {f"{who} {key}": array for who, person in labelled for key, array in person.items()}
    frames = same_length(lengths, path)
    root, pose, trans = (
        np.stack([person[key] for person in people], axis=1)
        for key in ("root_orient", "pose_body", "trans")
    )
    return SmplMotion(
        root=matrices(root),
        body=matrices(pose.reshape(frames, 2, BODY_JOINTS, 3)),
        pelvis_m=trans + np.array(REST_PELVIS_M[family]),
        joints_m=None,
        up=up,
        fps=fps,
        name=name,
        origin=str(path),
    )


def read_interhuman_processed(paths: tuple[Path, Path]) -> SmplMotion:
    """Read `motions_processed/person{1,2}/NAME.npy`.

    The pelvis' rotation follows from the positions of the hips and the lowest spine joint.
    """
    rows = {str(path): _rows(path) for path in paths}
    frames = same_length(rows, " and ".join(map(str, paths)))
    both = np.stack(list(rows.values()), axis=1)
    joints = both[..., : 3 * POSITIONS].reshape(frames, 2, POSITIONS, 3)
    rows_of_two = both[..., 3 * POSITIONS :].reshape(frames, 2, -1, 3, 2)[:, :, :BODY_JOINTS]
    columns = np.concatenate([rows_of_two[..., 0], rows_of_two[..., 1]], axis=-1)
    return SmplMotion(
        root=_root_rotation(joints),
        body=matrix_from_6d(torch.from_numpy(columns)).numpy(),
        pelvis_m=joints[:, :, 0],
        joints_m=joints[0],
        up="z",
        fps=30.0,
        name=paths[0].stem,
        origin=str(paths[0]),
    )


def _rows(path: Path) -> np.ndarray:
    with refusals_as(InputError, path, FETCH_HINT):
        array = read_npy(path)
    return take({"motion": array}, "motion", [(None, POSITIONS * 3 + 51 * 6)], path)


def _root_rotation(
    joints: Float[np.ndarray, "frame person joint 3"],
) -> Float[np.ndarray, "frame person 3 3"]:
    """Rotation that maps the pelvis' rest neighbours nearest to their positions (Kabsch)."""
    found = joints[:, :, ROOT_JOINTS] - joints[:, :, :1]
    covariance = np.einsum("fpjx,jy->fpxy", found, ROOT_OFFSETS_M)
    rotation: np.ndarray = roma.special_procrustes(torch.from_numpy(covariance)).numpy()
    return rotation


def hi4d_frames(folder: Path) -> list[Path]:
    """Files of a motion's frames, in order."""
    return sorted(path for path in (folder / HI4D_FRAMES).glob("*.npz") if path.stem.isdigit())


def read_hi4d(folder: Path) -> SmplMotion:
    """Read both people of one motion; each frame is a file (`pair00/hug00/smpl/000001.npz`)."""
    files = hi4d_frames(folder)
    numbers = [int(path.stem) for path in files]
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers else [1]
    if missing:
        raise InputError(
            f"`{folder / HI4D_FRAMES}` lacks frame {missing[0]}",
            hint="fetch the folder again, or keep only frames that follow each other",
        )
    frames = [open_npz(path) for path in files]

    def stacked(key: str, *shape: int) -> np.ndarray:
        return np.stack([take(f, key, [shape], p) for f, p in zip(frames, files, strict=True)])

    pose = stacked("body_pose", 2, 69).reshape(len(files), 2, 23, 3)[:, :, :BODY_JOINTS]
    transl = stacked("transl", 2, 3)
    joints = stacked("joints_3d", 2, 24, 3) if "joints_3d" in frames[0] else None
    return SmplMotion(
        root=matrices(stacked("global_orient", 2, 3)),
        body=matrices(pose),
        pelvis_m=transl + REST_PELVIS_M["smpl"] if joints is None else joints[:, :, 0],
        joints_m=None if joints is None else joints[0],
        up="y",
        fps=30.0,
        name=f"{folder.parent.name}/{folder.name}",
        origin=str(folder),
    )


def read_chi3d(path: Path) -> SmplMotion:
    """Read both people of one motion (`train/s02/smplx/Grab 1.json`)."""
    with refusals_as(InputError, path, FETCH_HINT):
        content = read_json(path)
    shapes = {
        "global_orient": (2, None, 1, 3, 3),
        "body_pose": (2, None, BODY_JOINTS, 3, 3),
        "transl": (2, None, 3),
    }
    by_frame = {
        key: take(content, key, [shape], path).swapaxes(0, 1) for key, shape in shapes.items()
    }
    same_length(by_frame, path)
    return SmplMotion(
        root=by_frame["global_orient"][:, :, 0],
        body=by_frame["body_pose"],
        pelvis_m=by_frame["transl"] + np.array(REST_PELVIS_M["smplx"]),
        joints_m=None,
        up="z",
        fps=50.0,
        name=f"{path.parent.parent.name}/{path.stem}",
        origin=str(path),
    )
