"""An invalid import is refused with one sentence that names the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closefit.errors import FileMissingError, ObservationsError
from tests.unit.imports.detections import writers
from tests.unit.imports.detections.writers import People, imported


@pytest.fixture(scope="module")
def people() -> People:
    return writers.make_people()


def refused(path: Path, message: str, name: str | None = None) -> None:
    with pytest.raises(ObservationsError, match=message) as caught:
        imported(path)
    assert f"{name or path.name}`" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", "is empty"),
        ("a.json", b"  \n", "is empty"),
        ("a.json", b'[{"image_id": 3, "keyp', "is cut off"),
        ("a.json", b'[{"image_id": 3}, ', "is cut off"),
        ("a.json", b"{image_id}", "is not JSON"),
        ("a.json", b"\xff\xfe\x00\x01", "is not a text file"),
        ("a.json", b"[" * 100_000, "nested too deeply|is cut off"),
        ("a.json", b"[]", "holds no detections"),
        ("a.json", b"[1, 2]", "no list of detections"),
        ("a.json", b'{"a": 1}', "no list of detections"),
        ("a.json", b'[{"keypoints": []}]', "without `image_id`"),
        ("a.json", b'[{"image_id": 0}]', "neither `keypoints` nor `segmentation` nor `bbox`"),
        ("a.json", b'[{"image_id": 0, "category_id": 18, "bbox": [1,2,3,4]}]', "holds no person"),
        (
            "a.json",
            b'[{"image_id": 1.5, "bbox": [1,2,3,4]}]',
            "`image_id` is `1.5`, which",
        ),
        ("a.json", b'[{"image_id": "frame", "box": [1,2,3,4]}]', "`frame` without a frame number"),
        (
            "a.json",
            b'[{"image_id": 0, "bbox": [1,2,3]}]',
            r"`bbox` has shape \(1, 3\) instead",
        ),
        (
            "a.json",
            b'[{"image_id": 0, "bbox": ["a",2,3,4]}]',
            "`bbox` holds `a` instead of",
        ),
        ("a.json", b'[{"image_id": 0, "bbox": [9,9,-5,4]}]', r"a box of size \(-5, 4\)"),
        ("a.json", b'{"people": []}', "a single frame of OpenPose"),
        ("a.json", b'{"annotations": [], "images": [{}]}', "an empty list `annotations`"),
        ("a.json", b'{"annotations": [{}]}', "has no list `images`"),
        ("a.npz", b"PK", "damaged, or no npz"),
        ("a.npz", b"", "damaged, or no npz"),
        ("a.txt", b"", "is empty"),
        ("a.txt", b"1,1,5,5", "has 4 numbers in line 1"),
        ("a.txt", b"1,1,5,5,10,10,1\n\n2,1,x,5,10,10,1", "no numbers, .* in line 3"),
        ("a.txt", b"1.5,1,5,5,10,10,1", "frame 1.5 in line 1"),
        ("a.txt", b"nan,1,5,5,10,10,1", "frame nan in line 1"),
        ("a.txt", b"1,1,5,5,10,10,0", "no row that counts"),
        ("a.txt", b"1,1,5,5,10,10,1\n1,1,6,6,10,10,1", "person 1 twice in frame 0"),
        ("a.txt", b"-1,1,5,5,10,10,1", "in frame -1 "),
        ("a.txt", b"1,1,5,5,inf,10,1", r"a box at \(inf, 15\) in frame 0"),
        ("a.json", b'[{"image_id": %d}]' % 10**30, "`image_id` is `1000.*, which is not"),
        ("a.json", b'[{"image_id": %s}]' % (b"9" * 5000), "number with thousands of digits"),
        ("a.json", b'[{"image_id": 1e300, "bbox": [1,2,3,4]}]', "`image_id` is `1e.300`"),
        ("a.json", b'[{"image_id": 0, "bbox": [9,9,1e-310,4]}]', r"a box of size \(0, 4\)"),
        ("a.json", b'[{"image_id": 0, "bbox": [1,2,%d,4]}]' % 10**400, "larger than any number"),
        ("a.json", b'[{"image_id": 0, "bbox": [1,2,true,4]}]', "`bbox` holds `True` instead"),
        ("a.json", b'[{"image_id": 0, "bbox": [1,2,3,4], "track_id": 1e30}]', "`track_id` is `1e"),
        ("a.json", b'[{"image_id": 0, "bbox": [1,2,3,4], "score": "x"}]', "`score` holds `x` inst"),
        ("a.json", b'[{"image_id": [[[0]]], "bbox": [1,2,3,4]}]', r"`image_id` is `\[\[0\]\]`"),
        ("a.json", b'[{"image_id": "%s.jpg"}]' % (b"1" * 5000), "without a frame number"),
        ("a.txt", b"1,1e300,5,5,10,10,1", "`frame and person` has `1e.300`, which is not"),
        ("a.txt", "\u00b2,1,5,5,10,10,1".encode(), "no numbers, .* in line 1"),
        ("a.pkl", b"\x80\x04.", "is neither a JSON, npz or txt file nor a folder"),
    ],
)
def test_files_that_are_something_else(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, message)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"no file of detections `.*none\.json`"):
        imported(tmp_path / "none.json")


Damage = Callable[[list[dict[str, Any]]], None]


def at(place: int, value: Any) -> Damage:
    return lambda entries: entries[1]["keypoints"].__setitem__(place, value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (at(0, float("inf")), r"a keypoint at \(inf, .*\) in frame 0"),
        (at(1, -1e5), r"a keypoint at \(.*, -100000\) in frame 0 of a video of 64x48"),
        (at(2, 55.0), "a keypoint of confidence 55 in frame 0"),
        (at(2, -1.0), "a keypoint of confidence -1 in frame 0"),
        (at(5, "a"), "`keypoints` holds `a` instead of numbers"),
        (at(5, [1, 2]), r"`keypoints` holds `\[1, 2\]` instead of numbers"),
        (lambda e: e[1]["keypoints"].pop(), "with 50 and 51 values in `keypoints`"),
        (lambda e: [x.update(keypoints=x["keypoints"][:50]) for x in e], "50 values in `keyp"),
        (
            lambda e: [x.update(keypoints=[5.0, 5.0, 0.5] * 18) for x in e],
            r"18 keypoints per person, but the known layouts have 17 \(coco17\), 26 \(halpe26\), "
            r"25 \(openpose25\), 14 \(lsp14\)",
        ),
        (
            lambda e: [x.update(keypoints=[0.5, 0.25, 0.5] * 17) for x in e],
            "not in pixels",
        ),
        (lambda e: [x.update(track_id=1) for x in e], "person 1 twice in frame 0"),
        (lambda e: e[0].update(track_id="left"), "`track_id` is `left`, which is not a whole"),
        (
            lambda e: e[0].update(segmentation={"size": [48, 64], "counts": [5]}),
            "a mask that does not fill its 64x48 pixels",
        ),
        (
            lambda e: e[0].update(segmentation={"size": [48, 64], "counts": "\x01"}),
            "not a compressed mask",
        ),
        (
            lambda e: e[0].update(segmentation={"size": [64, 48], "counts": [64 * 48]}),
            "its masks are 48x64, but `clip.mp4` has 64x48",
        ),
        (lambda e: e[0].update(segmentation={"size": "big", "counts": []}), "has size `big`"),
        (lambda e: e[0].update(segmentation=[[1, 2]]), "no list of polygons"),
        (lambda e: e[0].update(segmentation=[[1e9] * 8]), "far outside of the picture"),
    ],
)
def test_detections_that_cannot_be(
    tmp_path: Path, people: People, damage: Damage, message: str
) -> None:
    path = writers.coco_results(tmp_path / "results.json", people)
    entries = json.loads(path.read_text())
    damage(entries)
    path.write_text(json.dumps(entries))
    refused(path, message)


def test_more_people_than_anybody_detects(tmp_path: Path) -> None:
    crowd = [{"image_id": 0, "bbox": [n % 50, 5, 8, 20], "track_id": n} for n in range(500)]
    path = writers.write_json(tmp_path / "crowd.json", crowd)
    refused(path, "500 people in frame 0 of the clip; at most 100 are read")
    np.savez(tmp_path / "a.npz", masks=np.ones((6, 500, 12, 16), bool))
    refused(tmp_path / "a.npz", "`masks` of 500 people")
    np.savez(tmp_path / "b.npz", masks=np.arange(6 * 48 * 64).reshape(6, 48, 64))
    refused(tmp_path / "b.npz", "more than 100 different numbers in `masks`")


def test_masks_far_larger_than_the_video(tmp_path: Path) -> None:
    for counts in ([48 * 64 * 100], "abc"):
        entry = {"image_id": 0, "segmentation": {"size": [4800, 6400], "counts": counts}}
        refused(writers.write_json(tmp_path / "a.json", [entry]), "its masks are 6400x4800, but")
    np.savez(tmp_path / "a.npz", masks=np.ones((6, 1, 480, 640), bool))
    refused(tmp_path / "a.npz", "its masks are 640x480, but")


@pytest.mark.parametrize("unknown", [float("nan"), None])
def test_nan_and_null_are_unknown(tmp_path: Path, people: People, unknown: float | None) -> None:
    path = writers.coco_results(tmp_path / "results.json", people)
    entries = json.loads(path.read_text())
    entries[0]["keypoints"][6:9] = [unknown] * 3
    entries[1]["bbox"] = [unknown] * 4
    path.write_text(json.dumps(entries))
    given = imported(path)
    assert given.keypoints[0, 2].tolist() == [0.0, 0.0, 0.0]
    assert given.keypoints[0, 3].all()
    assert given.box_given.tolist() == [True, False] + [True] * (len(people.seen) - 2)
    assert np.isfinite(given.boxes_xyxy).all()  # around the keypoints


def test_confidences_above_one_are_sure(tmp_path: Path, people: People) -> None:
    path = writers.coco_results(tmp_path / "results.json", people)
    entries = json.loads(path.read_text())
    entries[0]["keypoints"][2] = 4.5
    path.write_text(json.dumps(entries))
    assert imported(path).keypoints[0, 0, 2] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a picture that can be read"),
        (b"not a picture", "is not a picture that can be read"),
        (b"cut", "is not a picture that can be read"),
    ],
)
@pytest.mark.parametrize("write", [writers.masks_per_person, writers.masks_labelled])
def test_damaged_pictures(
    tmp_path: Path,
    people: People,
    write: Callable[[Path, People], Path],
    content: bytes,
    message: str,
) -> None:
    folder = write(tmp_path / "masks", people)
    file = sorted(folder.rglob("*1.png"))[0]
    file.write_bytes(file.read_bytes()[:60] if content == b"cut" else content)
    refused(folder, message, file.name)


def test_folders_without_masks(tmp_path: Path, people: People) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    refused(folder, "neither JSON files nor PNG pictures")
    (folder / "0.jpg").write_bytes(b"")
    refused(folder, "blur masks")
    (folder / "0.jpg").unlink()
    (folder / "left").mkdir()
    writers.masks_union(folder / "right", people)
    refused(folder, "holds no PNG pictures", "left")


def test_masks_of_another_shape(tmp_path: Path, people: People) -> None:
    square = People(people.boxes, people.keypoints, people.masks[..., :48])
    for write in (writers.masks_per_person, writers.masks_labelled, writers.masks_union):
        folder = write(tmp_path / write.__name__, square)
        refused(folder, r"are 48x48, but `clip.mp4` has 64x48", ".png")
    np.savez(tmp_path / "masks.npz", masks=square.masks)
    refused(tmp_path / "masks.npz", "are 48x48, but")


def test_black_masks(tmp_path: Path, people: People) -> None:
    nobody = People(people.boxes, people.keypoints, np.zeros_like(people.masks))
    for frame in range(len(nobody.masks)):
        for person in ("0", "1"):
            writers.save_png(tmp_path / "masks" / person / f"{frame}.png", nobody.masks[frame, 0])
    refused(tmp_path / "masks", "shows nobody")
    np.savez(tmp_path / "masks.npz", masks=nobody.masks)
    refused(tmp_path / "masks.npz", "shows nobody")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"masks": np.zeros((6, 48))}, r"shape \(6, 48\) instead of"),
        ({"masks": np.full((6, 2, 48, 64), "a")}, "instead of numbers"),
        ({"masks": np.ones((6, 48, 64))}, "logits without a person axis"),
        (
            {"masks": np.ones((6, 2, 48, 64), bool), "object_ids": np.array([1])},
            r"`object_ids` has shape \(1,\) instead of \(2\)",
        ),
        ({"masks": np.ones((5, 2, 48, 64), bool)}, "for 5 frames, but the video has 6"),
        ({"masks": np.ones((6, 2, 48, 64), complex)}, "`masks` holds `complex128` instead"),
        ({"masks": np.zeros((6, 2, 48, 64), "M8[s]")}, "instead of numbers"),
        (
            {
                "masks": np.ones((6, 2, 48, 64), bool),
                "object_ids": np.array([1, 2**64 - 1], np.uint64),
            },
            "`object_ids` has `1.84467e.19`, which is not a whole number",
        ),
        (
            {"masks": np.ones((6, 2, 48, 64), bool), "object_ids": np.array([3, 3])},
            "`object_ids` names a person twice",
        ),
        ({"masks": np.ones((6, 2, 48, 64), bool), "fps": np.array("x")}, "`fps` holds `<U1`"),
        ({"mask": np.ones((6, 2, 48, 64), bool)}, "`boxes` is missing"),
    ],
)
def test_arrays_that_are_something_else(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "masks.npz", **arrays)
    refused(tmp_path / "masks.npz", message)


def test_openpose_files_that_are_something_else(tmp_path: Path, people: People) -> None:
    folder = writers.openpose(tmp_path / "openpose", people)
    file = sorted(folder.iterdir())[2]
    file.write_text('{"people": [{"pose_keyp')
    refused(folder, "is cut off", file.name)
    file.write_text("")
    refused(folder, "is empty", file.name)
    file.write_text('{"version": 1.3}')
    refused(folder, "no list `people`", file.name)
    for each in folder.iterdir():
        each.write_text('{"people": []}')
    refused(folder, "no person in any of its files")
