import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality.fitting import Figures, fit
from benchmarks.quality.publishing import write_model
from closefit.errors import WeightsDamagedError
from closefit.quality.features import FEATURES, Result, frame_features
from closefit.quality.model import MODEL, probability, read_model, shipped_model
from closefit.quality.score import LEAST_COST, good_frames, judge, quality_of
from closefit.records import Track
from tests.unit.quality.conftest import (
    FPS,
    FRAMES,
    Finished,
    played_backwards,
    with_people_exchanged,
)

STRENGTHS = (0.0, 0.2, 0.4, 0.7, 1.0)


def jittered(track: Track, strength: float) -> Track:
    noise = np.random.default_rng(0).normal(size=track.keypoints[..., :2].shape)
    keypoints = track.keypoints.copy()
    keypoints[..., :2] += (20.0 * strength * noise).astype(np.float32)
    return replace(track, keypoints=keypoints)


def with_a_person_gone(track: Track, strength: float) -> Track:
    gone = np.zeros_like(track.seen)
    gone[: round(0.9 * strength * FRAMES), 1] = True
    keypoints = np.where(gone[..., None, None], np.float32(0.0), track.keypoints)
    return replace(track, seen=track.seen & ~gone, keypoints=keypoints)


def with_keypoints_gone(track: Track, strength: float) -> Track:
    keypoints = track.keypoints.copy()
    keypoints[:, 0, 17 - round(10 * strength) :] = 0.0
    return replace(track, keypoints=keypoints)


def with_doubtful_identities(track: Track, strength: float) -> Track:
    doubt = np.zeros_like(track.identity_confidence)
    doubt[:, 0] = 0.5 * strength
    return replace(track, identity_confidence=track.identity_confidence - doubt)


def with_people_swapped(track: Track, strength: float) -> Track:
    keypoints = track.keypoints.copy()
    swapped = slice(FRAMES - round(0.9 * strength * FRAMES), FRAMES)
    keypoints[swapped] = keypoints[swapped, ::-1]
    return replace(track, keypoints=keypoints)


DAMAGES: tuple[Callable[[Track, float], Track], ...] = (
    jittered,
    with_a_person_gone,
    with_keypoints_gone,
    with_doubtful_identities,
    with_people_swapped,
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_more_damage_never_raises_the_score(
    finished: Finished, damage: Callable[[Track, float], Track]
) -> None:
    def score(strength: float) -> float:
        track = damage(finished.result.track, strength)
        return judge(replace(finished.result, track=track), finished.body).score

    scores = [score(strength) for strength in STRENGTHS]
    assert all(low <= high + 1e-9 for high, low in pairwise(scores)), scores


def test_bodies_that_stand_in_the_wrong_order_have_a_lower_score(finished: Finished) -> None:
    motion = finished.result.motion
    depth = motion.joints[:, :, 0, 2]
    scale = (depth[:, ::-1] / depth)[..., None]
    step = (scale - 1.0) * motion.joints[:, :, 0]
    wrong = replace(motion, transl=motion.transl + step, joints=motion.joints + step[:, :, None])
    found = finished.again(motion=wrong)
    assert np.nanmax(found.silhouettes.contradicted) > 0.05
    assert np.nanmax(finished.result.silhouettes.contradicted) < 0.02
    assert judge(found, finished.body).score <= judge(finished.result, finished.body).score


def test_a_worse_figure_never_raises_the_score_of_anything() -> None:
    rng = np.random.default_rng(3)
    bends = np.array([feature.bend for feature in FEATURES])
    features = rng.exponential(size=(FRAMES, len(FEATURES))) * bends
    before = quality_of(features, FPS, shipped_model())
    for number in range(len(FEATURES)):
        for amount in (0.1, 1.0, 100.0):
            worse = features.copy()
            worse[rng.random(FRAMES) < 0.5, number] += amount * bends[number]
            after = quality_of(worse, FPS, shipped_model())
            assert after.score <= before.score + 1e-12
            assert (after.frames <= before.frames + 1e-12).all()


@pytest.mark.parametrize("change", [with_people_exchanged, played_backwards])
def test_neither_the_order_of_people_nor_of_time_matters(
    finished: Finished, change: Callable[[Result], Result]
) -> None:
    usual, other = (
        judge(result, finished.body) for result in (finished.result, change(finished.result))
    )
    assert other.score == pytest.approx(usual.score, abs=1e-6)
    frames = other.frames[::-1] if change is played_backwards else other.frames
    np.testing.assert_allclose(frames, usual.frames, atol=1e-6)


def test_scores_are_probabilities_and_every_frame_has_one(finished: Finished) -> None:
    found = judge(finished.result, finished.body)
    assert 0.0 <= found.score <= 1.0
    assert found.frames.shape == (FRAMES,)
    assert ((found.frames >= 0.0) & (found.frames <= 1.0)).all()
    wild = np.full((3, len(FEATURES)), 1e30)
    wild[1] = np.nan
    assert np.isfinite(quality_of(wild, FPS, shipped_model()).frames).all()


def test_only_the_frames_about_a_damage_have_a_lower_score(finished: Finished) -> None:
    features = frame_features(finished.result, finished.body)
    bad = features.copy()
    bad[:8] *= 20.0
    bad[:8] += 1.0
    usual, spoilt = (quality_of(f, FPS, shipped_model()) for f in (features, bad))
    assert spoilt.frames[0] < usual.frames[0]
    np.testing.assert_allclose(spoilt.frames[-8:], usual.frames[-8:])


def test_a_bad_result_says_why_with_figures_and_a_diverged_one_says_so_first(
    finished: Finished,
) -> None:
    features = frame_features(finished.result, finished.body)
    bad = quality_of(20.0 * features + 1.0, FPS, shipped_model())
    assert bad.reasons
    assert all("; usual: " in reason for reason in bad.reasons)
    diverged = judge(finished.result, finished.body, diverged=True)
    assert diverged.reasons[0] == "the optimisation diverged"
    assert diverged.score < judge(finished.result, finished.body).score


def test_reasons_are_what_costs_most() -> None:
    model = shipped_model()
    features = np.tile(model.usual, (20, 1))
    assert quality_of(features, FPS, model).reasons == ()
    worst = int(model.weight.argmin())
    features[:, worst] = 1e3
    costs = model.costs(features[0])
    assert costs.argmax() == worst
    assert costs[worst] > LEAST_COST
    start = FEATURES[worst].text.split("{}")[0]
    assert quality_of(features, FPS, model).reasons[0].startswith(start)


@pytest.mark.parametrize(
    ("scores", "good"),
    [
        ([0.9] * 30, (0, 29)),
        ([0.1] * 30, None),
        ([0.9] * 16 + [0.1] * 20 + [0.9] * 20, (36, 55)),
        ([0.9] * 10 + [0.1] * 50, None),
        ([0.9] * 5, (0, 4)),
    ],
)
def test_the_good_part_is_the_longest_stretch_of_good_frames(
    scores: list[float], good: tuple[int, int] | None
) -> None:
    assert good_frames(np.array(scores), FPS) == good


def test_a_stored_model_comes_back_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.exponential(size=(60, len(FEATURES)))
    features[rng.random(features.shape) < 0.1] = np.nan
    model = fit(features, features[:, 4] / 0.7, np.zeros(60, bool), ["a"] * 60).model
    write_model(model, "a test", tmp_path / "model.json")
    again = read_model(tmp_path / "model.json")
    np.testing.assert_allclose(again.log_odds(features), model.log_odds(features), atol=1e-3)


def damaged(change: Callable[[dict[str, Any]], object]) -> str:
    content = json.loads(MODEL.read_text())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        MODEL.read_text()[:-40],
        "[]",
        damaged(lambda c: c.update(version=99)),
        damaged(lambda c: c.update(format="another")),
        damaged(lambda c: c["features"].pop("jitter")),
        damaged(lambda c: c["features"].update(another=c["features"]["jitter"])),
        damaged(lambda c: c["features"]["jitter"].update(weight=0.5)),
        damaged(lambda c: c["features"]["jitter"].update(spread=0.0)),
        damaged(lambda c: c["features"]["jitter"].update(mean="much")),
        damaged(lambda c: c.update(intercept=None)),
        MODEL.read_text().replace('"intercept": ', '"intercept": NaN, "was": '),
    ],
)
def test_a_damaged_model_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(WeightsDamagedError, match="cannot be used"):
        read_model(path)


def test_fitting_finds_what_decides_and_is_calibrated() -> None:
    rng = np.random.default_rng(1)
    features = rng.exponential(size=(1500, len(FEATURES)))
    severity = np.exp(rng.logistic(size=1500) * 0.2) * (0.3 + np.log1p(3.0 * features[:, 4]))
    kept = severity < 1.0
    cheap = rng.random(1500) < 0.5
    model = fit(features[:1000], severity[:1000], cheap[:1000], ["a", "b"] * 500).model
    assert model.weight.argmin() == 4
    assert (model.weight <= 0).all()
    figures = Figures.of(probability(model.log_odds(features[1000:])), kept[1000:])
    assert figures.calibration_error < 0.08
    assert figures.area > 0.8
