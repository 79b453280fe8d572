"""Puts the demo's clip together: film, simulated detections and exact truth."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from closefit import video
from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.demo.clothing import OUTFITS, Outfit
from closefit.demo.dance import Dance, make_dance
from closefit.demo.detections import VisiblePeople, simulate_detections
from closefit.demo.filming import Shot, film
from closefit.demo.room import Room
from closefit.geometry.camera import project
from closefit.geometry.contact import CONTACT_M
from closefit.geometry.penetration import average_penetration_depth_mm, surface_gap
from closefit.models import weights
from closefit.storage import artifacts
from closefit.storage.workspace import create_writable

FPS = 30.0
MIN_OVERLAP_PX = 12
"""Depth order is defined where silhouettes share at least this many pixels."""


@dataclass(frozen=True)
class DemoClip:
    """Files of a generated clip."""

    video: Path
    observations: Path
    truth: Path


def make_clip(
    folder: Path, frames: int = 48, seed: int = 0, size: tuple[int, int] = (480, 360)
) -> DemoClip:
    """Make a clip of two people who meet, take a dance hold and turn, with its exact truth.

    Args:
        folder: Where `video.mp4`, `observations.npz` and `truth.npz` go; created if missing.
        frames: Length at 30 frames per second.
        seed: Of the people's shapes and the detector's mistakes.
        size: Width and height in pixels.

    Returns:
        Paths of the files: a video, detections for `--observations`, truth for `evaluate`.

    Raises:
        WeightsError: The free body is missing.
        OutputError: The files cannot be written.
    """
    create_writable(folder)
    body = Body.load(weights.locate("closefit_body"))
    with _one_thread():
        dance = make_dance(body, frames, FPS, seed)
    return film_clip(folder, body, dance, Room.create(*size), seed)


def film_clip(
    folder: Path,
    body: Body,
    dance: Dance,
    room: Room,
    seed: int = 0,
    outfits: tuple[Outfit, Outfit] = OUTFITS,
) -> DemoClip:
    """Make a clip of a motion; `seed` is of the detector's mistakes.

    Raises:
        OutputError: The files cannot be written.
    """
    create_writable(folder)
    clip = DemoClip(folder / "video.mp4", folder / "observations.npz", folder / "truth.npz")
    with _one_thread():
        shots = list(film(body, dance, room, outfits))
        truth = _truth(body, dance, room, shots)
    video.write(clip.video, (image for shot in shots for image in shot.images), FPS)
    _save(clip.truth, truth)
    detections = simulate_detections(VisiblePeople.from_truth(truth), body, seed)
    _save(clip.observations, detections)
    return clip


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch on one thread: for many small tensors, waiting for others takes longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with artifacts.atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _truth(body: Body, dance: Dance, room: Room, shots: list[Shot]) -> dict[str, np.ndarray]:
    """Return the arrays of a truth file, in the camera's frame."""
    posed = body.pose(dance.rotations, dance.betas, dance.transl)
    regressor = KeypointRegressor(body, "coco17")
    keypoints = regressor(posed.joints, posed.vertices[:, :, regressor.vertex_indices])
    masks = np.concatenate([shot.masks for shot in shots])
    silhouettes = np.concatenate([shot.silhouettes for shot in shots])
    rotations = dance.rotations.numpy().copy()
    rotations[:, :, 0] = room.R_camera_world @ rotations[:, :, 0]
    joints = room.to_camera(posed.joints.numpy())
    gap_m = surface_gap(posed.vertices).numpy()
    return {
        "K": room.K,
        "width": np.array(room.width),
        "height": np.array(room.height),
        "fps": np.array(FPS),
        "rotations": rotations,
        "betas": dance.betas.numpy(),
        "transl": joints[:, :, 0].astype(np.float32),
        "joints3d": joints.astype(np.float32),
        "joints2d": _pixels(joints, room.K),
        "keypoints2d": _pixels(room.to_camera(keypoints.numpy()), room.K),
        "boxes": _boxes(masks),
        "masks": np.packbits(masks),
        "masks_shape": np.array(masks.shape),
        "order": _order(masks, silhouettes),
        "contact": gap_m < CONTACT_M,
        "gap": gap_m,
        "penetration": average_penetration_depth_mm(posed.vertices, body.faces).numpy(),
    }


def _pixels(
    points: Float[np.ndarray, "*batch 3"], K: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 2"]:
    pixels: np.ndarray = project(torch.from_numpy(points), torch.from_numpy(K)).float().numpy()
    return pixels


def _boxes(masks: Bool[np.ndarray, "frame 2 height width"]) -> Float[np.ndarray, "frame 2 4"]:
    """Box of each mask; NaN where it is empty."""
    boxes = np.full((*masks.shape[:2], 4), np.nan, dtype=np.float32)
    for low, axis in ((0, 2), (1, 3)):
        used = np.asarray(masks.any(axis=axis))
        boxes[..., low] = used.argmax(axis=-1)
        boxes[..., low + 2] = used.shape[-1] - used[..., ::-1].argmax(axis=-1)
    boxes[~masks.any(axis=(2, 3))] = np.nan
    return boxes


def _order(
    masks: Bool[np.ndarray, "frame 2 height width"],
    silhouettes: Bool[np.ndarray, "frame 2 height width"],
) -> Int[np.ndarray, " frame"]:
    """+1 where person 1 covers person 0 in the picture, -1 for the reverse, 0 without overlap."""
    shared = silhouettes.all(axis=1, keepdims=True)
    visible = (masks & shared).sum(axis=(2, 3))
    enough = shared.sum(axis=(1, 2, 3)) >= MIN_OVERLAP_PX
    return np.where(enough, np.sign(visible[:, 1] - visible[:, 0]), 0).astype(np.int8)
