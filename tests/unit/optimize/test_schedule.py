"""Laws of the plan of an optimisation."""

from collections import Counter

import numpy as np
import pytest

from closefit.optimize.schedule import plan_minibatches


def _plan(num_frames: int, **changes: int) -> list:
    settings = {"warmup_passes": 0, "passes": 3, "window": 64, "per_step": 16, "seed": 0} | changes
    return plan_minibatches(np.zeros(num_frames), **settings)


@pytest.mark.parametrize("num_frames", [1, 2, 15, 16, 17, 64, 65, 100, 1000])
def test_every_pass_renders_every_frame_once(num_frames: int) -> None:
    seen = Counter(
        minibatch.start + frame for minibatch in _plan(num_frames) for frame in minibatch.rendered
    )
    assert seen == Counter({frame: 3 for frame in range(num_frames)})


@pytest.mark.parametrize("num_frames", [17, 100, 1000])
def test_a_step_costs_the_same_however_long_the_clip(num_frames: int) -> None:
    for minibatch in _plan(num_frames):
        assert minibatch.stop - minibatch.start <= 64 + 16
        assert 0 < len(minibatch.rendered) <= 16
        assert all(0 <= frame < minibatch.stop - minibatch.start for frame in minibatch.rendered)


def test_number_of_steps_is_linear_in_the_length() -> None:
    assert len(_plan(1024)) == pytest.approx(4 * len(_plan(256)), rel=0.15)


def test_windows_have_no_fixed_seams() -> None:
    starts = {minibatch.start for minibatch in _plan(500, passes=20)}
    assert len(starts) > 40


@pytest.mark.parametrize("num_frames", [65, 100, 1000])
def test_no_acceleration_falls_between_two_windows(num_frames: int) -> None:
    """Any three frames in a row are in the motion terms of a step of every pass."""
    counted = np.zeros(num_frames - 2)
    for first, last in {
        (minibatch.start, minibatch.stop) for minibatch in _plan(num_frames, passes=1)
    }:
        counted[first : last - 2] += 1
    assert counted.min() >= 1


def test_same_seed_same_plan() -> None:
    assert _plan(200) == _plan(200)
    assert _plan(200) != _plan(200, seed=1)


def test_warmup_starts_with_frames_in_which_people_are_apart() -> None:
    overlap = np.linspace(0.0, 1.0, 60)
    plan = plan_minibatches(overlap, warmup_passes=4, passes=1, window=64, per_step=16, seed=0)
    first = [minibatch for minibatch in plan if minibatch.phase == "appearance"][:4]
    assert max(minibatch.start + frame for minibatch in first for frame in minibatch.rendered) < 30


def test_progress_runs_from_zero_towards_one() -> None:
    progress = [minibatch.progress for minibatch in _plan(100, warmup_passes=2)]
    assert progress[0] == 0.0
    assert progress == sorted(progress)
    assert progress[-1] < 1.0
