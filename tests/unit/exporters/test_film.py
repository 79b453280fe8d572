"""The video of the page."""

from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.exporters.report.film import film_options

SECONDS = 10


@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_ten_seconds_fit_into_the_page_at_any_rate(tmp_path: Path, fps: float) -> None:
    """Even of noise, which nothing compresses."""
    generator, frames = np.random.default_rng(0), round(SECONDS * fps)
    noise = (generator.integers(0, 256, (180, 240, 3), np.uint8) for _ in range(frames))
    film = tmp_path / "film.mp4"
    video.write(tmp_path / "overlay.mp4", noise, fps, also=(film, film_options(frames, fps)))
    assert video.probe(film).num_frames == frames
    assert 1_500_000 < film.stat().st_size < 2_300_000
