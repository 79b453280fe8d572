"""Reading the motion of one person to whom the prior adds a partner."""

import dataclasses
from pathlib import Path

import numpy as np

from closefit.body.model import Body
from closefit.boundary.arrays import Npz
from closefit.boundary.values import RefusedError
from closefit.errors import FileMissingError, InputError
from closefit.exporters.scene import scene_from_camera
from closefit.learning.motions.arrays import rate, same_length, take
from closefit.learning.motions.editing import resample
from closefit.learning.motions.floor import set_on_floor
from closefit.learning.motions.reading import read_motion
from closefit.learning.motions.smpl_files import open_npz, text
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
        arrays = Npz(path)
    except RefusedError:
        return False
    return "poses" not in arrays and "joint_names" in arrays


def _read_results(path: Path, body: Body) -> PairMotion:
    """Read both people of a `motion.npz` into the upright world of its floor."""
    arrays = open_npz(path)
    rotations = take(arrays, "rotations", [(None, 2, 24, 3, 3)], path)
    joints = take(arrays, "joints", [(None, 2, 24, 3)], path)
    betas = take(arrays, "betas", [(2, 10)], path)
    fps = rate(arrays, "fps", path)
    same_length({"rotations": rotations, "joints": joints}, path)
    floor = typical_floor()
    if "floor" in arrays:
        floor = take(arrays, "floor", [(4,), (len(joints), 4)], path)
    if floor.ndim == 1:
        T_world_cam = scene_from_camera(floor.astype(np.float32))[None]
    else:  # the camera moves
        T_world_cam = take(arrays, "T_scene_camera", [(len(joints), 4, 4)], path)
    turn, move = T_world_cam[:, None, :3, :3], T_world_cam[:, None, :3, 3]
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    pelvis = (turn @ joints[:, :, 0, :, None])[..., 0] + move
    # Shape coefficients of one body are meaningless for another.
    betas *= text(path, "body") == body.name
    upright = PairMotion(
        rotations=rotations.astype(np.float32),
        pelvis_m=pelvis.astype(np.float32),
        betas=betas.astype(np.float32),
        fps=np.array(fps),
        body_name=np.array(body.name),
        name=np.array(path.stem),
    )
    return set_on_floor(upright, body)
