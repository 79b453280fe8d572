"""Laws and hand-computed cases of the measures."""

import math

import numpy as np
import pytest
import roma
import torch

from closefit.evaluation import metrics


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A random predicted and true motion of two people: 6 frames, 14 points, about 1 m wide."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(6, 2, 14, 3)) * 0.3 + np.array([0.0, 0.0, 3.0])
    return truth + rng.normal(size=truth.shape) * 0.05, truth


@pytest.fixture
def valid() -> np.ndarray:
    """All person-frames count."""
    return np.ones((6, 2), dtype=bool)


POINT_MEASURES = (
    metrics.mpjpe,
    metrics.pa_mpjpe,
    metrics.pair_pa_mpjpe,
    metrics.interaction_error,
    metrics.acceleration_error,
)


@pytest.mark.parametrize("measure", POINT_MEASURES)
def test_no_error_at_the_truth(measure, pair, valid):
    """The truth against itself scores zero."""
    assert measure(pair[1], pair[1], valid) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("measure", POINT_MEASURES)
def test_person_order_does_not_matter(measure, pair, valid):
    """Naming the people the other way round in both motions changes nothing."""
    predicted, truth = pair
    swapped = measure(predicted[:, ::-1], truth[:, ::-1], valid)
    assert swapped == pytest.approx(measure(predicted, truth, valid))


@pytest.mark.parametrize("measure", POINT_MEASURES)
def test_invalid_frames_do_not_count(measure, pair, valid):
    """Garbage in an invalid frame changes nothing against leaving the frame away."""
    predicted, truth = pair
    broken = predicted.copy()
    broken[5] = 1e6
    valid[5] = False
    assert measure(broken, truth, valid) == pytest.approx(
        measure(predicted[:5], truth[:5], valid[:5])
    )


@pytest.mark.parametrize("measure", POINT_MEASURES)
def test_nothing_valid_is_nan(measure, pair, valid):
    """A mean over nothing is not a number rather than zero."""
    assert math.isnan(measure(*pair, ~valid))


def test_mpjpe_by_hand(valid):
    """One of 14 joints 28 mm off in one of two people gives 28 / 14 / 2 = 1 mm."""
    truth = np.random.default_rng(1).normal(size=(6, 2, 14, 3))
    predicted = truth.copy()
    predicted[:, 1, 7, 0] += 0.028
    assert metrics.mpjpe(predicted, truth, valid) == pytest.approx(1.0)


def test_mpjpe_ignores_where_each_person_stands(pair, valid):
    """Each person has their own root, so moving one of them alone costs nothing."""
    predicted, truth = pair
    moved = predicted.copy()
    moved[:, 1] += np.array([0.3, -0.1, 1.0])
    assert metrics.mpjpe(moved, truth, valid) == pytest.approx(
        metrics.mpjpe(predicted, truth, valid)
    )


def test_mpjpe_hips_are_what_is_aligned(valid):
    """An error that all of the named hips share disappears."""
    truth = np.random.default_rng(1).normal(size=(6, 2, 14, 3))
    predicted = truth.copy()
    predicted[:, :, 2:4] += 0.1
    rest = metrics.mpjpe(predicted, truth, valid, hips=(2, 3))
    assert rest == pytest.approx(12 / 14 * 100 * math.sqrt(3))


def test_mpvpe_by_hand(valid):
    """All vertices 5 mm along z from the root's point of view."""
    truth = np.zeros((6, 2, 30, 3))
    root = np.zeros((6, 2, 3))
    predicted_root = root + np.array([0.0, 0.0, 1.0])
    predicted = truth + np.array([0.0, 0.0, 1.005])
    error = metrics.mpvpe(predicted, truth, predicted_root, root, valid)
    assert error == pytest.approx(5.0)


def _similarity(points: np.ndarray, seed: int) -> np.ndarray:
    """Rotate, scale and move a set of points."""
    rng = np.random.default_rng(seed)
    rotation = roma.random_rotmat(dtype=torch.float64).numpy()
    return rng.uniform(0.5, 2.0) * points @ rotation.T + rng.normal(size=3)


def test_pa_mpjpe_is_blind_to_similarities_per_person(pair, valid):
    """Each person of each frame may be rotated, scaled and moved on their own."""
    predicted, truth = pair
    moved = predicted.copy()
    for frame in range(6):
        for person in range(2):
            moved[frame, person] = _similarity(predicted[frame, person], 2 * frame + person)
    assert metrics.pa_mpjpe(moved, truth, valid) == pytest.approx(
        metrics.pa_mpjpe(predicted, truth, valid)
    )


def test_pa_mpjpe_sees_a_mirrored_person(pair, valid):
    """Reflections are not allowed: a mirror image is not the same pose."""
    truth = pair[1]
    mirrored = truth * np.array([-1.0, 1.0, 1.0])
    assert metrics.pa_mpjpe(mirrored, truth, valid) > 50.0


def test_pair_pa_mpjpe_is_blind_to_a_common_similarity_only(pair, valid):
    """Moving both together costs nothing, moving one of them away does."""
    predicted, truth = pair
    together = np.stack([_similarity(frame, i) for i, frame in enumerate(predicted)])
    error = metrics.pair_pa_mpjpe(predicted, truth, valid)
    assert metrics.pair_pa_mpjpe(together, truth, valid) == pytest.approx(error)
    apart = predicted.copy()
    apart[:, 1, :, 2] += 1.0
    assert metrics.pair_pa_mpjpe(apart, truth, valid) > error + 50.0


def test_similarity_align_beats_small_changes(pair):
    """The closed form is a minimum: no small further similarity lowers the squared error."""
    source, target = pair[0][:, 0], pair[1][:, 0]
    aligned = metrics.similarity_align(source, target)
    best = ((aligned - target) ** 2).sum()
    rng = np.random.default_rng(3)
    for _ in range(20):
        turn = roma.rotvec_to_rotmat(torch.from_numpy(rng.normal(size=3) * 0.02)).numpy()
        centre = aligned.mean(axis=1, keepdims=True)
        other = (1 + rng.normal() * 0.02) * (aligned - centre) @ turn.T + centre
        assert ((other + rng.normal(size=3) * 0.005 - target) ** 2).sum() >= best


def test_interaction_error_by_hand(valid):
    """Two people drawn out to points: 1 m apart in truth, 1.2 m in the prediction."""
    truth = np.zeros((6, 2, 14, 3))
    truth[:, 1, :, 0] = 1.0
    predicted = 1.2 * truth
    assert metrics.interaction_error(predicted, truth, valid) == pytest.approx(200.0)


def test_interaction_error_is_blind_to_rigid_motion_of_the_pair(pair, valid):
    """Only distances between people enter."""
    predicted, truth = pair
    rotation = roma.random_rotmat(dtype=torch.float64).numpy()
    moved = predicted @ rotation.T + np.array([0.5, 0.0, 2.0])
    assert metrics.interaction_error(moved, truth, valid) == pytest.approx(
        metrics.interaction_error(predicted, truth, valid)
    )


def test_acceleration_error_by_hand(valid):
    """Steady drift costs nothing; x = 1 mm t^2 has second difference 2 mm everywhere."""
    truth = np.zeros((6, 2, 14, 3))
    time = np.arange(6.0)[:, None, None]
    predicted = truth.copy()
    predicted[..., 0] = 0.1 * time
    assert metrics.acceleration_error(predicted, truth, valid) == pytest.approx(0.0, abs=1e-9)
    predicted[..., 0] += 0.001 * time**2
    assert metrics.acceleration_error(predicted, truth, valid) == pytest.approx(2.0)


def test_depth_order_by_hand():
    """Scored: overlap, over 5 cm apart in depth, truth agreeing with the image's order."""
    depth = np.array([[3.0, 2.8], [2.8, 3.0], [3.0, 2.96], [3.0, 2.8], [3.0, 2.8], [3.0, 2.8]])
    order = np.array([1, -1, 1, 0, -1, 1])
    truth = np.zeros((6, 2, 3))
    truth[..., 2] = depth
    predicted = truth.copy()
    predicted[1, :, 2] = [3.0, 2.9]
    predicted[2:5, :, 2] = [1.0, 2.0]
    valid = np.ones((6, 2), dtype=bool)
    result = metrics.depth_order_error(predicted, truth, order, valid)
    assert (result.wrong, result.scored) == (1, 3)
    assert result.wrong_share == pytest.approx(1 / 3)
    assert math.isnan(metrics.depth_order_error(predicted, truth, order, ~valid).wrong_share)


def test_contact_score_by_hand():
    """Two of three predicted frames are true, two of four true frames are predicted."""
    predicted = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    truth = np.array([0, 1, 1, 1, 1, 0], dtype=bool)
    score = metrics.contact_score(predicted, truth)
    assert score.precision == pytest.approx(2 / 3)
    assert score.recall == pytest.approx(2 / 4)


def test_contact_score_without_contact_is_nan():
    """Precision without predictions and recall without truth are undefined."""
    nothing, everything = np.zeros(3, dtype=bool), np.ones(3, dtype=bool)
    assert math.isnan(metrics.contact_score(nothing, everything).precision)
    assert metrics.contact_score(nothing, everything).recall == 0.0
    assert math.isnan(metrics.contact_score(everything, nothing).recall)


@pytest.mark.parametrize("people", [(0, 1), (1, 0)])
def test_assignment_finds_people_and_swapped_frames(people, valid):
    """One assignment for the clip; frames where the identities changed over are found."""
    truth = np.random.default_rng(4).normal(size=(6, 2, 14, 2)) * 20.0
    truth[:, 1] += 60.0
    predicted = truth[:, list(people)] + np.random.default_rng(5).normal(size=truth.shape)
    predicted[4] = predicted[4, ::-1]
    valid[5, 0] = False
    predicted[5] = predicted[5, ::-1]
    result = metrics.assign_people(predicted, truth, valid)
    assert result.people == people
    assert result.swapped.tolist() == [False] * 4 + [True, False]


def part_contacts(*places: tuple[int, int, int], frames: int = 20) -> np.ndarray:
    """Contacts at (frame, part of person 0, part of person 1)."""
    contacts = np.zeros((frames, 3, 3), dtype=bool)
    for place in places:
        contacts[place] = True
    return contacts


EVERY = np.ones(20, dtype=bool)


def test_part_contacts_are_right_within_the_tolerance() -> None:
    truth = part_contacts((10, 0, 1))
    for shift, expected in ((-3, 0.0), (-2, 1.0), (0, 1.0), (2, 1.0), (3, 0.0)):
        score = metrics.part_contact_score(part_contacts((10 + shift, 0, 1)), truth, EVERY)
        assert (score.precision, score.recall, score.f1) == (expected,) * 3


def test_the_same_contact_between_other_parts_is_wrong() -> None:
    """Person 0's part 0 at person 1's part 1 is not person 0's part 1 at person 1's part 0."""
    truth = part_contacts((10, 0, 1))
    score = metrics.part_contact_score(part_contacts((10, 1, 0)), truth, EVERY)
    assert (score.precision, score.recall, score.f1) == (0.0, 0.0, 0.0)


def test_part_contacts_by_hand() -> None:
    """One of two predicted is right, one of four true ones is found."""
    truth = part_contacts((0, 0, 0), (8, 1, 1), (12, 1, 1), (16, 2, 2))
    score = metrics.part_contact_score(part_contacts((1, 0, 0), (8, 2, 2)), truth, EVERY)
    assert score.precision == 0.5
    assert score.recall == 0.25
    assert score.f1 == pytest.approx(1 / 3)


def test_part_contacts_count_in_some_frames_only() -> None:
    truth = part_contacts((5, 0, 0), (15, 1, 1))
    predicted = part_contacts((5, 0, 0), (15, 2, 2))
    frames = np.arange(20) < 10
    assert metrics.part_contact_score(predicted, truth, frames).f1 == 1.0
    assert metrics.part_contact_score(predicted, truth, EVERY).f1 == 0.5


def test_part_contacts_of_swapped_people_are_the_transposed() -> None:
    rng = np.random.default_rng(7)
    predicted, truth = rng.random((2, 20, 3, 3)) < 0.2
    straight = metrics.part_contact_score(predicted, truth, EVERY)
    turned = [contacts.swapaxes(1, 2) for contacts in (predicted, truth)]
    assert metrics.part_contact_score(*turned, EVERY) == straight


def test_f1_is_nan_only_without_any_contact() -> None:
    nothing, something = part_contacts(), part_contacts((3, 0, 0))
    assert math.isnan(metrics.part_contact_score(nothing, nothing, EVERY).f1)
    assert metrics.part_contact_score(nothing, something, EVERY).f1 == 0.0
    assert metrics.part_contact_score(something, nothing, EVERY).f1 == 0.0
