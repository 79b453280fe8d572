"""Turns recordings of a data set into what `closefit batch` takes: a video and a camera file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit import video
from closefit.benchmark.sequences import Recording
from closefit.boundary.arrays import Npz
from closefit.boundary.refusals import RefusedError, refuse
from closefit.errors import InputError
from closefit.storage.artifacts import atomic_write
from closefit.video import Image


def write_footage(recording: Recording, clip: Path, camera: Path) -> None:
    """Write the video and the camera of a recording, unless they are there with as many frames.

    Raises:
        RefusedError: A picture cannot be read.
        OutputError: The files cannot be written.
    """
    K = recording.K.astype(np.float64)
    if not _is_there(camera, K):  # a file with another time would have the clip done again
        with atomic_write(camera) as file:
            np.savez(file, allow_pickle=False, K=K)
    if not _shows(clip, len(recording.scored)):  # what was missing may have come since
        video.write(clip, _of_one_size(recording.pictures()), recording.fps)


def _of_one_size(pictures: Iterator[Image]) -> Iterator[Image]:
    size: tuple[int, ...] | None = None
    for number, picture in enumerate(pictures):
        size = size or picture.shape
        if picture.shape != size:
            refuse(f"its picture {number} has another size than those before it")
        yield picture


def _shows(clip: Path, frames: int) -> bool:
    try:
        return clip.is_file() and video.probe(clip).num_frames == frames
    except InputError:
        return False


def _is_there(camera: Path, K: Float[np.ndarray, "*frame 3 3"]) -> bool:
    try:
        return camera.is_file() and np.array_equal(Npz(camera)["K"], K)
    except RefusedError:
        return False
