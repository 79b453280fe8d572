from dataclasses import replace

import numpy as np
import pytest

from closefit.config import PeopleChoice, PointInFrame
from closefit.errors import CorrectionsError, UnknownPersonError
from closefit.records import DetectedPeople
from closefit.tracking.corrections import Corrections, Drop, PlacedPerson
from closefit.tracking.crowd import described, gather, letter
from closefit.tracking.identify import UserInput, identify
from closefit.tracking.mask_crops import mask_crops
from closefit.tracking.pair import Pair
from closefit.tracking.repair import IdentifiedPair
from tests.unit.tracking.scenes import IMAGE_WH, crossing, import_pair, see, walk

FPS = 30.0
FRAMES = 60


def standing(*centres_px: float) -> Pair:
    return walk(np.tile(np.array(centres_px), (FRAMES, 1)))


def across(found: IdentifiedPair) -> np.ndarray:
    """Where both people are, from left to right; NaN where nothing is known."""
    boxes = found.boxes_xyxy
    return (boxes[..., 0] + boxes[..., 2]) / 2.0


def solve(
    people: DetectedPeople,
    corrections: Corrections | None = None,
    chosen: tuple[PeopleChoice, PeopleChoice] | None = None,
) -> IdentifiedPair:
    user = UserInput(chosen=chosen, corrections=corrections or Corrections(), video="clip.mp4")
    return identify(people, gather(people, FPS), FPS, 0.5, user)


def hidden_crossing() -> DetectedPeople:
    hidden = np.zeros((FRAMES, 2), dtype=bool)
    hidden[26:34, 1] = True
    return see([crossing()], hidden)


def permuted(people: DetectedPeople, seed: int) -> DetectedPeople:
    """The same detections in another order within each frame."""
    noise = np.random.default_rng(seed).random(len(people.frame))
    return people.of(np.lexsort((noise, people.frame)))


class TestLaws:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_the_order_of_detections_does_not_matter(self, seed: int) -> None:
        people = see([crossing(), standing(60.0, 600.0)])
        one, two = solve(people), solve(permuted(people, seed))
        np.testing.assert_array_equal(one.boxes_xyxy, two.boxes_xyxy)
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
        np.testing.assert_allclose(one.identity_confidence, two.identity_confidence, atol=1e-9)
        letters = [
            described(people, gather(people, FPS), np.ones(2))
            for people in (people, permuted(people, seed))
        ]
        assert letters[0] == letters[1]

    def test_time_may_run_backwards(self) -> None:
        people = hidden_crossing()
        backwards = np.arange(len(people.frame))[::-1]
        reverse = replace(people.of(backwards), frame=FRAMES - 1 - people.frame[::-1])
        forth, back = across(solve(people)), across(solve(reverse))[::-1]
        # The numbers are given from the first frame on, so they may differ as a whole.
        if abs(forth[0, 0] - back[0, 0]) > 50.0:
            back = back[:, ::-1]
        np.testing.assert_allclose(forth, back, atol=1e-6)

    def test_confidence_is_a_probability(self) -> None:
        confidence = solve(hidden_crossing()).identity_confidence
        assert confidence.min() >= 0.0
        assert confidence.max() <= 1.0

    def test_given_identities_that_are_swapped_are_repaired(self) -> None:
        frames = np.zeros(FRAMES, dtype=bool)
        frames[[12, 13, 40]] = True
        found = solve(import_pair(crossing().swapped(frames)))
        expected = across(solve(import_pair(crossing())))
        np.testing.assert_allclose(across(found), expected)
        np.testing.assert_array_equal(found.swapped, frames)


class TestCorrections:
    def test_none_changes_nothing(self) -> None:
        plain, empty = solve(hidden_crossing()), solve(hidden_crossing(), Corrections())
        np.testing.assert_array_equal(plain.boxes_xyxy, empty.boxes_xyxy)

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
            found.identity_confidence[:, ::-1],
            plain.identity_confidence,
            atol=0.1,
        )

    def test_a_swap_makes_the_frames_on_both_sides_certain(self) -> None:
        """After a second in which nobody is seen, it is a guess who is who."""
        pair = walk(np.tile([300.0, 330.0], (FRAMES, 1)))
        boxes, keypoints = pair.boxes_xyxy.copy(), pair.keypoints.copy()
        boxes[15:45], keypoints[15:45] = np.nan, 0.0
        people = import_pair(Pair(boxes, keypoints, pair.colours))
        plain = solve(people).identity_confidence
        stated = solve(people, Corrections(swaps=(45,))).identity_confidence
        assert min(plain[:15].min(), plain[45:].min()) < 0.95
        assert stated[45:].min() > 0.99

    def test_a_dropped_detection_is_filled_in(self) -> None:
        plain = solve(see([crossing()]))
        drop = Corrections(drops=(Drop(person=1, frames=(9, 11)),))
        found = solve(see([crossing()]), drop)
        assert not found.seen[9:12, 1].any()
        assert found.filled[9:12, 1].all()
        assert np.isnan(found.detected.boxes_xyxy[9:12, 1]).all()
        assert found.seen.sum() == plain.seen.sum() - 3
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
        unseen = np.flatnonzero(~found.seen.any(axis=1))
        np.testing.assert_array_equal(unseen, [0, 1, 2, 3, 4, 30, 31, 32])
        # Person 0 stays person 0, though the frame that gave the number is gone.
        np.testing.assert_allclose(across(found)[10], across(solve(see([crossing()])))[10])

    def test_a_box_takes_the_detection_it_fits_and_its_own_edges(self) -> None:
        plain = solve(see([crossing()]))
        box = plain.boxes_xyxy[10, 0] + (-4.0, 0.0, 4.0, 2.0)
        place = PlacedPerson(person=0, frame=10, pixels=tuple(box))
        found = solve(see([crossing()]), Corrections(places=(place,)))
        np.testing.assert_allclose(found.boxes_xyxy[10, 0], box)
        np.testing.assert_allclose(found.keypoints[10, 0], plain.keypoints[10, 0])
        np.testing.assert_allclose(across(found), across(plain), atol=1.0)

    @pytest.mark.parametrize("kind", ["box", "point"])
    def test_one_place_turns_the_whole_clip(self, kind: str) -> None:
        plain = solve(see([crossing()]))
        box = plain.boxes_xyxy[50, 1]
        middle = ((box[:2] + box[2:]) / 2.0) if kind == "point" else box
        place = PlacedPerson(person=0, frame=50, pixels=tuple(middle))
        found = solve(see([crossing()]), Corrections(places=(place,)))
        np.testing.assert_allclose(across(found), across(plain)[:, ::-1], atol=1.0)
        assert found.identity_confidence[50, 0] == 1.0

    def test_two_places_that_contradict_the_motion_take_precedence(self) -> None:
        plain = solve(see([crossing()]))
        places = tuple(
            PlacedPerson(person=person, frame=frame, pixels=tuple(plain.boxes_xyxy[frame, column]))
            for frame, person, column in [(5, 0, 0), (50, 0, 1)]
        )
        found = across(solve(see([crossing()]), Corrections(places=places)))
        np.testing.assert_allclose(found[5], across(plain)[5], atol=1.0)
        np.testing.assert_allclose(found[50], across(plain)[50, ::-1], atol=1.0)

    def test_a_place_is_right_after_a_swap_too(self) -> None:
        plain = solve(see([crossing()]))
        place = PlacedPerson(person=0, frame=50, pixels=tuple(plain.boxes_xyxy[50, 1]))
        found = across(solve(see([crossing()]), Corrections(swaps=(30,), places=(place,))))
        np.testing.assert_allclose(found[50, 0], across(plain)[50, 1], atol=1.0)
        np.testing.assert_allclose(found[10], across(plain)[10], atol=1.0)

    def test_a_box_where_nobody_was_detected(self) -> None:
        """Person 1 was missed for eight frames; the user draws one of them."""
        drawn = tuple(crossing().boxes_xyxy[27, 1])
        corrections = Corrections(places=(PlacedPerson(person=1, frame=27, pixels=drawn),))
        found = solve(hidden_crossing(), corrections)
        np.testing.assert_allclose(found.boxes_xyxy[27, 1], drawn)
        assert found.seen[26:29, 1].tolist() == [False, True, False]
        np.testing.assert_allclose(across(found), across(solve(hidden_crossing())), atol=15.0)

    def test_two_boxes_that_nearly_coincide(self) -> None:
        """Only person 0, in front, is detected; each box goes to its own person."""
        boxes = crossing().boxes_xyxy[29]
        places = [PlacedPerson(person=p, frame=29, pixels=tuple(boxes[p])) for p in (1, 0)]
        found = solve(hidden_crossing(), Corrections(places=tuple(places)))
        np.testing.assert_allclose(found.boxes_xyxy[29], boxes)
        assert found.keypoints[29, 0, :, 2].min() > 0.3
        assert found.detected.masks is not None
        assert not found.detected.masks[29, 0].is_empty
        np.testing.assert_allclose(across(found), across(solve(hidden_crossing())), atol=15.0)

    def test_a_place_brings_a_bystander_in(self) -> None:
        """The couple is chosen, but for the user person 1 is somebody else."""
        people = see([standing(280.0, 360.0), standing(60.0, 500.0)])
        box = standing(60.0, 500.0).boxes_xyxy[20, 1]
        place = PlacedPerson(person=1, frame=20, pixels=tuple(box))
        found = across(solve(people, Corrections(places=(place,))))
        assert np.abs(found[:, 1] - 500.0).max() < 20.0

    def test_the_order_of_corrections_does_not_matter(self) -> None:
        plain = solve(see([crossing()]))
        places = [
            PlacedPerson(person=p, frame=f, pixels=tuple(plain.boxes_xyxy[f, p]))
            for f, p in [(7, 1), (44, 0)]
        ]
        drops = [Drop(person=0, frames=(20, 22)), Drop(person=1, frames=(25, 25))]
        ways = [
            solve(
                see([crossing()]),
                Corrections(swaps=(30, 50), places=tuple(p), drops=tuple(d)),
            )
            for p, d in [(places, drops), (places[::-1], drops[::-1])]
        ]
        np.testing.assert_array_equal(ways[0].boxes_xyxy, ways[1].boxes_xyxy)

    def test_a_point_where_nobody_was_detected(self) -> None:
        """Person 1 was missed for eight frames; a point beside person 0 is enough to be there."""
        mine, other = crossing().boxes_xyxy[27, 1], crossing().boxes_xyxy[27, 0]
        x = mine[0] + 2.0 if mine[0] < other[0] else mine[2] - 2.0
        place = PlacedPerson(person=1, frame=27, pixels=(float(x), float(mine[[1, 3]].mean())))
        found = solve(hidden_crossing(), Corrections(places=(place,)))
        assert found.seen[26:29, 1].tolist() == [False, True, False]
        assert found.boxes_xyxy[27, 1, 0] <= x <= found.boxes_xyxy[27, 1, 2]
        np.testing.assert_allclose(across(found), across(solve(hidden_crossing())), atol=20.0)

    def test_points_of_both_people_on_one_detection(self) -> None:
        """Where two people are detected as one, both are placed, whatever the order."""
        boxes = crossing().boxes_xyxy[29]
        middle = tuple((boxes[0, :2] + boxes[0, 2:]) / 2.0)
        points = [PlacedPerson(person=person, frame=29, pixels=middle) for person in (0, 1)]
        ways = [
            solve(hidden_crossing(), Corrections(places=tuple(order)))
            for order in (points, points[::-1])
        ]
        np.testing.assert_array_equal(ways[0].boxes_xyxy, ways[1].boxes_xyxy)
        assert ways[0].seen[29].all()
        assert ways[0].keypoints[29, 0, :, 2].min() > 0.3  # the detection stays with person 0

    def test_a_point_does_not_replace_a_clip_that_is_ignored(self) -> None:
        place = PlacedPerson(person=1, frame=30, pixels=(300.0, 200.0))
        with pytest.raises(CorrectionsError, match="take too much away"):
            solve(see([crossing()]), Corrections(places=(place,), ignored=((0, FRAMES - 1),)))

    def test_the_detections_themselves_are_not_changed(self) -> None:
        people = see([crossing()])
        boxes = people.boxes_xyxy.copy()
        place = PlacedPerson(person=0, frame=10, pixels=tuple(boxes[20] + 3.0))
        solve(people, Corrections(places=(place,), ignored=((50, 55),)))
        np.testing.assert_array_equal(people.boxes_xyxy, boxes)


class TestPeople:
    @pytest.fixture
    def five(self) -> DetectedPeople:
        """A couple, and three others, one of whom comes late."""
        hidden = np.zeros((FRAMES, 6), dtype=bool)
        hidden[:20, 5] = True
        hidden[:, 4] = True
        return see([standing(280.0, 360.0), standing(40.0, 600.0), standing(0.0, 500.0)], hidden)

    def test_everybody_has_a_letter(self, five: DetectedPeople) -> None:
        people = described(five, gather(five, FPS), np.array([2.0, 1.0]))
        assert [person["id"] for person in people] == ["A", "B", "C", "D", "E"]
        lefts = [person["first_box"][0] / 2.0 for person in people]
        assert np.abs(np.array(lefts) + 30.0 - (280.0, 360.0, 40.0, 600.0, 500.0)).max() < 30.0
        assert [person["frames"] for person in people] == [(0, 59)] * 4 + [(20, 59)]

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
        self,
        five: DetectedPeople,
        people: tuple[PeopleChoice, PeopleChoice],
        centres: tuple[float, ...],
    ) -> None:
        found = across(solve(five, chosen=people))
        assert np.abs(found[30] - centres).max() < 25.0

    def test_choosing_and_correcting_together(self, five: DetectedPeople) -> None:
        found = across(solve(five, Corrections(swaps=(30,)), chosen=("D", "C")))
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
        self, five: DetectedPeople, people: tuple[PeopleChoice, PeopleChoice], message: str
    ) -> None:
        with pytest.raises(UnknownPersonError, match=message):
            solve(five, chosen=people)

    def test_somebody_who_comes_back_keeps_the_letter(self) -> None:
        hidden = np.zeros((FRAMES, 4), dtype=bool)
        hidden[20:35, 2] = True
        hidden[:, 3] = True
        owner = gather(see([standing(280.0, 360.0), standing(60.0, 0.0)], hidden), FPS)
        assert np.unique(owner).tolist() == [0, 1, 2]

    def test_many_letters(self) -> None:
        assert [letter(number) for number in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]


def test_a_part_of_the_detections_keeps_its_masks() -> None:
    people = see([crossing(), standing(60.0, 600.0)])
    chosen = np.flatnonzero(people.frame % 3 == 1)
    part = people.of(chosen)
    for name in ("frame", "boxes_xyxy", "scores", "keypoints", "colours", "identity"):
        np.testing.assert_array_equal(getattr(part, name), getattr(people, name)[chosen])
    masks = mask_crops(people)
    for one, two in zip([masks[number] for number in chosen], mask_crops(part), strict=True):
        whole = [np.zeros(IMAGE_WH[::-1], dtype=bool) for _ in range(2)]
        one.add_to(whole[0])
        two.add_to(whole[1])
        np.testing.assert_array_equal(*whole)
        row, column = np.argwhere(whole[0])[7]
        assert two.covers(column + 0.5, row + 0.5)
        assert not two.covers(column + 0.5, -3.0)
    assert mask_crops(see([crossing()], np.ones((FRAMES, 2), dtype=bool))) == []
