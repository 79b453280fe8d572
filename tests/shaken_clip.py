"""The demo's clip as a camera in a shaking hand films it, with detections in its pixels.

A part of the clip's picture is filmed: each frame shows it from the same place, turned by a known
rotation, so that the picture has no empty borders.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from closefit import video
from closefit.demo.clip import DemoClip
from closefit.geometry.camera import intrinsics
from closefit.geometry.camera_path import CameraPath, homographies_of, moved
from closefit.tracking.steadying import still_part

SHAKE_DEG = (1.2, 2.0, 1.0)
"""Up and down, from side to side, and roll."""


@dataclass(frozen=True)
class ShakenClip:
    """Files and what is true of them; `camera` is relative to the camera of the demo's clip."""

    video: Path
    observations: Path
    camera: CameraPath
    focal_px: float


def hand_held(frames: int, seed: int = 0) -> Float[np.ndarray, "frame 3 3"]:
    """Rotations of a camera in a hand: slow sums of sines, all other than none."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / frames
    waves = np.sin(2.0 * np.pi * (time * [1.0, 2.3] + rng.uniform(0.0, 1.0, (1, 3, 2))))
    degrees = np.array(SHAKE_DEG) * (0.75 * waves[..., 0] + 0.25 * waves[..., 1])
    return Rotation.from_rotvec(degrees, degrees=True).as_matrix()


def shaken(
    folder: Path, clip: DemoClip, turns: Float[np.ndarray, "frame 3 3"], size_wh: tuple[int, int]
) -> ShakenClip:
    """Film the middle of a clip with a camera that has these rotations."""
    folder.mkdir()
    truth = np.load(clip.truth)
    focal_px = float(truth["K"][0, 0])
    frames = len(turns)
    lens = np.tile(intrinsics(*size_wh, focal_px), (frames, 1, 1))
    camera = CameraPath(lens, turns)
    whole = homographies_of(
        CameraPath(
            np.concatenate([truth["K"][None].astype(np.float64), lens]),
            np.concatenate([np.eye(3)[None], turns]),
        )
    )[1:]
    info = video.probe(clip.video)
    pictures = (
        still_part(image, homography, size_wh)[0]
        for image, homography in zip(video.frames(info), whole, strict=True)
    )
    path = folder / "video.mp4"
    video.write(path, pictures, info.fps)
    observations = folder / "observations.npz"
    np.savez(observations, **_moved_detections(dict(np.load(clip.observations)), whole, size_wh))
    return ShakenClip(path, observations, camera, focal_px)


def _moved_detections(
    arrays: dict[str, np.ndarray],
    homographies: Float[np.ndarray, "frame 3 3"],
    size_wh: tuple[int, int],
) -> dict[str, np.ndarray]:
    frames = len(homographies)
    points = arrays["keypoints"][..., :2].reshape(frames, -1, 2)
    arrays["keypoints"][..., :2] = moved(homographies, points).reshape(
        arrays["keypoints"][..., :2].shape
    )
    x0, y0, x1, y1 = np.moveaxis(arrays["boxes"], -1, 0)
    middles = np.stack([x0, (y0 + y1) / 2, (x0 + x1) / 2, y0, x1, (y0 + y1) / 2, (x0 + x1) / 2, y1])
    there = moved(homographies, np.moveaxis(middles, 0, -1).reshape(frames, -1, 2))
    there = there.reshape(*x0.shape, 4, 2)
    arrays["boxes"] = np.stack(
        [there[..., 0, 0], there[..., 1, 1], there[..., 2, 0], there[..., 3, 1]], axis=-1
    )
    shape = tuple(arrays["union_masks_shape"])
    masks = np.unpackbits(arrays["union_masks"], count=int(np.prod(shape))).reshape(shape)
    warped = np.stack(
        [
            still_part(255 * mask, H, size_wh)[0] > 127
            for mask, H in zip(masks, homographies, strict=True)
        ]
    )
    arrays["union_masks"] = np.packbits(warped)
    arrays["union_masks_shape"] = np.array(warped.shape)
    arrays["width"], arrays["height"] = (np.array(side) for side in size_wh)
    return arrays
