"""Reading the motion of one person to whom the prior adds a partner."""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from closefit.body.model import Body
from closefit.errors import FileMissingError, InputError
from closefit.exporters.scene import scene_from_camera
from closefit.learning.motions.arrays import read_npz, same_length, take
from closefit.learning.motions.editing import resample
from closefit.learning.motions.floor import set_on_floor
from closefit.learning.motions.reading import read_motion
from closefit.learning.sampling.camera import typical_floor
from closefit.prior.objective import FPS
from closefit.records import PairMotion


def read_given(path: Path, person: int, body: Body) -> PairMotion:
    """Read one person's motion: world frame (y up, floor at 0), 30 fps, on `body`.

    Args:
        path: closefit's `motion.npz`, or what `motions.reading.read_motion` reads.
        person: Which of the file's people, from 0.
        body: Body of the prior.

    Raises:
        InputError: The file is missing, damaged, of no known kind, holds several motions, or has no
            such person.
    """
    if not path.exists():
        raise FileMissingError(f"there is no `{path}`", hint="check the path")
    if _is_results(path):
        motion = _read_results(path, body)
    else:
        motions = read_motion(path, body)
        if len(motions) > 1:
            names = ", ".join(f"`{found.name}`" for found in motions[:3])
            raise InputError(
                f"`{path}` holds {len(motions)} motions ({names}, ...); only one can be given",
                hint="name the file of one of them",
            )
        motion = motions[0]
    people = motion.rotations.shape[1]
    if not 0 <= person < people:
        raise InputError(
            f"`{path}` has no person `{person}`: it holds {people}, counted from 0",
            hint="choose one with --person 0" + (" or --person 1" if people == 2 else ""),
        )
    alone = dataclasses.replace(
        motion,
        rotations=motion.rotations[:, [person]],
        pelvis_m=motion.pelvis_m[:, [person]],
        betas=motion.betas[[person]],
    )
    return resample(alone, FPS)


def _is_results(path: Path) -> bool:
    """Whether a file is a `motion.npz` of closefit's results."""
    if path.is_dir() or path.suffix.lower() != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return "poses.npy" not in names and "joint_names.npy" in names


def _read_results(path: Path, body: Body) -> PairMotion:
    """Read both people of a `motion.npz` into the upright world of its floor."""
    arrays = read_npz(path)
    rotations = take(arrays, "rotations", [(None, 2, 24, 3, 3)], path)
    joints = take(arrays, "joints", [(None, 2, 24, 3)], path)
    betas = take(arrays, "betas", [(2, 10)], path)
    fps = float(take(arrays, "fps", [()], path))
    same_length({"rotations": rotations, "joints": joints}, path)
    for name, values in (("rotations", rotations), ("joints", joints), ("betas", betas)):
        if not np.isfinite(values).all():
            raise InputError(
                f"`{name}` in `{path}` holds values that are not numbers",
                hint="run `closefit stage export DIR` again",
            )
    if not fps > 0.0:
        raise InputError(f"`fps` in `{path}` is {fps:g}", hint="write the true frame rate")
    floor = take(arrays, "floor", [(4,)], path) if "floor" in arrays else typical_floor()
    T_world_cam = scene_from_camera(floor.astype(np.float32))
    rotations[:, :, 0] = T_world_cam[:3, :3] @ rotations[:, :, 0]
    pelvis = joints[:, :, 0] @ T_world_cam[:3, :3].T + T_world_cam[:3, 3]
    # Shape coefficients of one body are meaningless for another.
    betas *= str(arrays.get("body")) == body.name
    upright = PairMotion(
        rotations=rotations.astype(np.float32),
        pelvis_m=pelvis.astype(np.float32),
        betas=betas.astype(np.float32),
        fps=np.array(fps),
        body_name=np.array(body.name),
        name=np.array(path.stem),
    )
    return set_on_floor(upright, body)
