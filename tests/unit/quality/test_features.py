from dataclasses import replace

import numpy as np
import pytest

from closefit.quality.features import FEATURES, frame_features
from closefit.quality.silhouettes import compared_frames
from closefit.quality.windows import around_frames, of_clip
from tests.unit.quality.conftest import (
    FPS,
    FRAMES,
    Finished,
    make_motion,
    measured,
    perfect_track,
    played_backwards,
    with_people_exchanged,
)

COLUMN = {feature.name: number for number, feature in enumerate(FEATURES)}
OF_THE_SCENE = ("penetration", "apart", "slide", "jitter", "speed", "floor", "tilt", "stature")


def test_a_perfect_result_has_nothing_to_reproach(finished: Finished) -> None:
    found = of_clip(frame_features(finished.result, finished.body), FPS)
    for name in ("identity", "guessed", "filled", "unseen", "residual", "order"):
        assert found[COLUMN[name]] == pytest.approx(0.0, abs=1e-3), name
    for name in ("silhouette", "outline"):  # coarse pictures of fine masks
        assert found[COLUMN[name]] < 0.12, name


def test_the_order_of_the_people_does_not_matter(finished: Finished) -> None:
    usual = frame_features(finished.result, finished.body)
    exchanged = frame_features(with_people_exchanged(finished.result), finished.body)
    np.testing.assert_allclose(exchanged, usual, rtol=1e-6, atol=1e-9)


def test_a_clip_that_is_played_backwards_has_the_same_features(finished: Finished) -> None:
    usual = frame_features(finished.result, finished.body)
    backwards = frame_features(played_backwards(finished.result), finished.body)
    np.testing.assert_allclose(backwards[::-1], usual, rtol=1e-5, atol=1e-6)
    windows, backwards = around_frames(usual, FPS), around_frames(backwards, FPS)
    np.testing.assert_allclose(backwards[::-1], windows, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 5, 24, 31])
def test_the_same_frames_are_compared_backwards(frames: int) -> None:
    chosen = compared_frames(frames, 60.0)
    assert chosen[0]
    np.testing.assert_array_equal(chosen, chosen[::-1])


def test_where_the_people_stand_on_the_floor_does_not_matter(finished: Finished) -> None:
    motion = make_motion(finished.body, aside_m=0.25)
    moved = measured(finished.body, perfect_track(finished.body, motion), motion)
    columns = [COLUMN[name] for name in OF_THE_SCENE]
    usual = frame_features(finished.result, finished.body)[:, columns]
    here = frame_features(moved, finished.body)[:, columns]
    np.testing.assert_allclose(here, usual, rtol=1e-3, atol=2e-3)


def test_without_masks_their_features_are_unknown_and_the_others_are_not(
    finished: Finished,
) -> None:
    track = finished.result.track
    none = np.zeros(0, np.uint8)
    blind = replace(
        track,
        union_mask_bytes=none,
        union_mask_ends=np.zeros_like(track.union_mask_ends),
        person_mask_bytes=none,
        person_mask_ends=np.zeros_like(track.person_mask_ends),
    )
    found = frame_features(finished.again(track=blind), finished.body)
    unknown = [name for name, number in COLUMN.items() if np.isnan(found[:, number]).any()]
    assert unknown == ["silhouette", "outline", "order"]


def test_every_window_lies_in_the_clip_and_a_short_clip_is_one_window() -> None:
    features = np.arange(FRAMES, dtype=float)[:, None] * np.ones(len(FEATURES))
    windows = around_frames(features, FPS)
    assert windows.shape == features.shape
    np.testing.assert_allclose(windows[:, 0].min() + windows[:, 0].max(), FRAMES - 1)
    short = around_frames(features[:9], FPS)
    np.testing.assert_allclose(short, np.full_like(short, 4.0))
    np.testing.assert_allclose(of_clip(features[:9], FPS), 4.0)


def test_what_happens_once_counts_as_much_in_a_long_clip() -> None:
    features = np.zeros((300, len(FEATURES)))
    features[100:117] = 1.0
    found = of_clip(features, FPS)
    for feature, figure in zip(FEATURES, found, strict=True):
        assert figure == pytest.approx(1.0 if feature.over == "worst" else 17 / 300)


def test_unknown_frames_are_left_out_of_means() -> None:
    features = np.ones((40, len(FEATURES)))
    features[::2] = np.nan
    assert np.isfinite(around_frames(features, FPS)).all()
    np.testing.assert_allclose(of_clip(features, FPS), 1.0)
    features[:] = np.nan
    assert np.isnan(of_clip(features, FPS)).all()
