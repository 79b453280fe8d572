"""Detections made elsewhere through the real command line, on a real video."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closefit.perception import second_look, yolo
from closefit.records import Track
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from closefit.tracking.detections import Detections
from tests.clips import make_video, number_in
from tests.stubs import BlindBlazePose
from tests.unit.imports.detections import writers
from tests.unit.imports.detections.writers import People
from tests.unit.tracking.scenes import walk

FRAMES, WIDTH, HEIGHT = 20, 640, 360


def people_at(*centres_px: np.ndarray | float) -> People:
    """Two people who walk along given paths, with masks in which neither covers the other."""
    pair = walk(np.stack(np.broadcast_arrays(*centres_px, np.zeros(FRAMES))[:2], axis=-1))
    masks = np.zeros((FRAMES, 2, HEIGHT, WIDTH), dtype=bool)
    for frame in range(FRAMES):
        for person in range(2):
            left, top, right, bottom = pair.boxes_xyxy[frame, person].round().astype(int)
            masks[frame, :, top:bottom, left:right] = False
            masks[frame, person, top:bottom, left:right] = True
    return People(pair.boxes_xyxy, pair.keypoints, masks)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES, (WIDTH, HEIGHT))


@pytest.fixture(scope="module")
def people() -> People:
    return people_at(200.0, 330.0)


@pytest.fixture
def tracked(invoke, video: Path, tmp_path: Path) -> Callable[..., Track]:
    """Run `stage track` with imports and read what it wrote."""

    def run(*paths: Path, options: tuple[object, ...] = ()) -> Track:
        given = [word for path in paths for word in ("--observations", path)]
        out = tmp_path / "out"
        result = invoke("stage", "track", video, "--out", out, "--offline", *given, *options)
        assert result.exit_code == 0, result.stderr
        return artifacts.read(Workspace(out).artifact("track"), Track)

    return run


class StubDetector:
    """Reads a picture's number and reports people, a little off, in changing order."""

    batch_size = 3

    def __init__(self, people: People) -> None:
        self.people = people
        self.segmentation: Path | None = None

    def detect(self, images: list[np.ndarray]) -> list[Detections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> Detections:
        number = number_in(image)
        order = [0, 1] if number % 2 else [1, 0]
        return Detections(
            boxes_xyxy=self.people.boxes[number, order] + 1.5,
            scores=np.full(2, 0.9),
            keypoints=self.people.keypoints[number, order] + np.array([0.5, 0.5, 0.0]),
            masks=self.people.masks[number, order] & (self.segmentation is not None),
        )


@pytest.fixture
def with_yolo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, people: People
) -> tuple[StubDetector, tuple[object, ...]]:
    """A stand-in detector, and the options that choose it."""
    stub = StubDetector(people)

    def make(_pose: Path, segmentation: Path | None, *_: Any) -> StubDetector:
        stub.segmentation = segmentation
        return stub

    monkeypatch.setattr(yolo, "YoloDetector", make)
    monkeypatch.setattr(second_look, "BlazePose", lambda _: BlindBlazePose())
    monkeypatch.setattr(
        "closefit.models.weights.file_problem", lambda *_: None
    )  # the stub reads none
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("yolo11n-pose.pt", "yolo11n-seg.pt", "pose_landmark_full.tflite"):
        (weights / name).write_bytes(b"a network")
    return stub, ("--perception", "yolo", "--device", "cpu", "--weights", weights)


def masks_of(written: Track) -> np.ndarray:
    return written.person_masks[:]


@pytest.mark.parametrize(
    "write",
    [
        lambda folder, people: writers.coco_results(folder / "results.json", people),
        lambda folder, people: writers.coco_annotations(folder / "all.json", people),
        lambda folder, people: writers.openpose(folder / "openpose", people),
        lambda folder, people: writers.alphapose(folder / "alphapose.json", people),
    ],
    ids=["COCO results", "COCO annotations", "OpenPose", "AlphaPose"],
)
def test_keypoints_are_enough(tracked, tmp_path: Path, people: People, write) -> None:
    written = tracked(write(tmp_path, people))
    np.testing.assert_allclose(written.keypoints[..., :2], people.keypoints[..., :2], atol=1e-3)
    assert written.seen.all()
    overlap = np.abs(written.boxes_xyxy - people.boxes) / 200.0
    assert overlap.max() < 0.1
    if written.person_masks.shown.any():  # COCO annotations have some
        np.testing.assert_array_equal(masks_of(written), people.masks)
        np.testing.assert_allclose(written.boxes_xyxy, people.boxes, atol=1e-3)
    else:
        assert not written.union_masks.shown.any()


@pytest.mark.parametrize("write", [writers.masks_per_person, writers.masks_labelled])
def test_keypoints_and_masks_of_two_tools(tracked, tmp_path: Path, people: People, write) -> None:
    keypoints = writers.openpose(tmp_path / "openpose", people)
    written = tracked(keypoints, write(tmp_path / "masks", people, 1))
    np.testing.assert_array_equal(masks_of(written), people.masks)
    np.testing.assert_array_equal(written.union_masks[:], people.masks.any(axis=1))
    np.testing.assert_allclose(written.keypoints[..., :2], people.keypoints[..., :2], atol=1e-3)
    assert (written.identity_confidence == 1.0).all()


def test_a_part_of_the_video(tracked, tmp_path: Path, people: People) -> None:
    keypoints = writers.alphapose(tmp_path / "alphapose.json", people)
    masks = writers.masks_per_person(tmp_path / "masks", people)
    written = tracked(keypoints, masks, options=("--start", 0.2, "--end", 0.5))
    np.testing.assert_allclose(written.time_s, np.arange(6, 15) / 30.0, atol=1e-6)
    np.testing.assert_allclose(written.boxes_xyxy, people.boxes[6:15], atol=1e-3)
    np.testing.assert_array_equal(masks_of(written), people.masks[6:15])


def test_masks_at_another_size(tracked, tmp_path: Path, people: People) -> None:
    """Masks have the working size, whatever size they came in."""
    small = People(people.boxes, people.keypoints, people.masks[:, :, ::2, ::2])
    keypoints = writers.openpose(tmp_path / "openpose", people)
    masks = writers.masks_per_person(tmp_path / "masks", small)
    written = tracked(keypoints, masks, options=("--set", "track.work_height_px=180"))
    assert written.mask_size_wh.tolist() == [320, 180]
    np.testing.assert_array_equal(masks_of(written), small.masks)


def test_imported_numbers_are_kept(tracked, tmp_path: Path) -> None:
    """Two people who seem to change places from one frame to the next, if the file is right."""
    left = np.where(np.arange(FRAMES) < 10, 200.0, 330.0)
    people = people_at(left, 530.0 - left)
    written = tracked(writers.alphapose(tmp_path / "alphapose.json", people))
    np.testing.assert_allclose(written.boxes_xyxy, people.boxes, atol=1e-3)
    assert (written.identity_confidence == 1.0).all()


def test_without_numbers_people_are_distinguished(tracked, tmp_path: Path, people: People) -> None:
    """The order in a file without numbers means nothing."""
    mixed = People(people.boxes.copy(), people.keypoints.copy(), people.masks)
    mixed.boxes[::2] = people.boxes[::2, ::-1]
    mixed.keypoints[::2] = people.keypoints[::2, ::-1]
    written = tracked(writers.openpose(tmp_path / "openpose", mixed))
    np.testing.assert_allclose(written.keypoints[..., :2], people.keypoints[..., :2], atol=1e-3)


def test_the_two_who_are_together_are_chosen_from_a_crowd(
    tracked, tmp_path: Path, people: People
) -> None:
    others = people_at(40.0, 600.0)
    crowd = [
        entry | {"track_id": entry["track_id"] + 10 * group}
        for group, pair in enumerate((others, people))
        for entry in entries(writers.coco_results(tmp_path / f"{group}.json", pair))
    ]
    written = tracked(writers.write_json(tmp_path / "crowd.json", crowd))
    np.testing.assert_allclose(written.boxes_xyxy, people.boxes, atol=1e-3)


def entries(path: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(path.read_text())
    return content


def test_own_boxes_with_found_keypoints_and_masks(
    tracked, with_yolo, tmp_path: Path, people: People
) -> None:
    _, options = with_yolo
    written = tracked(writers.mot(tmp_path / "tracks.txt", people), options=options)
    np.testing.assert_allclose(written.boxes_xyxy, people.boxes, atol=0.01)
    np.testing.assert_allclose(
        written.keypoints[..., :2], people.keypoints[..., :2] + 0.5, atol=0.01
    )
    np.testing.assert_array_equal(masks_of(written), people.masks)


def test_own_masks_with_found_keypoints(tracked, with_yolo, tmp_path: Path, people: People) -> None:
    stub, options = with_yolo
    smaller = People(people.boxes, people.keypoints, people.masks.copy())
    smaller.masks[:, :, :150] = False
    written = tracked(writers.masks_labelled(tmp_path / "masks", smaller), options=options)
    np.testing.assert_array_equal(masks_of(written), smaller.masks)
    np.testing.assert_allclose(
        written.keypoints[..., :2], people.keypoints[..., :2] + 0.5, atol=0.01
    )
    assert stub.segmentation is None  # its masks are not needed


def test_own_keypoints_with_found_masks(tracked, with_yolo, tmp_path: Path, people: People) -> None:
    _, options = with_yolo
    written = tracked(writers.openpose(tmp_path / "openpose", people), options=options)
    np.testing.assert_allclose(written.keypoints[..., :2], people.keypoints[..., :2], atol=1e-3)
    np.testing.assert_array_equal(masks_of(written), people.masks)
    np.testing.assert_allclose(written.boxes_xyxy, people.boxes + 1.5, atol=0.01)


def test_own_silhouettes_with_everything_else_found(
    tracked, with_yolo, tmp_path: Path, people: People
) -> None:
    _, options = with_yolo
    larger = np.repeat(people.masks.any(axis=1)[:, None], 2, axis=1)
    larger[:, :, 300:310] = True
    silhouettes = writers.masks_union(
        tmp_path / "union", People(people.boxes, people.keypoints, larger)
    )
    written = tracked(silhouettes, options=options)
    np.testing.assert_array_equal(written.union_masks[:], larger[:, 0])
    np.testing.assert_array_equal(masks_of(written), people.masks)


def test_an_import_of_one_person_reports_that_the_import_decides(
    invoke, video: Path, with_yolo, tmp_path: Path, people: People
) -> None:
    _, options = with_yolo
    alone = People(people.boxes[:, :1], people.keypoints[:, :1], people.masks[:, :1])
    path = writers.mot(tmp_path / "tracks.txt", alone)
    out = tmp_path / "out"
    result = invoke("stage", "track", video, "--out", out, "--observations", path, *options)
    assert result.exit_code == 9
    assert "only one person was found" in result.stderr
    assert "`--observations` names decides who is there" in result.stderr


@pytest.mark.parametrize(
    "write",
    [
        lambda folder, people: writers.mot(folder / "given.txt", people),
        lambda folder, people: writers.masks_per_person(folder / "given", people),
        lambda folder, people: writers.masks_union(folder / "given", people),
    ],
    ids=["boxes", "masks", "silhouettes"],
)
def test_without_keypoints_a_detector_is_required(
    invoke, video: Path, tmp_path: Path, people: People, write
) -> None:
    path = write(tmp_path, people)
    result = invoke("stage", "track", video, "--out", tmp_path / "out", "--observations", path)
    assert result.exit_code == 3
    assert f"`{path}`" in result.stderr
    assert "there are no keypoints" in result.stderr
    assert "add `--perception yolo`" in result.stderr


def test_a_changed_picture_in_a_folder_is_noticed(
    invoke, tracked, tmp_path: Path, people: People
) -> None:
    keypoints = writers.openpose(tmp_path / "openpose", people)
    masks = writers.masks_per_person(tmp_path / "masks", people)
    tracked(keypoints, masks)
    status = ("status", tmp_path / "out")
    before = invoke(*status).stdout + invoke(*status).stderr
    assert "track.observations" not in before
    writers.save_png(masks / "000" / "00003.png", people.masks[4, 0] * 255)
    after = invoke(*status).stdout + invoke(*status).stderr
    assert "track.observations" in after


@pytest.mark.slow
def test_a_whole_first_estimate_in_a_process_of_its_own(
    video: Path, tmp_path: Path, people: People
) -> None:
    openpose = writers.openpose(tmp_path / "openpose", people)
    masks = writers.masks_labelled(tmp_path / "masks", people)
    out = tmp_path / "out"
    arguments = [
        *("run", video, "--out", out, "--observations", openpose, "--observations", masks),
        *("--preset", "draft", "--until", "init", "--set", "init.prior_steps=2", "--device", "cpu"),
    ]
    done = run_closefit(arguments)
    assert done.returncode == 0, done.stderr
    assert Workspace(out).artifact("init").is_file()

    (masks / "frame_3.png").write_bytes(b"cut")
    done = run_closefit([*arguments, "--force"])
    assert done.returncode == 3
    assert "frame_3.png` cannot be used: it is not a picture that can be read" in done.stderr
    assert "Traceback" not in done.stderr


def run_closefit(arguments: list[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from closefit.cli.main import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
