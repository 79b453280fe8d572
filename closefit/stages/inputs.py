"""Inputs of several stages besides artifacts: body, prior, camera and pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.body.model import Body
from closefit.config import CameraConfig
from closefit.errors import FileMissingError, InputError
from closefit.events import Notice
from closefit.geometry.camera import focal_from_fov, intrinsics
from closefit.models.weights import BODIES, PRIOR, body_model, locate
from closefit.prior.loading import load_prior
from closefit.prior.network import Denoiser
from closefit.records import Track, VideoInfo
from closefit.storage.artifacts import UNREADABLE
from closefit.storage.job import Job
from closefit.video import STAMP_SLACK_S, Image, frames


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
    if BODIES.get(facts.body) != body_model(job.config.body, job.config.weights_dir):
        text = (
            f"the prior was trained on the body `{facts.body}`: its poses are used, not its shapes"
        )
        job.emit(Notice(text))
    return network


@dataclass(frozen=True, eq=False)
class Camera:
    """The camera of a clip, which stands still.

    Attributes:
        K: Intrinsics of every frame, in source pixels.
        pose: World to camera, where the camera file has them: `R`, (frame, 3, 3), and `t`,
            (frame, 3).
    """

    K: Float[np.ndarray, "frame 3 3"]
    pose: dict[str, np.ndarray] = field(default_factory=dict)


def read_camera(camera: CameraConfig, size_wh: tuple[int, int], num_frames: int) -> Camera:
    """Return the camera of a file, of a focal length or of a field of view, in this order.

    Raises:
        InputError: The camera file is missing or does not follow its documented format.
    """
    if camera.file is not None:
        return _read_camera_file(Path(camera.file), num_frames)
    focal_px = camera.focal_px or focal_from_fov(*size_wh, camera.fov_deg)
    K = intrinsics(*size_wh, focal_px).astype(np.float32)
    return Camera(np.tile(K, (num_frames, 1, 1)))


def _read_camera_file(path: Path, num_frames: int) -> Camera:
    hint = "write an npz with `K` of shape (3, 3) or (frames, 3, 3), in pixels"
    if not path.is_file():
        raise FileMissingError(f"there is no camera file `{path}`", hint)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("K", "R", "t") if key in file.files}
    except (*UNREADABLE, TypeError) as error:  # TypeError: a bare array, not an archive
        raise InputError(f"the camera file `{path}` is not a readable npz", hint) from error
    K, poses = arrays.pop("K", None), {}
    if K is None or K.shape not in {(3, 3), (num_frames, 3, 3)} or not np.isfinite(K).all():
        found = "nothing" if K is None else f"shape {K.shape}"
        raise InputError(
            f"`K` of the camera file `{path}` is {found}, but the clip has {num_frames} frames",
            hint,
        )
    for key, pose in arrays.items():
        shape = (3, 3) if key == "R" else (3,)
        if pose.shape not in {shape, (num_frames, *shape)}:
            raise InputError(f"`{key}` of the camera file `{path}` has shape {pose.shape}", hint)
        if pose.ndim > len(shape) and np.ptp(pose, axis=0).max() > 1e-6:
            raise InputError(
                f"the camera file `{path}` describes a moving camera (`{key}` changes)",
                "use a clip from a camera that stands still; moving cameras are not supported",
            )
        poses[key] = np.broadcast_to(pose, (num_frames, *shape))
    return Camera(np.broadcast_to(K.astype(np.float32), (num_frames, 3, 3)).copy(), poses)


def clip_pictures(
    info: VideoInfo,
    track: Track,
    size_wh: tuple[int, int],
    crop_xyxy: tuple[int, int, int, int] | None = None,
) -> Iterator[Image]:
    """Yield the pictures of the tracked frames, cropped and then scaled to `size_wh`.

    Raises:
        InputError: The video cannot be decoded.
    """
    until_s = float(track.time_s[-1]) + 2.0 * STAMP_SLACK_S
    return frames(info, float(track.time_s[0]), until_s, size_wh=size_wh, crop_xyxy=crop_xyxy)
