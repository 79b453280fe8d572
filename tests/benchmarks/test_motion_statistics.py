"""The nearest-neighbour test tells sets apart that differ, and no others."""

import numpy as np
import pytest

COUNT = 300


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 0.5), (8.0, 1.0)])
def test_sets_are_told_apart_as_far_as_they_differ(shift: float, expected: float) -> None:
    from motion_statistics import nearest_of_the_same

    rng = np.random.default_rng(0)
    one, other = rng.uniform(1.0, 2.0, (2, COUNT, 3))
    clips = np.arange(COUNT)
    assert nearest_of_the_same(one, other + shift, clips, clips) == pytest.approx(
        expected, abs=0.06
    )


def test_neighbours_of_the_own_clip_do_not_count() -> None:
    """Windows of one clip resemble each other in any set."""
    from motion_statistics import nearest_of_the_same

    rng = np.random.default_rng(1)
    middles = rng.uniform(1.0, 2.0, (2, COUNT // 10, 3))
    one, other = np.repeat(middles, 10, axis=1) + rng.normal(0.0, 1e-3, (2, COUNT, 3))
    clips = np.repeat(np.arange(COUNT // 10), 10)
    assert nearest_of_the_same(one, other, clips, clips) == pytest.approx(0.5, abs=0.15)
    assert nearest_of_the_same(one, other, np.arange(COUNT), np.arange(COUNT)) > 0.99
