"""What several stages need from outside the artifacts: the body model and the camera."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.body.model import Body
from closefit.config import CameraConfig
from closefit.errors import FileMissingError, InputError
from closefit.events import Notice
from closefit.geometry.camera import focal_from_fov, intrinsics
from closefit.models.weights import PRIOR, body_model, locate
from closefit.prior.loading import load_prior
from closefit.prior.network import Denoiser
from closefit.storage.job import Job


def load_body(job: Job) -> Body:
    """Load the chosen body model onto the job's device.

    Raises:
        WeightsError: It is missing or damaged.
    """
    name = body_model(job.config.body, job.config.weights_dir)
    return Body.load(locate(name, job.config.weights_dir)).to(job.device)


def load_network(job: Job) -> Denoiser:
    """Load the prior's checkpoint onto the job's device: the named one, or the one that ships.

    Raises:
        WeightsError: It is missing, damaged or of another architecture.
    """
    named = job.config.init.prior_file
    path = Path(named) if named is not None else locate(PRIOR, job.config.weights_dir)
    network, facts = load_prior(path, job.device)
    body = body_model(job.config.body, job.config.weights_dir)
    if facts.body != body.removesuffix("_body"):
        text = f"the prior learned on the body `{facts.body}`: its poses are used, its shapes not"
        job.emit(Notice(text))
    return network


def camera_intrinsics(
    camera: CameraConfig, width: int, height: int, num_frames: int
) -> Float[np.ndarray, "frame 3 3"]:
    """Intrinsics of every frame from a camera file, a focal length or a field of view.

    Raises:
        InputError: The camera file is missing or does not follow its documented format.
    """
    if camera.file is not None:
        return _read_camera_file(Path(camera.file), num_frames)
    focal = camera.focal_px or focal_from_fov(width, height, camera.fov_deg)
    return np.tile(intrinsics(width, height, focal).astype(np.float32), (num_frames, 1, 1))


def _read_camera_file(path: Path, num_frames: int) -> Float[np.ndarray, "frame 3 3"]:
    hint = "write an npz with `K` of shape (3, 3) or (frames, 3, 3), in pixels"
    if not path.is_file():
        raise FileMissingError(f"there is no camera file `{path}`", hint)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"the camera file `{path}` is not a readable npz", hint) from error
    K = arrays.get("K")
    if K is None or K.shape not in {(3, 3), (num_frames, 3, 3)} or not np.isfinite(K).all():
        shape = "nothing" if K is None else f"shape {K.shape}"
        raise InputError(
            f"`K` of the camera file `{path}` is {shape}, but the clip has {num_frames} frames",
            hint,
        )
    for key in ("R", "t"):
        poses = arrays.get(key)
        if poses is not None and poses.ndim > 1 and np.ptp(poses, axis=0).max() > 1e-6:
            raise InputError(
                f"the camera file `{path}` describes a moving camera (`{key}` changes)",
                "use a clip from a camera that stands still; moving cameras are not supported",
            )
    return np.broadcast_to(K.astype(np.float32), (num_frames, 3, 3)).copy()
