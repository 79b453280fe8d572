"""Inter-X (Xu et al.): two people, SMPL-X, y up, metres, 120 fps.

A folder per motion (`motions/G001T000A000R000`) with `P1.npz` and `P2.npz`, each with `root_orient`
(frame, 3), `pose_body` (frame, 21, 3) axis-angle, `trans` (frame, 3), fingers, `betas` (1, 10) and
`gender`.
"""

from pathlib import Path

import numpy as np

from closefit.learning.motions.arrays import read_npz, same_length, take
from closefit.learning.motions.smpl_family import BODY_JOINTS, REST_PELVIS_M, SmplMotion, matrices

PEOPLE = ("P1.npz", "P2.npz")
FPS = 120.0


def read_interx(folder: Path) -> SmplMotion:
    """Read both people of one motion.

    Raises:
        InputError: A file is missing, damaged or does not have this layout.
    """
    people = [_person(folder / name) for name in PEOPLE]
    lengths = {name: person["trans"] for name, person in zip(PEOPLE, people, strict=True)}
    frames = same_length(lengths, folder)
    root, pose, trans = (
        np.stack([person[key] for person in people], axis=1)
        for key in ("root_orient", "pose_body", "trans")
    )
    return SmplMotion(
        root=matrices(root),
        body=matrices(pose.reshape(frames, len(PEOPLE), BODY_JOINTS, 3)),
        pelvis_m=trans + np.array(REST_PELVIS_M["smplx"]),
        joints_m=None,
        up="y",
        fps=FPS,
        name=folder.name,
        origin=str(folder),
    )


def _person(path: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(path)
    person = {
        "root_orient": take(arrays, "root_orient", [(None, 3)], path),
        "pose_body": take(
            arrays, "pose_body", [(None, BODY_JOINTS, 3), (None, 3 * BODY_JOINTS)], path
        ),
        "trans": take(arrays, "trans", [(None, 3)], path),
    }
    same_length(person, path)
    return person
