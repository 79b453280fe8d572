"""Every documented format: written by a tiny writer, imported, equal."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from closefit.body.keypoints import COCO17
from closefit.errors import ObservationsError
from closefit.imports.detections import rle
from closefit.imports.detections.imported import Imported
from tests.unit.imports.detections import writers
from tests.unit.imports.detections.writers import FRAMES, HEIGHT, WIDTH, People, imported

BODY = range(5, 17)
"""Shoulders to ankles."""


@pytest.fixture(scope="module")
def people() -> People:
    return writers.make_people()


def by_person(given: Imported, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, keypoints and masks by frame and person; people in order of their number."""
    numbers = np.unique(given.identity)
    assert len(numbers) == 2
    assert numbers[0] >= 0
    person = np.searchsorted(numbers, given.identity)
    boxes, keypoints = np.full((frames, 2, 4), np.nan), np.zeros((frames, 2, 17, 3))
    masks = np.zeros((frames, 2, HEIGHT, WIDTH), dtype=bool)
    boxes[given.frame, person] = given.boxes_xyxy
    keypoints[given.frame, person] = given.keypoints
    for frame, column, crop in zip(given.frame, person, given.masks, strict=True):
        crop.add_to(masks[frame, column])
    return boxes, keypoints, masks


def check_keypoints(given: Imported, people: People, points: range | list[int]) -> None:
    """Compare people who have no number in any order."""
    for frame, person in people.seen:
        expected = people.keypoints[frame, person, points]
        found = given.keypoints[given.frame == frame][:, points]
        assert any(np.allclose(candidate, expected) for candidate in found), (frame, person)
    assert len(given.frame) == len(people.seen)


@pytest.mark.parametrize("first", [0, 1])
def test_coco_results(tmp_path: Path, people: People, first: int) -> None:
    given = imported(writers.coco_results(tmp_path / "results.json", people, first))
    boxes, keypoints, masks = by_person(given)
    np.testing.assert_allclose(boxes, people.boxes)
    np.testing.assert_allclose(keypoints, people.keypoints)
    assert not masks.any()
    assert not given.has_masks
    np.testing.assert_allclose(given.scores, 0.75)
    assert given.box_given.all()
    assert given.identity_trusted


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("names", [COCO17.names, COCO17.names[::-1]])
def test_coco_annotations(
    tmp_path: Path, people: People, compressed: bool, names: tuple[str, ...]
) -> None:
    """The order of keypoints follows from their names, that of frames by the names of pictures."""
    path = tmp_path / "all.json"
    given = imported(writers.coco_annotations(path, people, compressed=compressed, names=names))
    boxes, keypoints, masks = by_person(given)
    np.testing.assert_allclose(boxes, people.boxes)
    np.testing.assert_allclose(keypoints, people.keypoints)
    np.testing.assert_array_equal(masks, people.masks)


def test_visibility_flags_become_confidences(tmp_path: Path) -> None:
    flags = np.array([2, 1, 0] + [2] * 14)
    points = np.stack([np.arange(17.0) + 9, np.arange(17.0) + 20, flags], axis=-1)
    entry = {"image_id": 0, "category_id": 1, "keypoints": points.ravel().tolist()}
    given = imported(writers.write_json(tmp_path / "truth.json", [entry]))
    assert given.keypoints[0, :3, 2].tolist() == [1.0, 0.5, 0.0]


def test_polygons(tmp_path: Path) -> None:
    entry = {"image_id": 0, "category_id": 1, "segmentation": [[10, 8, 30, 8, 30, 28, 10, 28]]}
    given = imported(writers.write_json(tmp_path / "polygons.json", [entry]))
    np.testing.assert_allclose(given.boxes_xyxy, [[10, 8, 30, 28]], atol=1.0)


@pytest.mark.parametrize("first", [0, 1, 1000])
def test_openpose(tmp_path: Path, people: People, first: int) -> None:
    given = imported(writers.openpose(tmp_path / "openpose", people, first))
    check_keypoints(given, people, range(17))
    assert not given.has_identities
    assert not given.box_given.any()


@pytest.mark.parametrize("layout", ["coco17", "halpe26"])
@pytest.mark.parametrize("first", [0, 1])
def test_alphapose(tmp_path: Path, people: People, layout: str, first: int) -> None:
    path = tmp_path / "alphapose-results.json"
    boxes, keypoints, _ = by_person(imported(writers.alphapose(path, people, first, layout)))
    np.testing.assert_allclose(boxes, people.boxes)
    np.testing.assert_allclose(keypoints, people.keypoints)
    untracked = imported(writers.alphapose(path, people, first, layout, tracked=False))
    assert not untracked.has_identities
    check_keypoints(untracked, people, range(17))


def test_lsp_has_limbs_but_no_face(tmp_path: Path, people: People) -> None:
    given = imported(writers.openpose(tmp_path / "lsp", people, layout="lsp14"))
    check_keypoints(given, people, BODY)
    assert not given.keypoints[:, :5].any()


def test_hands_and_face_are_left_out(tmp_path: Path, people: People) -> None:
    entries = [
        {"image_id": f, "keypoints": people.flat(f, p) + [1.0] * (3 * 116), "track_id": p}
        for f, p in people.seen
    ]
    given = imported(writers.write_json(tmp_path / "wholebody.json", entries))
    np.testing.assert_allclose(by_person(given)[1], people.keypoints)


@pytest.mark.parametrize("first", [0, 1])
def test_mot(tmp_path: Path, people: People, first: int) -> None:
    boxes, _, _ = by_person(imported(writers.mot(tmp_path / "tracks.txt", people, first)))
    np.testing.assert_allclose(boxes, people.boxes, atol=0.002)
    detections = imported(writers.mot(tmp_path / "det.txt", people, numbered=False))
    assert not detections.has_identities
    assert len(detections.frame) == len(people.seen)


def test_mot_rows_that_do_not_count(tmp_path: Path) -> None:
    rows = [
        "1 1 10 10 20 30 1 1 1.0",  # a person
        "1 2 10 10 20 30 0 1 1.0",  # marked as to be ignored
        "1 3 10 10 20 30 1 8 1.0",  # a distractor
    ]
    path = tmp_path / "gt.txt"
    path.write_text("\n".join(rows))
    assert imported(path).identity.tolist() == [1]


Writer = Callable[[Path, People, int], Path]


@pytest.mark.parametrize("first", [0, 1, 7])
@pytest.mark.parametrize(
    "write",
    [
        writers.masks_per_person,
        writers.masks_labelled,
        lambda folder, people, first: writers.masks_labelled(folder, people, first, "P"),
        lambda folder, people, first: writers.masks_labelled(folder, people, first, "RGB"),
        lambda folder, people, first: (
            writers.masks_per_person(folder / "clip", people, first).parent
        ),
    ],
    ids=["per person", "grey labels", "palette labels", "colours", "in a folder of the clip"],
)
def test_mask_folders(tmp_path: Path, people: People, write: Writer, first: int) -> None:
    given = imported(write(tmp_path / "masks", people, first))
    boxes, _, masks = by_person(given)
    np.testing.assert_array_equal(masks, people.masks)
    np.testing.assert_array_equal(boxes, people.boxes)  # boxes around the masks
    assert given.silhouettes is None


def union_of(given: Imported) -> np.ndarray:
    assert given.silhouettes is not None
    return given.silhouettes[:]


def test_a_folder_of_silhouettes(tmp_path: Path, people: People) -> None:
    given = imported(writers.masks_union(tmp_path / "union", people))
    np.testing.assert_array_equal(union_of(given), people.masks.any(axis=1))
    assert not given.tells_apart


def test_soft_edges_are_cut_at_half(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, WIDTH), (HEIGHT, 1)).round()
    for frame in range(FRAMES):
        writers.save_png(tmp_path / "soft" / f"{frame}.png", ramp)
    np.testing.assert_array_equal(union_of(imported(tmp_path / "soft"))[0], ramp >= 128)


@pytest.mark.parametrize("kind", ["bool", "logits", "with an axis of size 1", "labels"])
def test_mask_arrays(tmp_path: Path, people: People, kind: str) -> None:
    path = tmp_path / "sam2.npz"
    labels = people.masks[:, 0] * 3 + people.masks[:, 1] * 9
    arrays = {
        "bool": people.masks,
        "logits": np.where(people.masks, 4.2, -7.0),
        "with an axis of size 1": people.masks[:, :, None],
        "labels": labels,
    }
    ids = {} if kind == "labels" else {"object_ids": np.array([3, 9])}
    np.savez(path, masks=arrays[kind], fps=30.0, **ids)
    given = imported(path)
    np.testing.assert_array_equal(by_person(given)[2], people.masks)
    assert set(given.identity.tolist()) == {3, 9}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_mask_arrays_are_cut_to_the_part_however_they_are_stored(
    tmp_path: Path, people: People, save: Callable[..., None], order: str
) -> None:
    save(tmp_path / "sam2.npz", masks=np.array(people.masks, order=order))
    part = imported(tmp_path / "sam2.npz", frames=slice(1, 5))
    found = np.zeros_like(people.masks[1:5])
    for frame, person, mask in zip(part.frame, part.identity, part.masks, strict=True):
        mask.add_to(found[frame, person])
    np.testing.assert_array_equal(found, people.masks[1:5])


@pytest.mark.parametrize("kind", ["a wrong byte", "fewer values than in its shape"])
def test_damaged_mask_arrays(tmp_path: Path, people: People, kind: str) -> None:
    path = tmp_path / "sam2.npz"
    np.savez(path, masks=people.masks)
    if kind == "a wrong byte":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path) as archive:
            stored = archive.read("masks.npy")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("masks.npy", stored[:-100])
    with pytest.raises(ObservationsError, match=r"damaged, or no npz|cut short"):
        imported(path)


def test_silhouettes_in_an_array(tmp_path: Path, people: People) -> None:
    np.savez(tmp_path / "union.npz", masks=people.masks.any(axis=1))
    np.testing.assert_array_equal(union_of(imported(tmp_path / "union.npz")), people.masks.any(1))


@pytest.mark.parametrize("factor", [2, 3])
def test_masks_of_another_size_and_the_same_shape(
    tmp_path: Path, people: People, factor: int
) -> None:
    larger = People(
        people.boxes, people.keypoints, people.masks.repeat(factor, 2).repeat(factor, 3)
    )
    for write in (writers.masks_per_person, writers.masks_labelled):
        given = imported(write(tmp_path / write.__name__, larger))
        np.testing.assert_array_equal(by_person(given)[2], people.masks)


class TestRle:
    def test_what_cocos_own_tools_write(self) -> None:
        """Made by pycocotools 2.0 from this mask."""
        mask = np.zeros((9, 7), dtype=bool)
        mask[2:7, 1:5] = True
        mask[4, 3] = False
        mask[0, 6] = True
        encoded = {"size": [9, 7], "counts": ";5400MM0337LM"}
        np.testing.assert_array_equal(rle.decode(encoded, rle.size_of(encoded)), mask)
        assert writers.encode(mask, compressed=True) == encoded

    @pytest.mark.parametrize("compressed", [True, False])
    def test_round_trip(self, compressed: bool) -> None:
        generator = np.random.default_rng(0)
        for share in (0.0, 0.02, 0.5, 1.0):
            mask = generator.random((70, 90)) < share
            encoded = writers.encode(mask, compressed=compressed)
            np.testing.assert_array_equal(rle.decode(encoded, rle.size_of(encoded)), mask)
