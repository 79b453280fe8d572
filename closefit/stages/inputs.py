"""Inputs of several stages besides artifacts: body, prior, camera and pictures."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from closefit.body.model import Body
from closefit.boundary.arrays import Npz
from closefit.boundary.checks import MAX_SKEW
from closefit.boundary.values import entry, numbers, refusals_as, refuse
from closefit.config import DEFAULT_FOV_DEG, CameraConfig
from closefit.errors import ConfigError, FileMissingError, InputError
from closefit.events import Notice
from closefit.geometry.camera import focal_from_fov, intrinsics
from closefit.models.weights import BODIES, PRIOR, body_model, locate
from closefit.prior.loading import load_prior
from closefit.prior.network import Denoiser
from closefit.records import Track, VideoInfo
from closefit.storage.job import Job
from closefit.tracking.steadying import scaling, still_part, to_part
from closefit.video import STAMP_SLACK_S, Image, frames

CAMERA_HINT = "write an npz with `K` of shape (3, 3) or (frames, 3, 3), in pixels of the video"

FocalSource = Literal["--focal", "--fov", "video", "assumed"]
"""Where a focal length is from."""

MAX_OFF_CENTRE = 0.2
"""Distance of the principal point from the middle of the picture, as a share of the side."""

SAME = 1e-6
"""Rotations of a camera that stands still differ by less."""

MAX_SWAY_M = 0.25
"""A camera that is held in a hand stays this near its place."""

MAX_FOCAL_RATIO, MAX_STEP = 2.0, 1.1
"""Of the two focal lengths of a frame, and of one between frames."""


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
    """The camera of a clip, as it is given.

    Attributes:
        K: Intrinsics of every frame, in source pixels.
        pose: World to camera, where the camera file has them: `R`, (frame, 3, 3), and `t`,
            (frame, 3).
    """

    K: Float[np.ndarray, "frame 3 3"]
    pose: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def turns(self) -> bool:
        """Whether the camera turns."""
        return "R" in self.pose and bool(np.ptp(self.pose["R"], axis=0).max() > SAME)

    @property
    def zooms(self) -> bool:
        """Whether the intrinsics change."""
        return bool((self.K[0] != self.K).any())


def focal_length(camera: CameraConfig, video: VideoInfo) -> tuple[float, FocalSource]:
    """Return the focal length in pixels of the video, and where it is from.

    An option counts more than what the camera wrote into the video.
    """
    size_wh = video.width, video.height
    if camera.focal_px is not None:
        return camera.focal_px, "--focal"
    if camera.fov_deg is not None:
        return focal_from_fov(*size_wh, camera.fov_deg), "--fov"
    if video.focal_px is not None:
        return video.focal_px, "video"
    return focal_from_fov(*size_wh, DEFAULT_FOV_DEG), "assumed"


def read_camera(camera: CameraConfig, video: VideoInfo, num_frames: int) -> Camera:
    """Return the camera of a file, else the one of `focal_length`.

    Raises:
        InputError: The camera file is missing or does not follow its documented format.
        ConfigError: No camera of this video has such a focal length.
    """
    size_wh = video.width, video.height
    if camera.file is not None:
        return _read_camera_file(Path(camera.file), size_wh, num_frames)
    focal_px, _ = focal_length(camera, video)
    low, high = focal_range(size_wh)
    if not low <= focal_px <= high:
        raise ConfigError(
            f"`camera.focal_px` is `{focal_px:g}`, but has to be from {low:.0f} to {high:.0f} for "
            f"{size_wh[0]}x{size_wh[1]} pixels",
            hint="give the focal length in pixels with --focal, or a field of view with --fov",
        )
    K = intrinsics(*size_wh, focal_px).astype(np.float32)
    return Camera(np.tile(K, (num_frames, 1, 1)))


def focal_range(size_wh: tuple[int, int]) -> tuple[float, float]:
    """Focal lengths in pixels between which that of a camera lies: 150 and 1 degrees of view."""
    widest, narrowest = (focal_from_fov(*size_wh, degrees) for degrees in (150.0, 1.0))
    return widest, narrowest


def _read_camera_file(path: Path, size_wh: tuple[int, int], num_frames: int) -> Camera:
    if not os.path.lexists(path):
        raise FileMissingError(f"there is no camera file `{path}`", hint=CAMERA_HINT)
    usual = intrinsics(*size_wh, focal_from_fov(*size_wh, DEFAULT_FOV_DEG)).round().astype(int)
    hint = f"{CAMERA_HINT}; for this {size_wh[0]}x{size_wh[1]} video for example {usual.tolist()}"
    with refusals_as(InputError, path, hint):
        arrays = Npz(path)
        K = _one_or_each(entry(arrays, "K"), "K", (3, 3), num_frames)
        _check_intrinsics(K, size_wh)
        poses = {
            key: _one_or_each(arrays[key], key, shape, num_frames)
            for key, shape in (("R", (3, 3)), ("t", (3,)))
            if key in arrays
        }
        _check_poses(poses)
    return Camera(K.astype(np.float32), poses)


def _check_poses(poses: Mapping[str, Float[np.ndarray, "frame ..."]]) -> None:
    """Refuse what is no rotation, and a camera that travels."""
    if "R" in poses:
        R = poses["R"]
        skew = np.abs(R @ R.swapaxes(-1, -2) - np.eye(3)).max()
        if skew > MAX_SKEW or (np.linalg.det(R) < 0.0).any():
            refuse("its `R` is not a rotation")
    if "t" in poses:
        t = poses["t"]
        places = -(R.swapaxes(-1, -2) @ t[..., None])[..., 0] if "R" in poses else t
        sway_m = float(np.linalg.norm(places - np.median(places, axis=0), axis=-1).max())
        if sway_m > MAX_SWAY_M:
            refuse(
                f"it describes a camera that travels {sway_m:.2g} m; one that turns at its place "
                "can be used",
                "use a clip or a part of it (`--start`, `--end`) in which the camera stays",
            )


def _one_or_each(
    value: object, name: str, shape: tuple[int, ...], num_frames: int
) -> Float[np.ndarray, "frame ..."]:
    """An array of one frame, or of each."""
    several = getattr(value, "ndim", 0) > len(shape)
    found = numbers(value, name, *((num_frames, *shape) if several else shape))
    return np.broadcast_to(found, (num_frames, *shape)).copy()


def _check_intrinsics(K: Float[np.ndarray, "frame 3 3"], size_wh: tuple[int, int]) -> None:
    """Refuse intrinsics that no camera of this video has: in millimetres, of another size."""
    shown_K = f"`K` is {K[0].round(3).tolist()}, "
    is_upper = (K[:, 1, 0] == 0).all() and (K[:, 2] == (0, 0, 1)).all()
    if not is_upper or (np.abs(K[:, 0, 1]) > 0.1 * np.abs(K[:, 0, 0])).any():
        refuse(shown_K + "which is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    focal, (low, high) = K[:, (0, 1), (0, 1)], focal_range(size_wh)
    if not ((focal >= low) & (focal <= high)).all():
        refuse(shown_K + f"but its focal lengths have to be from {low:.0f} to {high:.0f} pixels")
    if not ((K[:, :2, 2] > 0) & (K[:, :2, 2] < size_wh)).all():
        refuse(shown_K + f"whose centre lies outside the {size_wh[0]}x{size_wh[1]} pixels")
    away = np.abs(K[:, :2, 2] / size_wh - 0.5).max()
    if away > MAX_OFF_CENTRE:
        refuse(shown_K + f"whose centre is far from that of {size_wh[0]}x{size_wh[1]} pixels")
    if (focal.max(axis=1) / focal.min(axis=1)).max() > MAX_FOCAL_RATIO:
        refuse(shown_K + "but its focal lengths differ too much from each other")
    step = np.abs(np.diff(np.log(focal), axis=0)).max(initial=0.0)
    if step > np.log(MAX_STEP):
        refuse(f"`K` changes its focal length {np.exp(step):.2g} times from one frame to the next")


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


def still_pictures(
    info: VideoInfo,
    track: Track,
    size_wh: tuple[int, int],
    crop_xyxy: tuple[int, int, int, int],
) -> Iterator[tuple[Image, Bool[np.ndarray, "rows columns"] | None]]:
    """Yield a part of what a still camera sees, scaled to `size_wh`, and which pixels are known.

    Args:
        info: The video.
        track: In pixels of the video.
        size_wh: Width and height.
        crop_xyxy: The part, in pixels of the still picture (`tracking/steadying.py`).

    Yields:
        Pictures, and None where all of a picture is known because the camera stands still.

    Raises:
        InputError: The video cannot be decoded.
    """
    if not track.camera_moves:
        for picture in clip_pictures(info, track, size_wh, crop_xyxy):
            yield picture, None
        return
    # Frames are decoded at about the scale of the result, so that each pixel is averaged once.
    scale = min(1.0, size_wh[0] / (crop_xyxy[2] - crop_xyxy[0]))
    decoded_wh = max(2, round(info.width * scale)), max(2, round(info.height * scale))
    from_decoded = scaling(info.width / decoded_wh[0], info.height / decoded_wh[1])
    homographies = to_part(track, crop_xyxy, size_wh) @ from_decoded
    pictures = clip_pictures(info, track, decoded_wh)
    for picture, homography in zip(pictures, homographies, strict=False):
        yield still_part(picture, homography, size_wh)
