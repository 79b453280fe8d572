"""Pieces of long videos: hard cuts, and stretches with two people together."""

from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.batch.shots import GAP_S, SAMPLE_S, find_cuts, stretches
from closefit.batch.together import are_together


def test_hard_cuts_are_found_where_they_are_and_nowhere_else(tmp_path: Path) -> None:
    """Moving stripes; from picture 12 and 30 on, others."""
    path, fps, cuts = tmp_path / "clip.mp4", 25.0, (12, 30)
    across = np.arange(160)

    def picture(number: int) -> np.ndarray:
        scene = sum(number >= cut for cut in cuts)
        phase = (across + 2 * number) / (10.0 + 15.0 * scene)
        row = 128 + 100 * np.sin(phase) * (1 if scene % 2 else -1)
        tint = np.array([[1.0, 0.5, 0.2], [0.2, 0.4, 1.0], [0.1, 1.0, 0.1]][scene])
        return np.tile(row[None, :, None] * tint, (120, 1, 1)).clip(0, 255).astype(np.uint8)

    video.write(path, (picture(number) for number in range(45)), fps)
    assert find_cuts(path) == pytest.approx([cut / fps for cut in cuts], abs=1e-3)


def moments(*runs: tuple[float, float]) -> list[tuple[float, bool]]:
    """Samples of a minute in which two people are together in these stretches."""
    times = np.arange(0.0, 60.0, SAMPLE_S)
    return [(float(t), any(start <= t <= end for start, end in runs)) for t in times]


def test_a_stretch_ends_at_a_cut_and_lasts_long_enough() -> None:
    together = moments((5.0, 12.0), (20.0, 20.5), (30.0, 33.0))
    first = stretches(together, (0.0, 10.0), 2.0)
    assert first == [(pytest.approx(5.0, abs=SAMPLE_S), 10.0)]
    assert stretches(together, (10.0, 60.0), 2.0) == [
        (10.0, pytest.approx(12.0, abs=SAMPLE_S)),
        (pytest.approx(30.0, abs=SAMPLE_S), pytest.approx(33.0, abs=SAMPLE_S)),
    ]
    assert len(stretches(together, (10.0, 60.0), 3.5)) == 0


def test_people_who_hide_each_other_for_a_moment_are_still_together() -> None:
    short, long = (5.0 + 0.5 * GAP_S, 5.0 + 2.0 * GAP_S)
    assert len(stretches(moments((2.0, 5.0), (short, 9.0)), (0.0, 60.0), 1.0)) == 1
    assert len(stretches(moments((2.0, 5.0), (long, 9.0)), (0.0, 60.0), 1.0)) == 2


def test_together_means_near_and_of_one_size() -> None:
    person = np.array([100.0, 100.0, 160.0, 300.0])
    right = np.array([1.0, 0.0, 1.0, 0.0])
    assert not are_together(person[None])
    assert not are_together(np.zeros((0, 4)))
    assert are_together(np.stack([person, person + 50.0 * right]))
    assert are_together(np.stack([person + 900.0, person, person + 100.0 * right]))
    assert not are_together(np.stack([person, person + 250.0 * right]))
    child = np.array([110.0, 100.0, 130.0, 150.0])
    assert not are_together(np.stack([person, child]))
