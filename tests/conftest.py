"""What every test shares: fixed seeds, no network, few threads, the optional shared data."""

import os

os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
        "YOLO_VERBOSE": "false",
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
)
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the program does

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stubs import StubStages, stub_probe, write_video

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of clips, weights and motion beside the checkout; not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the folder of shared data is not beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - third parties draw from the global generator
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(False)  # a pipeline in another test may have set it


@pytest.fixture(autouse=True)
def _no_user_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEFIT_WEIGHTS", raising=False)


@pytest.fixture
def stub_stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StubStages:
    """Put stand-ins in the place of all stages, of the video reader and of the model files."""
    from closefit.models import weights
    from closefit.pipeline import runner
    from closefit.pipeline.declarations import STAGES

    stubs = StubStages()
    for name in STAGES:  # restored at the end
        monkeypatch.setitem(STAGES, name, STAGES[name])
    stubs.install()
    monkeypatch.setattr(runner, "probe", stub_probe)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = tmp_path / "models"
    models.mkdir()
    for model in weights.backend_models("yolo"):
        (models / weights.get(model).places[0]).write_bytes(b"a model")
    monkeypatch.setenv("CLOSEFIT_WEIGHTS", str(models))
    return stubs


@pytest.fixture
def stub_clip(tmp_path: Path) -> Path:
    """A file that the stand-in reader takes for a video."""
    return write_video(tmp_path / "clip.mp4")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is no CUDA device."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
