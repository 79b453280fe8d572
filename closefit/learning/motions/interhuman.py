"""InterHuman (InterGen, Liang et al.): two people, SMPL-H, z up, metres.

Raw, `motions/NAME.pkl`: `mocap_framerate` and, for `person1` and `person2`, `trans` (frame, 3),
`root_orient` (frame, 3), `pose_body` (frame, 63) axis-angle and `betas` (10,).

Processed, `motions_processed/person{1,2}/NAME.npy`, 30 fps: (frame, 492) = 62 joint positions, then
51 rotations (21 of the body, 30 of the fingers; none of the pelvis). A rotation's six numbers are
its first two columns read row by row: R00 R01 R10 R11 R20 R21. The pelvis' rotation follows from
the places of the hips and the lowest spine joint. Of a motion that is there in both forms this one
is read, as it has the people's sizes.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.errors import InputError
from closefit.imports.checks import RefusedError
from closefit.imports.pickles import load_pickle
from closefit.learning.motions.arrays import damaged, same_length, take
from closefit.learning.motions.smpl_family import BODY_JOINTS, REST_PELVIS_M, SmplMotion, matrices

PEOPLE = ("person1", "person2")

PROCESSED_FPS = 30.0
POSITIONS = 62
COLUMNS = POSITIONS * 3 + 51 * 6

ROOT_JOINTS = (1, 2, 3)
ROOT_OFFSETS_M = np.array([[0.069, -0.091, -0.007], [-0.068, -0.091, -0.004], [0.0, 0.109, -0.027]])
"""Left hip, right hip and spine1 from the pelvis, in the rest pose of the neutral body."""


def read_raw(path: Path) -> SmplMotion:
    """Read `motions/NAME.pkl` without running anything from it.

    Raises:
        InputError: The file is damaged or does not have this layout.
    """
    try:
        content = load_pickle(path)
    except RefusedError as refused:
        raise InputError(
            f"cannot read `{path}`: {refused.problem}",
            hint="fetch the file again; it must hold arrays only",
        ) from refused
    shapes = {"trans": (None, 3), "root_orient": (None, 3), "pose_body": (None, 3 * BODY_JOINTS)}
    people = []
    for name in PEOPLE:
        person = content.get(name) if isinstance(content, dict) else None
        if not isinstance(person, dict):
            raise InputError(
                f"`{path}` lacks `{name}`", hint="InterHuman's files hold person1 and person2"
            )
        people.append({key: take(person, key, [shape], path) for key, shape in shapes.items()})
    frames = same_length(
        {
            f"{name} {key}": person[key]
            for name, person in zip(PEOPLE, people, strict=True)
            for key in shapes
        },
        path,
    )
    root, pose, trans = (
        np.stack([person[key] for person in people], axis=1)
        for key in ("root_orient", "pose_body", "trans")
    )
    return SmplMotion(
        root=matrices(root),
        body=matrices(pose.reshape(frames, len(PEOPLE), BODY_JOINTS, 3)),
        pelvis_m=trans + np.array(REST_PELVIS_M["smpl"]),
        joints_m=None,
        up="z",
        fps=float(take(content, "mocap_framerate", [()], path)),
        name=path.stem,
        origin=str(path),
    )


def read_processed(paths: tuple[Path, Path]) -> SmplMotion:
    """Read the files of both people of one motion.

    Raises:
        InputError: A file is damaged or does not have this layout.
    """
    rows = {str(path): _rows(path) for path in paths}
    frames = same_length(rows, " and ".join(map(str, paths)))
    both = np.stack(list(rows.values()), axis=1)
    joints = both[..., : 3 * POSITIONS].reshape(frames, 2, POSITIONS, 3)
    sixes = both[..., 3 * POSITIONS :].reshape(frames, 2, -1, 3, 2)[:, :, :BODY_JOINTS]
    return SmplMotion(
        root=_root_rotation(joints),
        body=_orthonormal(sixes),
        pelvis_m=joints[:, :, 0],
        joints_m=joints[0],
        up="z",
        fps=PROCESSED_FPS,
        name=paths[0].stem,
        origin=str(paths[0]),
    )


def _rows(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path) from error
    return take({"motion": array}, "motion", [(None, COLUMNS)], path)


def _orthonormal(columns: Float[np.ndarray, "*batch 3 2"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotations from two columns that are orthonormal up to rounding."""
    first = columns[..., 0] / np.linalg.norm(columns[..., 0], axis=-1, keepdims=True)
    along = (first * columns[..., 1]).sum(-1, keepdims=True)
    second = columns[..., 1] - along * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _root_rotation(
    joints: Float[np.ndarray, "frame person joint 3"],
) -> Float[np.ndarray, "frame person 3 3"]:
    """Rotation that takes the pelvis' rest neighbours nearest to where they are (Kabsch)."""
    found = joints[:, :, ROOT_JOINTS] - joints[:, :, :1]
    covariance = np.einsum("fpjx,jy->fpxy", found, ROOT_OFFSETS_M)
    u, _, vt = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(u @ vt))
    u[..., -1] *= sign[..., None]
    rotation: np.ndarray = u @ vt
    return rotation
