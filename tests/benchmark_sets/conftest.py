"""One clip of the built-in renderer with exact truth: the footage of every miniature data set."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.demo import make_clip
from tests.cli.conftest import invoke as invoke

FRAMES, SIZE_WH = 20, (160, 120)


@dataclass(frozen=True)
class Footage:
    """A rendered clip: pictures, detections, and truth in the camera's frame."""

    video: Path
    observations: Path
    truth_file: Path

    @cached_property
    def truth(self) -> dict[str, np.ndarray]:
        with np.load(self.truth_file, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        return list(video.frames(video.probe(self.video)))

    def observations_as(self, folder: Path, *names: str) -> Path:
        """A folder with the detections for sequences of these names."""
        folder.mkdir(exist_ok=True)
        for name in names:
            shutil.copyfile(self.observations, folder / f"{name}.npz")
        return folder


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    clip = make_clip(tmp_path_factory.mktemp("rendered"), frames=FRAMES, size=SIZE_WH)
    return Footage(clip.video, clip.observations, clip.truth)
