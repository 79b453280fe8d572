import numpy as np
import pytest

from closefit.errors import NeverTogetherError, NobodyError, OnePersonError
from closefit.records import DetectedPeople
from closefit.tracking.association import link
from closefit.tracking.pair import Pair
from closefit.tracking.pair_search import choose_pair, require_pair
from closefit.tracking.repair import repair
from tests.unit.tracking.scenes import crossing, see, walk

FPS = 30.0
FRAMES = 60


def standing(*centres_px: float, frames: int = FRAMES) -> Pair:
    return walk(np.tile(np.array(centres_px), (frames, 1)))


def centres(people: DetectedPeople, chosen: np.ndarray) -> np.ndarray:
    """Where each chosen person is, across; NaN where there is none."""
    boxes = Pair.of(people, chosen).boxes_xyxy
    return (boxes[..., 0] + boxes[..., 2]) / 2.0


def test_two_people_are_followed_whatever_their_order() -> None:
    couple = standing(200.0, 320.0)
    people = see([couple])
    found = centres(people, choose_pair(people, FPS))
    assert np.abs(found - (200.0, 320.0)).max() < 20.0


def test_the_left_one_comes_first() -> None:
    people = see([standing(320.0, 200.0)])
    assert centres(people, choose_pair(people, FPS))[0].argmin() == 0


def test_every_detection_is_in_one_tracklet() -> None:
    people = see([crossing(), standing(60.0, 600.0)])
    members = np.concatenate([tracklet.detections for tracklet in link(people, FPS)])
    np.testing.assert_array_equal(np.sort(members), np.arange(len(people.frame)))


def test_a_tracklet_holds_one_detection_per_frame() -> None:
    people = see([crossing(), standing(60.0, 600.0)])
    for tracklet in link(people, FPS):
        frames = people.frame[tracklet.detections]
        assert (np.diff(frames) > 0).all()
        assert (tracklet.start, tracklet.end) == (frames[0], frames[-1])


def test_people_who_cross_keep_their_identity() -> None:
    """Person 1 is hidden behind person 0 while they pass."""
    hidden = np.zeros((FRAMES, 2), dtype=bool)
    hidden[26:34, 1] = True
    people = see([crossing()], hidden)
    chosen = choose_pair(people, FPS)
    repaired = repair(Pair.of(people, chosen), np.arange(FRAMES) / FPS, FPS, max_gap_s=0.5)
    across = (repaired.boxes_xyxy[..., 0] + repaired.boxes_xyxy[..., 2]) / 2.0
    way = np.linspace(0.0, 1.0, FRAMES)
    expected = np.stack([120 + 400 * way, 520 - 400 * way], axis=1)
    assert np.abs(across - expected).max() < 25.0
    assert repaired.filled[26:34, 1].all()
    assert repaired.seen.sum() == 2 * FRAMES - 8


def test_both_hidden_in_turn() -> None:
    hidden = np.zeros((FRAMES, 2), dtype=bool)
    hidden[24:30, 1] = True
    hidden[30:36, 0] = True
    people = see([crossing()], hidden)
    repaired = repair(
        Pair.of(people, choose_pair(people, FPS)),
        np.arange(FRAMES) / FPS,
        FPS,
        max_gap_s=0.5,
    )
    across = (repaired.boxes_xyxy[..., 0] + repaired.boxes_xyxy[..., 2]) / 2.0
    assert across[-1, 0] > across[-1, 1]


def test_the_pair_that_is_near_is_chosen_among_five_people() -> None:
    couple = standing(280.0, 360.0)
    bystanders = [standing(40.0, 600.0), standing(500.0, 150.0)]
    people = see([bystanders[0], couple, bystanders[1]])
    found = centres(people, choose_pair(people, FPS))
    assert np.abs(found - (280.0, 360.0)).max() < 20.0


def test_the_pair_that_is_together_longest_is_chosen() -> None:
    """A third person stands nearer, but only for a third of the time."""
    hidden = np.zeros((FRAMES, 4), dtype=bool)
    hidden[20:, 2] = True
    hidden[:, 3] = True
    people = see([standing(200.0, 330.0), standing(240.0, 0.0)], hidden)
    found = centres(people, choose_pair(people, FPS))
    assert np.abs(found - (200.0, 330.0)).max() < 20.0


def test_a_person_who_returns_is_the_same_one() -> None:
    hidden = np.zeros((90, 2), dtype=bool)
    hidden[30:60, 1] = True
    people = see([standing(200.0, 330.0, frames=90)], hidden)
    chosen = choose_pair(people, FPS)
    assert ((chosen[:, 1] >= 0) == ~hidden[:, 1]).all()


def test_no_detection_at_all() -> None:
    people = see([standing(200.0, 330.0)], np.ones((FRAMES, 2), dtype=bool))
    chosen = choose_pair(people, FPS)
    with pytest.raises(NobodyError, match=r"nobody was found in `clip\.mp4`"):
        require_pair(chosen >= 0, FPS, "clip.mp4")


def test_one_person() -> None:
    hidden = np.zeros((FRAMES, 2), dtype=bool)
    hidden[:, 1] = True
    people = see([standing(200.0, 330.0)], hidden)
    chosen = choose_pair(people, FPS)
    with pytest.raises(OnePersonError, match=r"only one person was found in `clip\.mp4`"):
        require_pair(chosen >= 0, FPS, "clip.mp4")


def test_a_false_detection_is_not_a_second_person() -> None:
    hidden = np.zeros((FRAMES, 2), dtype=bool)
    hidden[:, 1] = True
    hidden[17, 1] = False
    people = see([standing(200.0, 330.0)], hidden)
    chosen = choose_pair(people, FPS)
    with pytest.raises(OnePersonError, match="only one person"):
        require_pair(chosen >= 0, FPS, "clip.mp4")


def test_two_people_who_never_meet() -> None:
    """One leaves; later another, in other clothes and elsewhere, comes."""
    hidden = np.zeros((FRAMES, 2), dtype=bool)
    hidden[25:, 0] = True
    hidden[:35, 1] = True
    people = see([standing(60.0, 580.0)], hidden)
    chosen = choose_pair(people, FPS)
    with pytest.raises(NeverTogetherError, match=r"no frame of `clip\.mp4` shows two people"):
        require_pair(chosen >= 0, FPS, "clip.mp4")
