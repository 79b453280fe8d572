"""AMASS and what is stored like it: one person's motion as an `.npz`, z up, metres.

`poses` (frame, 156): SMPL-H axis-angle, the pelvis first, then 21 body joints, then fingers; or
(frame, 165): SMPL-X, jaw and eyes before the fingers; or (frame, 72): SMPL. `trans` (frame, 3).
`mocap_framerate` or, in the SMPL-X release, `mocap_frame_rate`. closefit's own `person_*_amass.npz`
is of this kind. Shape coefficients are not used.
"""

import zipfile
from pathlib import Path

import numpy as np

from closefit.errors import InputError
from closefit.learning.motions.arrays import read_npz, same_length, take
from closefit.learning.motions.smpl_family import BODY_JOINTS, REST_PELVIS_M, SmplMotion, matrices

RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")

SMPLX_COLUMNS = 165
OTHER_COLUMNS = (72, 156)

OWN_NOTE = "motion was fitted with the closefit body"
"""Part of the note in files that closefit wrote: their rest pelvis is the origin."""


def is_amass(path: Path) -> bool:
    """Whether a file is, or once was, of this kind; AMASS has others, of body shapes only."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "poses.npy" in archive.namelist()
    except zipfile.BadZipFile:
        return True  # damaged: reading it says so


def read_amass(path: Path) -> SmplMotion:
    """Read one person's motion.

    Raises:
        InputError: The file is damaged or does not have this layout.
    """
    arrays = read_npz(path)
    columns = [(None, count) for count in (*OTHER_COLUMNS, SMPLX_COLUMNS)]
    poses = take(arrays, "poses", columns, path)
    trans = take(arrays, "trans", [(None, 3)], path)
    frames = same_length({"poses": poses, "trans": trans}, path)
    rate_key = next((key for key in RATE_KEYS if key in arrays), RATE_KEYS[0])
    fps = float(take(arrays, rate_key, [()], path))
    if not fps > 0.0:
        raise InputError(
            f"`{rate_key}` in `{path}` is {fps:g}", hint="write the true number of frames a second"
        )
    pelvis = np.array(REST_PELVIS_M["smplx" if poses.shape[1] == SMPLX_COLUMNS else "smpl"])
    if OWN_NOTE in str(arrays.get("note", "")):
        pelvis = np.zeros(3)
    turned = matrices(poses[:, : 3 * (1 + BODY_JOINTS)].reshape(frames, 1, 1 + BODY_JOINTS, 3))
    return SmplMotion(
        root=turned[:, :, 0],
        body=turned[:, :, 1:],
        pelvis_m=(trans + pelvis)[:, None],
        joints_m=None,
        up="z",
        fps=fps,
        name=path.stem,
        origin=str(path),
    )
