"""Several imports, or an import and a detector, that describe the same people."""

from pathlib import Path

import numpy as np
import pytest

from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.reading import read, read_all
from closefit.tracking.detections import Detections
from tests.unit.imports.detections import writers
from tests.unit.imports.detections.writers import FRAMES, HEIGHT, VIDEO, WIDTH, People

CHOSEN = FrameRange(VIDEO, slice(0, FRAMES), (WIDTH, HEIGHT))


@pytest.fixture(scope="module")
def people() -> People:
    return writers.make_people()


def embrace() -> People:
    """Two people with one box, who can only be distinguished by masks and keypoints."""
    people = writers.make_people()
    boxes = np.tile([10.0, 5.0, 40.0, 45.0], (FRAMES, 2, 1))
    keypoints, masks = people.keypoints.copy(), np.zeros_like(people.masks)
    generator = np.random.default_rng(0)
    for person, (left, right) in enumerate([(10, 25), (25, 40)]):
        masks[:, person, 5:45, left:right] = True
        keypoints[:, person, :, 0] = generator.uniform(left, right, (FRAMES, 17))
        keypoints[:, person, :, 1] = generator.uniform(6, 44, (FRAMES, 17))
        keypoints[:, person, :, 2] = 0.9
    for person, row in enumerate([6, 43]):  # an arm around the other
        masks[:, :, row] = False
        masks[:, person, row, 10:40] = True
    return People(boxes, keypoints, masks)


def given(*paths: Path) -> Imported:
    return read_all(paths, CHOSEN)


def detected(people: People, frame: int, order: list[int]) -> Detections:
    """The output of a detector, with everybody a little off."""
    return Detections(
        boxes_xyxy=people.boxes[frame, order] + 1.0,
        scores=np.full(len(order), 0.8),
        keypoints=people.keypoints[frame, order],
        masks=people.masks[frame, order],
    )


def check_all(found: Imported, people: People) -> None:
    """Every detection has the keypoints and the mask of one and the same person."""
    assert len(found.frame) == len(people.seen)
    for frame in range(FRAMES):
        everybody = found.detections(frame)
        for points, mask in zip(everybody.keypoints, everybody.masks, strict=True):
            same = [
                np.allclose(points, people.keypoints[frame, person])
                and (mask == people.masks[frame, person]).all()
                for person in range(2)
            ]
            assert any(same), frame


@pytest.mark.parametrize("close", [False, True])
def test_keypoints_and_masks(tmp_path: Path, people: People, close: bool) -> None:
    who = embrace() if close else people
    keypoints = writers.coco_results(tmp_path / "keypoints.json", who, tracked=False)
    masks = writers.masks_labelled(tmp_path / "masks", who)
    for paths in ((keypoints, masks), (masks, keypoints)):
        both = given(*paths)
        check_all(both, who)
        assert both.knows_identities  # the labels
        assert both.lacks is None
        assert set(both.identity.tolist()) == {1, 2}


def test_the_first_import_takes_precedence(tmp_path: Path, people: People) -> None:
    moved = People(people.boxes + 2.0, people.keypoints + np.array([2.0, 2.0, 0.0]), people.masks)
    first = writers.coco_results(tmp_path / "first.json", people)
    second = writers.coco_results(tmp_path / "second.json", moved)
    alone, both = read(first, CHOSEN), given(first, second)
    np.testing.assert_array_equal(both.boxes_xyxy, alone.boxes_xyxy)
    np.testing.assert_array_equal(both.keypoints, alone.keypoints)
    np.testing.assert_array_equal(both.identity, alone.identity)


def test_people_of_only_one_import_are_kept(tmp_path: Path, people: People) -> None:
    hidden = People(people.boxes.copy(), people.keypoints, people.masks)
    hidden.boxes[4, 0] = np.nan
    keypoints = writers.openpose(tmp_path / "openpose", hidden)
    boxes = writers.mot(tmp_path / "boxes.txt", people)
    both = given(keypoints, boxes)
    assert len(both.frame) == len(people.seen)
    without = both.of(np.flatnonzero(both.frame == 4))
    assert sorted(without.identity.tolist()) == [1, 2]
    assert sorted(without.keypoints[..., 2].any(axis=1).tolist()) == [False, True]
    np.testing.assert_allclose(
        np.sort(both.boxes_xyxy, axis=0), np.sort(read(boxes, CHOSEN).boxes_xyxy, axis=0)
    )


def test_silhouettes_go_with_anything(tmp_path: Path, people: People) -> None:
    keypoints = writers.openpose(tmp_path / "openpose", people)
    silhouettes = writers.masks_union(tmp_path / "union", people)
    both = given(silhouettes, keypoints)
    assert both.lacks is None
    assert len(both.frame) == len(people.seen)
    assert both.silhouettes is not None
    assert given(keypoints).silhouettes is None


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_detector_adds_keypoints_to_masks(
    tmp_path: Path, people: People, close: bool, order: list[int]
) -> None:
    who = embrace() if close else people
    masks = given(writers.masks_per_person(tmp_path / "masks", who))
    assert masks.lacks == "there are no keypoints"
    assert masks.has_masks
    completed = masks.complete(0, detected(who, 0, order))
    np.testing.assert_allclose(completed.keypoints, who.keypoints[0])
    np.testing.assert_array_equal(completed.masks, who.masks[0])
    if not close:
        np.testing.assert_allclose(completed.boxes_xyxy, who.boxes[0] + 1.0)  # the detector's


def test_a_detector_adds_keypoints_and_masks_to_boxes(tmp_path: Path, people: People) -> None:
    boxes = given(writers.mot(tmp_path / "boxes.txt", people))
    completed = boxes.complete(0, detected(people, 0, [1, 0]))
    np.testing.assert_allclose(completed.boxes_xyxy, people.boxes[0], atol=0.01)
    np.testing.assert_allclose(completed.keypoints, people.keypoints[0])
    np.testing.assert_array_equal(completed.masks, people.masks[0])


def test_a_detector_adds_masks_and_boxes_to_keypoints(tmp_path: Path, people: People) -> None:
    keypoints = given(writers.openpose(tmp_path / "openpose", people))
    other = People(people.boxes, people.keypoints + np.array([1.0, 1.0, 0.0]), people.masks)
    completed = keypoints.complete(0, detected(other, 0, [1, 0]))
    np.testing.assert_allclose(completed.boxes_xyxy, people.boxes[0] + 1.0)
    np.testing.assert_allclose(completed.keypoints, people.keypoints[0])
    np.testing.assert_array_equal(completed.masks, people.masks[0])


def test_the_import_determines_who_is_there(tmp_path: Path, people: People) -> None:
    """People whom only the detector finds are left out; those only in the import stay."""
    boxes = given(writers.mot(tmp_path / "boxes.txt", people))
    only_second = boxes.complete(0, detected(people, 0, [1]))
    np.testing.assert_allclose(only_second.boxes_xyxy, people.boxes[0], atol=0.01)
    assert only_second.keypoints[..., 2].any(axis=1).tolist() == [False, True]
    passers_by = detected(people, 2, [0, 0, 0])
    passers_by.boxes_xyxy[1:] += 500.0
    passers_by.keypoints[1:] = 0.0
    assert len(boxes.complete(2, passers_by).scores) == 1


def test_silhouettes_leave_people_to_the_detector(tmp_path: Path, people: People) -> None:
    silhouettes = given(writers.masks_union(tmp_path / "union", people))
    assert silhouettes.lacks is not None
    found = detected(people, 0, [1, 0])
    assert silhouettes.complete(0, found) is found
