"""Laws of the probability of contacts."""

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from closefit.body.skeleton import NUM_JOINTS, PART_NAMES, PARTS
from closefit.evaluation.metrics import part_contact_score
from closefit.exporters.contact_file import implausible_contacts
from closefit.exporters.contacts import PLAUSIBLE_DEPTH_MM, Contacts
from closefit.exporters.doubts import doubts
from closefit.geometry.contact import CONTACT_M
from closefit.quality.contact_probability import agreement, judged

FRAMES, NUM_PARTS = 12, len(PART_NAMES)
HAND, TORSO = PART_NAMES.index("left hand"), PART_NAMES.index("torso")


def near(distance_m: float, depth_mm: float = 0.0) -> Contacts:
    """A hand of person 0 at this distance from the torso of person 1 in all frames."""
    near_m = np.full((FRAMES, NUM_PARTS, NUM_PARTS), np.inf)
    near_m[:, HAND, TORSO] = distance_m
    depths = np.zeros_like(near_m)
    depths[:, HAND, TORSO] = depth_mm
    touching = near_m < CONTACT_M
    return Contacts(
        gap_m=near_m.min((1, 2)),
        mean_depth_mm=np.zeros(FRAMES),
        max_depth_mm=depths.max((1, 2)),
        distance_m=np.where(touching, near_m, np.inf),
        near_m=near_m,
        depth_mm=depths,
        place_m=np.where(touching[..., None], np.zeros(3, np.float32), np.float32(np.nan)),
        probability=touching * 1.0,
    )


def moving(steps_m: tuple[float, float] = (0.0, 0.0), confidence: float = 0.7) -> Any:
    """Two people who move evenly along one axis, so much a frame each."""
    joints = np.zeros((FRAMES, 2, NUM_JOINTS, 3))
    joints[..., 0] = np.arange(FRAMES)[:, None, None] * np.array(steps_m)[:, None]
    return SimpleNamespace(joints=joints, confidence=np.full((FRAMES, 2), confidence))


def told(found: Contacts, motion: Any) -> Contacts:
    return judged(found, motion.joints, motion.confidence)


def of_pair(found: Contacts, motion: Any) -> float:
    return float(told(found, motion).probability[FRAMES // 2, HAND, TORSO])


def test_the_probability_falls_with_distance() -> None:
    values = [of_pair(near(distance), moving()) for distance in (0.0, 0.003, 0.009, 0.03, 0.07)]
    assert all(nearer > farther for nearer, farther in itertools.pairwise(values))
    assert 0.0 < values[-1] < 0.5 * values[0]


def test_the_probability_rises_with_agreement_of_motion() -> None:
    together, apart = moving((0.05, 0.05)), moving((0.05, -0.05))
    assert agreement(together.joints)[5, HAND, TORSO] == pytest.approx(1.0)
    assert agreement(apart.joints)[5, HAND, TORSO] < 0.1
    assert of_pair(near(0.0), together) > of_pair(near(0.0), apart)


def test_poses_that_are_known_less_make_a_contact_less_probable() -> None:
    sure, unsure = moving(confidence=0.9), moving(confidence=0.1)
    assert of_pair(near(0.0), sure) > of_pair(near(0.0), unsure)


def test_depth_beyond_what_bodies_can_have_is_named_and_no_contact() -> None:
    deep = told(near(0.0, 77.0), moving())
    assert not np.isfinite(deep.distance_m).any()
    assert (deep.probability[:, HAND, TORSO] == 0.0).all()
    (pair,) = implausible_contacts(deep)
    assert (pair["person_0"], pair["person_1"]) == ("left hand", "torso")
    assert pair["frames"] == [(0, FRAMES - 1)]
    assert pair["max_penetration_mm"] == 77.0
    (doubt,) = doubts({"quality": {"export": {"implausible": [pair]}}})
    assert "left hand of person 0 and torso of person 1" in doubt.text
    assert "77 mm" in doubt.text
    assert "0-11" in doubt.text
    shallow = told(near(0.0, PLAUSIBLE_DEPTH_MM - 1.0), moving())
    assert np.isfinite(shallow.distance_m[:, HAND, TORSO]).all()
    assert implausible_contacts(shallow) == []


@pytest.mark.parametrize("depth_mm", [0.0, 10.0, 77.0])
def test_two_people_touch_whichever_parts_are_reported(depth_mm: float) -> None:
    found = near(0.0, depth_mm)
    np.testing.assert_array_equal(told(found, moving()).touching, found.touching)
    assert found.touching.all()
    assert not near(0.03).touching.any()


def test_the_other_person_first_is_the_same_transposed() -> None:
    rng = np.random.default_rng(0)
    shape = (FRAMES, NUM_PARTS, NUM_PARTS)
    near_m = rng.uniform(0.0, 0.1, shape)
    touching = near_m < CONTACT_M
    depth_mm = np.where(touching, rng.uniform(0.0, 60.0, shape), 0.0)
    found = replace(
        near(0.0),
        near_m=near_m,
        distance_m=np.where(touching, near_m, np.inf),
        depth_mm=depth_mm,
        place_m=np.zeros((*shape, 3), np.float32),
    )
    crossed = replace(
        found,
        **{
            name: getattr(found, name).swapaxes(1, 2)
            for name in ("near_m", "distance_m", "depth_mm", "place_m", "probability")
        },
    )
    joints = rng.normal(size=(FRAMES, 2, NUM_JOINTS, 3))
    confidence = rng.uniform(size=(FRAMES, 2))
    straight = judged(found, joints, confidence)
    turned = judged(crossed, joints[:, ::-1], confidence[:, ::-1])
    for name in ("probability", "distance_m"):
        np.testing.assert_allclose(getattr(turned, name), getattr(straight, name).swapaxes(1, 2))


def test_plausible_contacts_are_those_that_touch() -> None:
    found = near(0.005)
    kept = np.isfinite(told(found, moving()).distance_m)
    score = part_contact_score(kept, np.isfinite(found.distance_m), np.ones(FRAMES, bool))
    assert score.precision == score.recall == 1.0


def test_a_clip_of_one_frame_is_judged() -> None:
    assert agreement(np.zeros((1, 2, NUM_JOINTS, 3))).shape == (1, len(PARTS), len(PARTS))
