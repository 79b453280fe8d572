"""Where the focal length of a run is from, which counts most, and what a report states about it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from closefit.config import DEFAULT_FOV_DEG, CameraConfig
from closefit.exporters.doubts import doubts
from closefit.geometry.camera import focal_from_fov
from closefit.settings import build_config, flatten
from closefit.stages.inputs import focal_length, read_camera
from tests.samples import make_video_info

PLAIN = make_video_info()
OF_A_PHONE = replace(PLAIN, focal_px=80.0)
SIZE_WH = PLAIN.width, PLAIN.height


@pytest.mark.parametrize(
    ("given", "video", "expected"),
    [
        ({"focal_px": 70.0, "fov_deg": 40.0}, OF_A_PHONE, (70.0, "--focal")),
        ({"fov_deg": 40.0}, OF_A_PHONE, (focal_from_fov(*SIZE_WH, 40.0), "--fov")),
        ({}, OF_A_PHONE, (80.0, "video")),
        ({}, PLAIN, (focal_from_fov(*SIZE_WH, DEFAULT_FOV_DEG), "assumed")),
    ],
)
def test_what_is_given_counts_more_than_what_the_video_states(
    given: dict[str, float], video: Any, expected: tuple[float, str]
) -> None:
    camera = CameraConfig(**given)
    assert focal_length(camera, video) == expected
    K = read_camera(camera, video, 3).K
    np.testing.assert_allclose(K[:, (0, 1), (0, 1)], expected[0], rtol=1e-6)


def test_only_what_is_guessed_is_a_doubt() -> None:
    def texts(origin: str, **figures: float) -> list[str]:
        run = {"camera": {"from": origin}, "quality": {"init": figures}}
        return [doubt.text for doubt in doubts(run) if "focal" in doubt.text]

    assert not any(texts(known) for known in ("--focal", "--fov", "video"))
    assert "assumed" in texts("assumed")[0]
    assert "estimated from the clip, to about 13 %" in texts("estimated", focal_log_sigma=0.13)[0]
    assert "%" not in texts("estimated")[0]


def test_what_an_older_version_assumed_is_not_taken_for_given() -> None:
    recorded = flatten(build_config()) | {"camera.fov_deg": DEFAULT_FOV_DEG}
    assert build_config(recorded=recorded).camera.fov_deg == DEFAULT_FOV_DEG
    del recorded["init.focal_search"]  # as before there was a search
    assert build_config(recorded=recorded).camera.fov_deg is None
    assert build_config(recorded=recorded | {"camera.fov_deg": 40.0}).camera.fov_deg == 40.0
