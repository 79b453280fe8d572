"""Turns recordings of a data set into what `closefit batch` takes: a video and a camera file."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit import video
from closefit.benchmark.sequences import Recording
from closefit.boundary.arrays import Npz
from closefit.boundary.refusals import RefusedError
from closefit.storage.artifacts import atomic_write


def write_footage(recording: Recording, clip: Path, camera: Path) -> None:
    """Write the video and the camera of a recording, unless they are there.

    Raises:
        RefusedError: A picture cannot be read.
        OutputError: The files cannot be written.
    """
    K = recording.K.astype(np.float64)
    if not _is_there(camera, K):  # a file with another time would have the clip done again
        with atomic_write(camera) as file:
            np.savez(file, allow_pickle=False, K=K)
    if not clip.is_file():
        video.write(clip, recording.pictures(), recording.fps)


def _is_there(camera: Path, K: Float[np.ndarray, "*frame 3 3"]) -> bool:
    try:
        return camera.is_file() and np.array_equal(Npz(camera)["K"], K)
    except RefusedError:
        return False
