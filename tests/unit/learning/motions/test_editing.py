import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from closefit.body.model import Body
from closefit.body.skeleton import MIRROR
from closefit.errors import InputError
from closefit.learning.motions.composing import DISTANCES_M, compose_pairs
from closefit.learning.motions.editing import join_people, mirror, resample, retime
from tests.unit.learning.motions.conftest import MakeMotion, joints_of


def test_resampled_rotations_follow_the_shortest_turn(make_motion: MakeMotion) -> None:
    motion = make_motion(people=1, frames=31)
    result = resample(motion, 50.0)
    times = np.arange(len(result.pelvis_m)) / 50.0
    reference = Slerp(np.arange(31) / 30.0, Rotation.from_matrix(motion.rotations[:, 0, 5]))(times)
    np.testing.assert_allclose(result.rotations[:, 0, 5], reference.as_matrix(), atol=1e-5)
    assert float(result.fps) == 50.0
    assert times[-1] <= 1.0


def test_up_and_down_again_is_where_it_was(make_motion: MakeMotion) -> None:
    motion = make_motion()
    back = resample(resample(motion, 120.0), 30.0)
    np.testing.assert_allclose(back.rotations, motion.rotations, atol=1e-5)
    np.testing.assert_allclose(back.pelvis_m, motion.pelvis_m, atol=1e-6)


def test_twice_as_fast_takes_every_second_frame(make_motion: MakeMotion) -> None:
    motion = make_motion(frames=41)
    fast = retime(motion, 2.0)
    assert float(fast.fps) == 30.0
    np.testing.assert_allclose(fast.pelvis_m, motion.pelvis_m[::2], atol=1e-6)


def test_mirror_image_of_the_joints(make_motion: MakeMotion, body: Body) -> None:
    motion = make_motion()
    reflected = joints_of(motion, body)[:, :, MIRROR] * np.array([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(joints_of(mirror(motion), body), reflected, atol=2e-3)
    twice = mirror(mirror(motion))
    np.testing.assert_array_equal(twice.rotations, motion.rotations)
    assert np.linalg.det(mirror(motion).rotations).min() > 0.99


def test_people_at_different_rates_are_not_joined(make_motion: MakeMotion) -> None:
    with pytest.raises(ValueError, match="one frame rate"):
        join_people(make_motion(people=1), make_motion(people=1, fps=60.0))


def test_composed_people_are_near_and_do_not_overlap(make_motion: MakeMotion, body: Body) -> None:
    singles = [make_motion(people=1, frames=100, seed=seed) for seed in range(6)]
    pairs = list(compose_pairs(singles, 3, body))
    assert len(pairs) >= 4
    for pair in pairs:
        joints = joints_of(pair, body)
        gaps = np.linalg.norm(joints[:, 0, :, None] - joints[:, 1, None], axis=-1)
        assert gaps.min() > 0.15
        flat = np.linalg.norm(np.diff(pair.pelvis_m[..., [0, 2]], axis=1)[:, 0], axis=-1)
        assert flat.min() < DISTANCES_M[1]
        assert flat.max() > DISTANCES_M[0]


def test_composing_moves_people_as_wholes_on_the_floor(make_motion: MakeMotion, body: Body) -> None:
    single = make_motion(people=1, frames=60, seed=1)
    pair = next(compose_pairs([single, make_motion(people=1, frames=60, seed=2)], 0, body))
    np.testing.assert_array_equal(pair.rotations[:, 0, 1:], single.rotations[:, 0, 1:])
    np.testing.assert_allclose(pair.pelvis_m[:, 0, 1], single.pelvis_m[:, 0, 1], atol=1e-6)
    turn = pair.rotations[:, 0, 0] @ single.rotations[:, 0, 0].swapaxes(-1, -2)
    np.testing.assert_allclose(turn, np.broadcast_to(turn[0], turn.shape), atol=1e-5)
    np.testing.assert_allclose(turn[0] @ [0, 1, 0], [0, 1, 0], atol=1e-6)


def test_a_seed_gives_the_same_pairs(make_motion: MakeMotion, body: Body) -> None:
    singles = [make_motion(people=1, frames=60, seed=seed) for seed in range(3)]
    first, again, other = (list(compose_pairs(singles, seed, body)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0].pelvis_m, again[0].pelvis_m)
    assert not np.allclose(first[0].pelvis_m, other[0].pelvis_m)


def test_pairs_are_not_composed_of_pairs(make_motion: MakeMotion, body: Body) -> None:
    with pytest.raises(InputError, match="`noise0` has 2 people"):
        list(compose_pairs([make_motion()], 0, body))


def test_what_is_too_short_is_refused(make_motion: MakeMotion, body: Body) -> None:
    short = dataclasses.replace(make_motion(people=1, frames=8), name=np.array("blink"))
    with pytest.raises(InputError, match="`blink` is too short"):
        list(compose_pairs([short], 0, body))
