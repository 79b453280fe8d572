"""How much keypoints weigh in `init`, by who detected them."""

import pytest

from closefit.config import Config
from closefit.settings import build_config
from closefit.stages.init import _prior_settings


def settings_of(*assignments: str) -> Config:
    return build_config(assignments=list(assignments))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("perception", ["auto", "yolo", "lite", "full"])
def test_a_detector_weighs_less_than_imported_keypoints(perception: str, device: str) -> None:
    found = settings_of(f"track.perception={perception}")
    given = settings_of("track.observations=keypoints.npz")
    detected, imported = _prior_settings(found, device), _prior_settings(given, device)
    assert detected.keypoints < imported.keypoints
    assert detected.trust == imported.trust
