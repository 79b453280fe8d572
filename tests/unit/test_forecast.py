"""What a run is expected to take."""

from dataclasses import replace

import pytest

from closefit.init import focal_search
from closefit.pipeline import forecast
from closefit.pipeline.runner import STAGE_NAMES
from closefit.settings import build_config
from tests.samples import make_video_info

CLIP = replace(make_video_info(), fps=30.0, num_frames=300, duration_s=10.0)


def expected_s(*assignments: str, stages=STAGE_NAMES, device: str = "cpu") -> float | None:
    return forecast.seconds(stages, build_config(assignments=assignments), CLIP, device)


def test_more_work_takes_longer() -> None:
    draft, short = ("preset=draft", "track.perception=lite"), "track.end_s=5"
    assert expected_s(*draft, short) < expected_s(*draft) < expected_s("track.perception=lite")
    assert expected_s(*draft, "optimize.passes=50") < expected_s(*draft)
    assert expected_s(*draft) < expected_s("preset=draft", "track.perception=yolo")
    assert expected_s(*draft, stages=("init",)) < expected_s(*draft)
    assert expected_s(stages=()) == 0.0


def test_a_slower_machine_takes_proportionally_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    once = expected_s("track.perception=lite")
    unit_s = forecast.unit_s()
    monkeypatch.setattr(forecast, "unit_s", lambda: 3 * unit_s)
    assert expected_s("track.perception=lite") == pytest.approx(3 * once)


def test_what_was_never_timed_has_no_forecast() -> None:
    assert expected_s("track.perception=lite", device="cuda") is None
    assert expected_s("track.perception=full") is None
    assert expected_s("track.perception=full", stages=("export",)) is not None


def test_the_length_is_that_of_the_chosen_part() -> None:
    chosen = build_config(assignments=["track.start_s=2", "track.end_s=4"])
    assert forecast.clip_frames(CLIP, chosen) == 60
    assert forecast.clip_frames(CLIP, build_config(assignments=["track.end_s=99"])) == 300


def test_the_search_for_the_focal_length_is_counted_where_it_happens() -> None:
    assert len(focal_search.FIELDS_DEG) * focal_search.STEPS == forecast.FOCAL_STEPS
    assert forecast.FOCAL_FRAMES == focal_search.MOST_FRAMES
    searched = expected_s(stages=("init",))
    known = expected_s("camera.fov_deg=60", stages=("init",))
    assert searched is not None
    assert known is not None
    assert searched > known
    assert expected_s("init.focal_search=false", stages=("init",)) == pytest.approx(known)


def test_moving_the_prior_takes_longer_and_happens_only_with_the_prior() -> None:
    default = expected_s(stages=("optimize",))
    direct = expected_s("optimize.motion=direct", stages=("optimize",))
    without = expected_s("init.prior=false", stages=("optimize",))
    assert default is not None
    assert direct is not None
    assert default > direct == pytest.approx(without)
