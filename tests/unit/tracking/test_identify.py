from dataclasses import replace

import numpy as np
import pytest

from closefit.config import PeopleChoice, PointInFrame
from closefit.errors import CorrectionsError, UnknownPersonError
from closefit.tracking.corrections import Corrections, Drop, Place
from closefit.tracking.crowd import gather
from closefit.tracking.identify import Identified, Wishes, identify
from closefit.tracking.people import PairDetections
from closefit.tracking.sightings import Sightings
from tests.unit.tracking.scenes import IMAGE_WH, crossing, see, walk

FPS = 30.0
FRAMES = 60
TIME_S = np.arange(FRAMES) / FPS


def standing(*centres_px: float) -> PairDetections:
    return walk(np.tile(np.array(centres_px), (FRAMES, 1)))


def across(found: Identified) -> np.ndarray:
    """Where both people are, from left to right; NaN where nothing is known."""
    boxes = found.repaired.boxes_xyxy
    return (boxes[..., 0] + boxes[..., 2]) / 2.0


def solve(
    sightings: Sightings,
    corrections: Corrections | None = None,
    people: tuple[PeopleChoice, PeopleChoice] | None = None,
) -> Identified:
    wishes = Wishes(people=people, corrections=corrections or Corrections(), video="clip.mp4")
    return identify(sightings, TIME_S, FPS, 0.5, wishes)


def hidden_crossing() -> Sightings:
    hidden = np.zeros((FRAMES, 2), dtype=bool)
    hidden[26:34, 1] = True
    return see([crossing()], hidden)


def permuted(sightings: Sightings, seed: int) -> Sightings:
    """The same detections in another order within each frame."""
    noise = np.random.default_rng(seed).random(len(sightings.frame))
    return sightings.of(np.lexsort((noise, sightings.frame)))


class TestLaws:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_the_order_of_detections_means_nothing(self, seed: int) -> None:
        sightings = see([crossing(), standing(60.0, 600.0)])
        one, two = solve(sightings), solve(permuted(sightings, seed))
        np.testing.assert_array_equal(one.repaired.boxes_xyxy, two.repaired.boxes_xyxy)
        np.testing.assert_array_equal(one.repaired.keypoints, two.repaired.keypoints)
        np.testing.assert_allclose(
            one.repaired.identity_confidence, two.repaired.identity_confidence, atol=1e-9
        )
        assert one.crowd.described(np.ones(2)) == two.crowd.described(np.ones(2))

    def test_time_may_run_backwards(self) -> None:
        sightings = hidden_crossing()
        backwards = np.arange(len(sightings.frame))[::-1]
        reverse = replace(sightings.of(backwards), frame=FRAMES - 1 - sightings.frame[::-1])
        forth, back = across(solve(sightings)), across(solve(reverse))[::-1]
        # The numbers are given from the first frame on, so they may differ as a whole.
        if abs(forth[0, 0] - back[0, 0]) > 50.0:
            back = back[:, ::-1]
        np.testing.assert_allclose(forth, back, atol=1e-6)

    def test_confidence_is_a_probability(self) -> None:
        confidence = solve(hidden_crossing()).repaired.identity_confidence
        assert confidence.min() >= 0.0
        assert confidence.max() <= 1.0

    def test_given_identities_that_are_swapped_are_repaired(self) -> None:
        frames = np.zeros(FRAMES, dtype=bool)
        frames[[12, 13, 40]] = True
        found = solve(Sightings.of_pair(crossing().exchanged(frames)))
        expected = across(solve(Sightings.of_pair(crossing())))
        np.testing.assert_allclose(across(found), expected)
        np.testing.assert_array_equal(found.repaired.exchanged, frames)


class TestCorrections:
    def test_none_changes_nothing(self) -> None:
        plain, empty = solve(hidden_crossing()), solve(hidden_crossing(), Corrections())
        np.testing.assert_array_equal(plain.repaired.boxes_xyxy, empty.repaired.boxes_xyxy)

    def test_swaps_hold_until_the_next_one(self) -> None:
        plain = across(solve(see([crossing()])))
        found = across(solve(see([crossing()]), Corrections(swaps=(20, 35))))
        swapped = np.arange(FRAMES)
        swapped = (swapped >= 20) & (swapped < 35)
        expected = np.where(swapped[:, None], plain[:, ::-1], plain)
        np.testing.assert_allclose(found, expected)

    def test_swapping_from_the_start_renumbers_everybody(self) -> None:
        plain = solve(hidden_crossing())
        found = solve(hidden_crossing(), Corrections(swaps=(0,)))
        np.testing.assert_allclose(across(found), across(plain)[:, ::-1])
        np.testing.assert_allclose(
            found.repaired.identity_confidence[:, ::-1],
            plain.repaired.identity_confidence,
            atol=0.1,
        )

    def test_who_tells_of_a_swap_vouches_for_both_sides(self) -> None:
        """After a second in which nobody is seen, it is a guess who is who."""
        pair = walk(np.tile([300.0, 330.0], (FRAMES, 1)))
        boxes, keypoints = pair.boxes_xyxy.copy(), pair.keypoints.copy()
        boxes[15:45], keypoints[15:45] = np.nan, 0.0
        sightings = Sightings.of_pair(PairDetections(boxes, keypoints, pair.colours))
        plain = solve(sightings).repaired.identity_confidence
        told = solve(sightings, Corrections(swaps=(45,))).repaired.identity_confidence
        assert min(plain[:15].min(), plain[45:].min()) < 0.95
        assert told[45:].min() > 0.99

    def test_a_dropped_detection_is_filled_in(self) -> None:
        plain = solve(see([crossing()]))
        drop = Corrections(drops=(Drop(person=1, frames=(9, 11)),))
        found = solve(see([crossing()]), drop)
        assert not found.repaired.seen[9:12, 1].any()
        assert found.repaired.filled[9:12, 1].all()
        assert (found.chosen[9:12, 1] == -1).all()
        assert found.repaired.seen.sum() == plain.repaired.seen.sum() - 3
        np.testing.assert_allclose(across(found), across(plain), atol=8.0)

    @pytest.mark.parametrize(
        ("corrections", "left"),
        [
            (Corrections(ignored=((0, FRAMES - 1),)), "nobody was found"),
            (
                Corrections(drops=(Drop(person=0, frames=(0, FRAMES - 1)),)),
                "only one person was found",
            ),
        ],
    )
    def test_corrections_that_leave_no_pair(self, corrections: Corrections, left: str) -> None:
        with pytest.raises(CorrectionsError, match=f"corrections take too much away: {left}"):
            solve(see([crossing()]), corrections)

    def test_in_an_ignored_range_nobody_is_seen(self) -> None:
        found = solve(see([crossing()]), Corrections(ignored=((0, 4), (30, 32))))
        unseen = np.flatnonzero(~found.repaired.seen.any(axis=1))
        np.testing.assert_array_equal(unseen, [0, 1, 2, 3, 4, 30, 31, 32])
        # Person 0 stays person 0, though the frame that gave the number is gone.
        np.testing.assert_allclose(across(found)[10], across(solve(see([crossing()])))[10])

    def test_a_box_takes_the_detection_it_fits_and_its_own_edges(self) -> None:
        plain = solve(see([crossing()]))
        box = plain.repaired.boxes_xyxy[10, 0] + (-4.0, 0.0, 4.0, 2.0)
        place = Place(person=0, frame=10, pixels=tuple(box))
        found = solve(see([crossing()]), Corrections(places=(place,)))
        np.testing.assert_allclose(found.repaired.boxes_xyxy[10, 0], box)
        np.testing.assert_allclose(found.repaired.keypoints[10, 0], plain.repaired.keypoints[10, 0])
        np.testing.assert_allclose(across(found), across(plain), atol=1.0)
        assert found.stated.sum() == 1

    @pytest.mark.parametrize("kind", ["box", "point"])
    def test_one_place_turns_the_whole_clip(self, kind: str) -> None:
        plain = solve(see([crossing()]))
        box = plain.repaired.boxes_xyxy[50, 1]
        middle = ((box[:2] + box[2:]) / 2.0) if kind == "point" else box
        place = Place(person=0, frame=50, pixels=tuple(middle))
        found = solve(see([crossing()]), Corrections(places=(place,)))
        np.testing.assert_allclose(across(found), across(plain)[:, ::-1], atol=1.0)
        assert found.repaired.identity_confidence[50, 0] == 1.0

    def test_two_places_that_contradict_the_motion_are_believed(self) -> None:
        plain = solve(see([crossing()]))
        places = tuple(
            Place(
                person=person, frame=frame, pixels=tuple(plain.repaired.boxes_xyxy[frame, column])
            )
            for frame, person, column in [(5, 0, 0), (50, 0, 1)]
        )
        found = across(solve(see([crossing()]), Corrections(places=places)))
        np.testing.assert_allclose(found[5], across(plain)[5], atol=1.0)
        np.testing.assert_allclose(found[50], across(plain)[50, ::-1], atol=1.0)

    def test_a_place_is_right_after_a_swap_too(self) -> None:
        plain = solve(see([crossing()]))
        place = Place(person=0, frame=50, pixels=tuple(plain.repaired.boxes_xyxy[50, 1]))
        found = across(solve(see([crossing()]), Corrections(swaps=(30,), places=(place,))))
        np.testing.assert_allclose(found[50, 0], across(plain)[50, 1], atol=1.0)
        np.testing.assert_allclose(found[10], across(plain)[10], atol=1.0)

    def test_a_box_where_nobody_was_detected(self) -> None:
        """Person 1 was missed for eight frames; the user draws one of them."""
        drawn = tuple(crossing().boxes_xyxy[27, 1])
        corrections = Corrections(places=(Place(person=1, frame=27, pixels=drawn),))
        found = solve(hidden_crossing(), corrections)
        np.testing.assert_allclose(found.repaired.boxes_xyxy[27, 1], drawn)
        assert found.repaired.seen[26:29, 1].tolist() == [False, True, False]
        np.testing.assert_allclose(across(found), across(solve(hidden_crossing())), atol=15.0)

    def test_two_boxes_that_nearly_coincide(self) -> None:
        """Only person 0, in front, is detected; each box goes to its own person."""
        boxes = crossing().boxes_xyxy[29]
        places = [Place(person=p, frame=29, pixels=tuple(boxes[p])) for p in (1, 0)]
        found = solve(hidden_crossing(), Corrections(places=tuple(places)))
        np.testing.assert_allclose(found.repaired.boxes_xyxy[29], boxes)
        assert found.repaired.keypoints[29, 0, :, 2].min() > 0.3
        assert found.chosen[29, 0] >= 0
        np.testing.assert_allclose(across(found), across(solve(hidden_crossing())), atol=15.0)

    def test_a_place_brings_a_bystander_in(self) -> None:
        """The couple is chosen, but the user says that person 1 is somebody else."""
        sightings = see([standing(280.0, 360.0), standing(60.0, 500.0)])
        box = standing(60.0, 500.0).boxes_xyxy[20, 1]
        place = Place(person=1, frame=20, pixels=tuple(box))
        found = across(solve(sightings, Corrections(places=(place,))))
        assert np.abs(found[:, 1] - 500.0).max() < 20.0

    def test_the_order_of_corrections_means_nothing(self) -> None:
        plain = solve(see([crossing()]))
        places = [
            Place(person=p, frame=f, pixels=tuple(plain.repaired.boxes_xyxy[f, p]))
            for f, p in [(7, 1), (44, 0)]
        ]
        drops = [Drop(person=0, frames=(20, 22)), Drop(person=1, frames=(25, 25))]
        ways = [
            solve(
                see([crossing()]),
                Corrections(swaps=(30, 50), places=tuple(p), drops=tuple(d)),
            ).repaired
            for p, d in [(places, drops), (places[::-1], drops[::-1])]
        ]
        np.testing.assert_array_equal(ways[0].boxes_xyxy, ways[1].boxes_xyxy)

    def test_a_point_on_nobody(self) -> None:
        place = Place(person=1, frame=30, pixels=(5.0, 5.0))
        with pytest.raises(
            CorrectionsError, match="nobody was detected at the `point` of person 1"
        ):
            solve(see([crossing()]), Corrections(places=(place,)))

    def test_the_sightings_themselves_stay_as_they_are(self) -> None:
        sightings = see([crossing()])
        boxes = sightings.boxes_xyxy.copy()
        place = Place(person=0, frame=10, pixels=tuple(boxes[20] + 3.0))
        solve(sightings, Corrections(places=(place,), ignored=((50, 55),)))
        np.testing.assert_array_equal(sightings.boxes_xyxy, boxes)


class TestPeople:
    @pytest.fixture
    def five(self) -> Sightings:
        """A couple, and three others, one of whom comes late."""
        hidden = np.zeros((FRAMES, 6), dtype=bool)
        hidden[:20, 5] = True
        hidden[:, 4] = True
        return see([standing(280.0, 360.0), standing(40.0, 600.0), standing(0.0, 500.0)], hidden)

    def test_everybody_has_a_letter(self, five: Sightings) -> None:
        people = gather(five, FPS).described(np.array([2.0, 1.0]))
        assert [person["id"] for person in people] == ["A", "B", "C", "D", "E"]
        lefts = [person["first_box"][0] / 2.0 for person in people]
        assert np.abs(np.array(lefts) + 30.0 - (280.0, 360.0, 40.0, 600.0, 500.0)).max() < 30.0
        assert [person["frames"] for person in people] == [[0, 59]] * 4 + [[20, 59]]

    @pytest.mark.parametrize(
        ("people", "centres"),
        [
            (("A", "B"), (280.0, 360.0)),
            (("B", "A"), (360.0, 280.0)),
            (("D", "C"), (600.0, 40.0)),
            ((PointInFrame(600.0, 150.0, 10), PointInFrame(360.0, 150.0, 3)), (600.0, 360.0)),
            (("E", PointInFrame(40.0, 150.0, 0)), (500.0, 40.0)),
        ],
    )
    def test_the_first_named_is_person_0(
        self, five: Sightings, people: tuple[PeopleChoice, PeopleChoice], centres: tuple[float, ...]
    ) -> None:
        found = across(solve(five, people=people))
        assert np.abs(found[30] - centres).max() < 25.0

    def test_choosing_and_correcting_together(self, five: Sightings) -> None:
        found = across(solve(five, Corrections(swaps=(30,)), people=("D", "C")))
        assert np.abs(found[10] - (600.0, 40.0)).max() < 25.0
        assert np.abs(found[50] - (40.0, 600.0)).max() < 25.0

    @pytest.mark.parametrize(
        ("people", "message"),
        [
            (("A", "F"), r"no person `F` in `clip\.mp4`: there are A, B, C, D, E"),
            ((PointInFrame(5.0, 5.0, 0), "A"), "nobody was found at the given point in frame 0"),
            ((PointInFrame(5.0, 5.0, 60), "A"), "the clip has frames 0-59"),
            (("A", PointInFrame(280.0, 150.0, 0)), "names person `A` of .* twice"),
        ],
    )
    def test_people_who_are_not_there(
        self, five: Sightings, people: tuple[PeopleChoice, PeopleChoice], message: str
    ) -> None:
        with pytest.raises(UnknownPersonError, match=message):
            solve(five, people=people)

    def test_somebody_who_comes_back_keeps_the_letter(self) -> None:
        hidden = np.zeros((FRAMES, 4), dtype=bool)
        hidden[20:35, 2] = True
        hidden[:, 3] = True
        crowd = gather(see([standing(280.0, 360.0), standing(60.0, 0.0)], hidden), FPS)
        assert crowd.present == ["A", "B", "C"]

    def test_many_letters(self) -> None:
        from closefit.tracking.crowd import _letters

        assert [_letters(number) for number in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]


def test_sightings_survive_the_disk() -> None:
    sightings = see([crossing(), standing(60.0, 600.0)])
    back = Sightings.from_record(sightings.to_record(TIME_S, IMAGE_WH))
    for name in ("frame", "boxes_xyxy", "scores", "keypoints", "colours", "identity"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sightings, name))
    for one, two in zip(sightings.masks, back.masks, strict=True):
        whole = [np.zeros(IMAGE_WH[::-1], dtype=bool) for _ in range(2)]
        one.add_to(whole[0])
        two.add_to(whole[1])
        np.testing.assert_array_equal(*whole)
        row, column = np.argwhere(whole[0])[7]
        assert one.covers(column + 0.5, row + 0.5)
        assert not one.covers(column + 0.5, -3.0)
    nobody = see([crossing()], np.ones((FRAMES, 2), dtype=bool))
    assert Sightings.from_record(nobody.to_record(TIME_S, IMAGE_WH)).masks == []
