from pathlib import Path

import numpy as np
import pytest
import torch

from closefit.detectors.vitpose import VitPoseEstimator
from closefit.errors import WeightsDamagedError
from tests.unit.detectors.snapshots import save_vitpose

BOXES = np.array([[10.0, 10.0, 50.0, 90.0], [60.0, 20.0, 110.0, 100.0]])
IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)


@pytest.fixture(scope="module", params=[1, 3], ids=["one expert", "three experts"])
def estimator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    torch.manual_seed(0)
    return VitPoseEstimator(save_vitpose(tmp_path_factory.mktemp("vit"), request.param), "cpu")


def test_shapes_and_ranges(estimator: VitPoseEstimator) -> None:
    keypoints, features = estimator.estimate(IMAGE, BOXES)
    assert keypoints.shape == (2, 17, 3)
    assert features.shape == (2, estimator.feature_size)
    assert ((keypoints[..., 2] >= 0) & (keypoints[..., 2] <= 1)).all()
    assert np.isfinite(features).all()


def test_people_are_independent_of_each_other(estimator: VitPoseEstimator) -> None:
    both, features = estimator.estimate(IMAGE, BOXES)
    for person in range(2):
        alone, feature = estimator.estimate(IMAGE, BOXES[[person]])
        np.testing.assert_allclose(alone[0], both[person], atol=1e-3)
        np.testing.assert_allclose(feature[0], features[person], atol=1e-5)


def test_nobody(estimator: VitPoseEstimator) -> None:
    keypoints, features = estimator.estimate(IMAGE, np.zeros((0, 4)))
    assert keypoints.shape == (0, 17, 3)
    assert features.shape == (0, estimator.feature_size)


def test_a_heat_map_peak_is_found_where_it_is(
    estimator: VitPoseEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peak in the middle of the map is the middle of the box, in corner-based pixels."""

    def middle(hidden: torch.Tensor, **_: object) -> torch.Tensor:
        batch, _, height, width = hidden.shape
        rows = torch.arange(4 * height)[:, None] - (4 * height - 1) / 2
        columns = torch.arange(4 * width)[None] - (4 * width - 1) / 2
        return torch.exp(-(rows**2 + columns**2) / 8).expand(batch, 17, -1, -1)

    monkeypatch.setattr(estimator._model.head, "forward", middle)
    keypoints, _ = estimator.estimate(IMAGE, BOXES)
    centres = (BOXES[:, :2] + BOXES[:, 2:]) / 2
    np.testing.assert_allclose(keypoints[..., :2] - centres[:, None], 0.0, atol=0.1)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsDamagedError, match="cannot be loaded"):
        VitPoseEstimator(tmp_path, "cpu")
