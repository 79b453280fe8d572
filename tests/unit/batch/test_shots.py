"""Pieces of long videos: hard cuts, and stretches with two people together."""

from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.batch.shots import GAP_S, MERGED_S, SAMPLE_S, Look, find_cuts, stretches
from closefit.batch.together import look_at


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


def moments(*runs: tuple[float, float], between: Look = "apart") -> list[tuple[float, Look]]:
    """Samples of a minute in which two people are near each other in these stretches."""
    times = np.arange(0.0, 60.0, SAMPLE_S)
    near = [any(start <= time <= end for start, end in runs) for time in times]
    return [
        (float(t), "near" if is_near else between) for t, is_near in zip(times, near, strict=True)
    ]


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


def test_two_who_are_seen_as_one_are_still_together() -> None:
    """Only between looks at both, not for ever, and not if one of them has gone meanwhile."""
    back, late = 5.0 + MERGED_S - 2 * SAMPLE_S, 5.0 + MERGED_S + SAMPLE_S
    looks = moments((2.0, 5.0), (back, back + 2.0), between="one")
    assert len(stretches(looks, (0.0, 60.0), 1.0)) == 1
    assert stretches(looks, (0.0, 60.0), 1.0)[0][1] < back + 2.0 + 2 * SAMPLE_S
    assert len(stretches(moments((2.0, 5.0), (late, 19.0), between="one"), (0.0, 60.0), 1.0)) == 2
    alone = [(t, "apart" if 7.0 < t < 7.0 + SAMPLE_S else look) for t, look in looks]
    assert len(stretches(alone, (0.0, 60.0), 1.0)) == 2


PERSON = np.array([100.0, 100.0, 160.0, 300.0])
RIGHT = np.array([1.0, 0.0, 1.0, 0.0])


def test_near_means_near_and_of_one_size() -> None:
    child = np.array([110.0, 100.0, 130.0, 150.0])
    near = [[PERSON, PERSON + 50 * RIGHT], [PERSON + 900, PERSON, PERSON + 100 * RIGHT]]
    apart = [[PERSON], [PERSON, PERSON + 250 * RIGHT], [PERSON, child]]
    assert [look_at(np.stack(boxes), None)[0] for boxes in near] == ["near"] * 2
    assert [look_at(np.stack(boxes), None)[0] for boxes in apart] == ["apart"] * 3
    assert look_at(np.zeros((0, 4)), PERSON)[0] == "apart"


def test_one_box_in_the_place_of_two_may_be_both() -> None:
    """In a hug; of two side by side, one who is left is one."""
    _, hug = look_at(np.stack([PERSON, PERSON + 20 * RIGHT]), None)
    look, place = look_at((PERSON + 10 * RIGHT)[None], hug)
    assert look == "one"
    assert look_at((PERSON + 20 * RIGHT)[None], place)[0] == "one", "they may move"
    _, side_by_side = look_at(np.stack([PERSON, PERSON + 65 * RIGHT]), None)
    assert look_at(PERSON[None], side_by_side) == ("apart", None)
