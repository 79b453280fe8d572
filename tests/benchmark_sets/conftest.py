"""What the miniature data sets show: cheap for the readers, rendered for a whole run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.body.model import Body
from closefit.imports.smpl import import_smpl
from tests.batch_folder import WEIGHTS
from tests.benchmark_sets.worlds import pixels
from tests.cli.conftest import invoke as invoke
from tests.clips import numbered_picture
from tests.demo_clips import demo_clip
from tests.smpl_files import random_smpl
from tests.walking import walking_motion

FRAMES, SIZE_WH = 20, (160, 120)


@dataclass(frozen=True)
class Footage:
    """Pictures, and the truth in the camera's frame: `K`, `joints3d`, `joints2d`."""

    pictures: list[np.ndarray]
    truth: dict[str, np.ndarray]
    observations: Path | None = None

    def observations_as(self, folder: Path, name: str, fps: float) -> Path:
        """A folder with the detections for a sequence of this name and rate."""
        assert self.observations is not None
        folder.mkdir()
        with np.load(self.observations, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        assert "fps" in arrays
        np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays | {"fps": np.array(fps)})
        return folder


@pytest.fixture(scope="session")
def footage() -> Footage:
    """Two bodies that move, and pictures that show their own numbers."""
    body = Body.load(WEIGHTS / "closefit_body.npz")
    joints = walking_motion(body, FRAMES, SIZE_WH).joints
    K = np.array([[150.0, 0.0, 80.0], [0.0, 150.0, 60.0], [0.0, 0.0, 1.0]])
    truth = {"K": K, "joints3d": joints, "joints2d": pixels(joints, K)}
    return Footage([numbered_picture(number, *SIZE_WH) for number in range(FRAMES)], truth)


@pytest.fixture(scope="session")
def smpl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a body of SMPL's size."""
    folder = tmp_path_factory.mktemp("smpl")
    np.savez(folder / "SMPL_NEUTRAL.npz", **random_smpl())
    import_smpl(folder / "SMPL_NEUTRAL.npz", folder / "smpl.npz")
    return folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """A clip of the built-in renderer with its exact truth."""
    clip = demo_clip(tmp_path_factory.mktemp("rendered"), FRAMES, SIZE_WH)
    pictures = list(video.frames(video.probe(clip.video)))
    with np.load(clip.truth, allow_pickle=False) as file:
        truth = {name: file[name] for name in ("K", "joints3d", "joints2d")}
    return Footage(pictures, truth, clip.observations)
