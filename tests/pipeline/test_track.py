"""The stage `track` on real video files, with each of its backends."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from closefit import video
from closefit.config import CameraConfig, Config, TrackConfig
from closefit.errors import (
    NeverTogetherError,
    NobodyError,
    NoFramesError,
    ObservationsError,
    OnePersonError,
    WeightsDamagedError,
    WeightsMissingError,
)
from closefit.events import Event, Notice, Step
from closefit.perception import lite, second_look, yolo
from closefit.perception.detectors.blazepose import BlazePoseResult
from closefit.perception.detectors.yolo import YoloDetector
from closefit.records import Track, VideoInfo
from closefit.stages import track
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from closefit.tracking.detections import Detections
from tests.clips import make_video, number_in, remux
from tests.stubs import BlindBlazePose
from tests.unit.imports.detections import writers
from tests.unit.perception.detectors.snapshots import save_sam2, save_vitpose
from tests.unit.tracking.scenes import HEIGHT_PX, walk

FRAMES = 40
SIZE_WH = (640, 360)


class StubDetector:
    """Reads a picture's number and reports people at places known in advance."""

    batch_size = 3

    def __init__(self, hidden: np.ndarray, segmentation: bool = True) -> None:
        self.people = walk(np.tile([200.0, 330.0], (FRAMES, 1)))
        self.hidden = hidden
        self.segmentation = segmentation
        self.seen_sizes: set[tuple[int, ...]] = set()

    def detect(self, images: list[np.ndarray]) -> list[Detections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> Detections:
        self.seen_sizes.add(image.shape)
        number, scale = number_in(image), image.shape[0] / SIZE_WH[1]
        order = np.flatnonzero(~self.hidden[number])[:: 1 if number % 2 else -1]
        boxes = self.people.boxes_xyxy[number, order] * scale
        masks = np.zeros((len(order), *image.shape[:2]), dtype=bool)
        for mask, box in zip(masks, boxes.round().astype(int), strict=True):
            mask[box[1] : box[3], box[0] : box[2]] = self.segmentation
        return Detections(
            boxes_xyxy=boxes,
            scores=np.full(len(order), 0.9),
            keypoints=self.people.keypoints[number, order] * (scale, scale, 1.0),
            masks=masks,
        )


class LandmarkDetector(StubDetector):
    """Gives each person's number as the place of all their landmarks."""

    batch_size = 1

    def _detect(self, image: np.ndarray) -> Detections:
        found = super()._detect(image)
        number = number_in(image)
        order = np.flatnonzero(~self.hidden[number])[:: 1 if number % 2 else -1]
        landmarks = np.full((len(order), 17, 4), 0.8)
        landmarks[..., :3] = order[:, None, None]
        return replace(found, landmarks_3d_m=landmarks)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    return video.probe(make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES, SIZE_WH))


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> StubDetector:
    stub = StubDetector(np.zeros((FRAMES, 2), dtype=bool))

    def make(_pose: Path, segmentation: Path | None, *_: Any) -> StubDetector:
        stub.segmentation = segmentation is not None
        return stub

    monkeypatch.setattr(yolo, "YoloDetector", make)
    monkeypatch.setattr(second_look, "BlazePose", lambda _: BlindBlazePose())
    return stub


def run(
    folder: Path, clip: VideoInfo, events: list[Event], weights: Path | None = None, **settings: Any
) -> tuple[Track, dict[str, Any]]:
    """Run the stage and read back what it wrote."""
    workspace = Workspace(folder / "results")
    workspace.create()
    weights_dir = None if weights is None else str(weights)
    camera = CameraConfig(motion="still")  # behind these people there is nothing to be seen
    config = Config(track=TrackConfig(**settings), camera=camera, weights_dir=weights_dir)
    job = Job(
        workspace=workspace,
        config=config,
        video=clip,
        device="cpu",
        emit=events.append,
        provenance=Provenance(stage="track", fingerprint="0"),
    )
    track.run(job)
    return artifacts.read(workspace.artifact("track"), Track), job.quality


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that `locate` finds and takes for the published ones; the stub looks into none."""
    monkeypatch.setattr("closefit.models.weights.file_problem", lambda *_: None)
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("yolo11n-pose.pt", "yolo11n-seg.pt", "pose_landmark_full.tflite"):
        (folder / name).write_bytes(b"a network")
    return folder


Run = Callable[..., tuple[Track, dict[str, Any]]]


@pytest.fixture
def tracked(tmp_path: Path, clip: VideoInfo, events: list[Event], weights: Path) -> Run:
    """Run the stage with the given settings, on the clip unless another is given."""

    def run_with(video: VideoInfo = clip, **settings: Any) -> tuple[Track, dict[str, Any]]:
        return run(tmp_path, video, events, weights, **settings)

    return run_with


@pytest.fixture
def small_networks(weights: Path) -> Path:
    """The real classes of `full` with random weights, beside the others."""
    save_sam2(weights / "sam2.1-hiera-tiny")
    save_vitpose(weights / "vitpose-base-simple")
    return weights


class TestLite:
    def test_landmarks_follow_their_person(
        self, tracked: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The stub turns the people's order round in every other frame and hides one of them."""
        hidden = np.zeros((FRAMES, 2), dtype=bool)
        hidden[10:13, 1] = True
        stub = LandmarkDetector(hidden)
        monkeypatch.setattr(lite, "LiteDetector", lambda *_: stub)
        monkeypatch.setattr(lite, "locate", lambda name, _folder: Path(name))
        written, _ = tracked(perception="lite", work_height_px=180)
        assert written.landmarks_3d_m.shape == (FRAMES, 2, 17, 4)
        assert written.person_masks.shown.any()
        for person in range(2):
            seen = ~hidden[:, person]
            np.testing.assert_array_equal(written.landmarks_3d_m[seen, person, :, :3], person)
            trust = np.minimum(written.keypoints[seen, person, :, 2], 0.8)
            # Masks may lower the trust in a keypoint later; in its landmark they do not.
            assert (written.landmarks_3d_m[seen, person, :, 3] >= trust - 1e-6).all()
            assert (written.landmarks_3d_m[seen, person, :, 3] <= np.float32(0.8)).all()
            assert not written.landmarks_3d_m[~seen, person, :, 3].any()

    def test_missing_weights(
        self, tmp_path: Path, clip: VideoInfo, events: list[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        with pytest.raises(WeightsMissingError, match=r"rtmdet_nano_person_320\.onnx"):
            run(tmp_path, clip, events, perception="lite")


class TestYolo:
    def test_two_people_in_source_pixels(
        self, tracked: Run, events: list[Event], detector: StubDetector
    ) -> None:
        written, quality = tracked(perception="yolo", work_height_px=180)
        assert detector.seen_sizes == {(180, 320, 3)}
        assert written.size_wh.tolist() == [640, 360]
        assert written.mask_size_wh.tolist() == [320, 180]
        people = detector.people
        np.testing.assert_allclose(written.boxes_xyxy, people.boxes_xyxy, atol=0.01)
        np.testing.assert_allclose(written.keypoints[..., :2], people.keypoints[..., :2], atol=0.01)
        np.testing.assert_allclose(written.time_s, np.arange(FRAMES) / 30.0, atol=1e-6)
        assert written.seen.all()
        assert written.identity_confidence.min() > 0.9
        assert quality["both_seen"] == 1.0
        masks = written.person_masks[:]
        areas = masks.sum(axis=(2, 3)) * 4.0
        expected = np.prod(people.boxes_xyxy[..., 2:] - people.boxes_xyxy[..., :2], axis=-1)
        np.testing.assert_allclose(areas, expected, rtol=0.05)
        np.testing.assert_array_equal(written.union_masks[:], masks.any(axis=1))
        for task in ("people", "looks", "second look"):
            steps = [e for e in events if isinstance(e, Step) and e.task == task]
            assert [(step.done, step.total) for step in steps] == [
                (done, FRAMES) for done in range(1, FRAMES + 1)
            ]

    def test_the_second_look_is_in_pixels_of_the_working_size(
        self, tracked: Run, detector: StubDetector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blind, people, calls = BlindBlazePose(), detector.people, count()

        def see(_picture: Any, box_xyxy: np.ndarray, upright_rad: float) -> BlazePoseResult:
            frame, person = divmod(next(calls), 2)
            np.testing.assert_allclose(box_xyxy, people.boxes_xyxy[frame, person] / 2, atol=0.01)
            seen = people.keypoints[frame, person] * (0.5, 0.5, 1.0) + (3.0, 0.0, 0.0)
            return replace(blind.estimate_in_box(_picture, box_xyxy, upright_rad), keypoints=seen)

        stub = SimpleNamespace(estimate_in_box=see)
        monkeypatch.setattr(second_look, "BlazePose", lambda _: stub)
        written, _ = tracked(perception="yolo", work_height_px=180)
        moved = written.keypoints[..., :2] - people.keypoints[..., :2]
        expected = np.zeros((17, 2))
        expected[5:, 0] = second_look.WEIGHT * 6.0
        np.testing.assert_allclose(moved, np.broadcast_to(expected, moved.shape), atol=0.01)

    def test_keypoints_of_an_import_are_not_looked_at_again(
        self, tracked: Run, detector: StubDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(yolo, "looked_again")  # a NameError where it is called
        path = make_observations(tmp_path / "given.npz", boxes=detector.people.boxes_xyxy)
        written, _ = tracked(perception="yolo", observations=(str(path),))
        assert written.seen.all()

    def test_silhouettes_of_another_size_where_nobody_has_a_mask(
        self, tracked: Run, detector: StubDetector, tmp_path: Path
    ) -> None:
        """Nothing is painted over in the second look; the silhouettes keep their size."""
        found = detector._detect
        detector._detect = lambda image: replace(found(image), masks=found(image).masks & False)
        path = tmp_path / "silhouettes.npz"
        np.savez(path, masks=np.ones((FRAMES, 90, 160), dtype=bool))
        written, _ = tracked(perception="yolo", observations=(str(path),))
        assert written.mask_size_wh.tolist() == [160, 90]
        assert written.union_masks.shown.all()
        assert not written.person_masks.shown.any()

    def test_only_the_chosen_part(self, tracked: Run, detector: StubDetector) -> None:
        written, _ = tracked(perception="yolo", start_s=0.4, end_s=1.0)
        np.testing.assert_allclose(written.time_s, np.arange(12, 30) / 30.0, atol=1e-6)
        people = detector.people.boxes_xyxy[12:30]
        np.testing.assert_allclose(written.boxes_xyxy, people, atol=0.01)

    def test_who_is_not_seen_is_reported(
        self, tracked: Run, events: list[Event], detector: StubDetector
    ) -> None:
        detector.hidden[10:13, 1] = True
        detector.hidden[30:, 1] = True
        written, quality = tracked(perception="yolo")
        assert written.filled[:, 1].nonzero()[0].tolist() == [10, 11, 12]
        np.testing.assert_array_equal(written.seen, ~detector.hidden)
        assert np.isnan(written.boxes_xyxy[30:, 1]).all()
        assert not written.identity_confidence[30:, 1].any()
        assert np.isfinite(written.keypoints).all()
        notices = [event for event in events if isinstance(event, Notice)]
        assert [notice.text for notice in notices] == [
            "person 1 was not found in 13 of 40 frames (3 filled in): 10-12, 30-39"
        ]
        assert notices[0].warning
        assert quality["not_seen_frames"] == [[], [10, 11, 12, *range(30, 40)]]
        known = written.union_masks[:].any(axis=(1, 2))
        np.testing.assert_array_equal(known, written.union_masks.shown)
        assert known.nonzero()[0].tolist() == [*range(10), *range(13, 40)]

    @pytest.mark.parametrize(
        ("hidden", "error"),
        [
            (np.s_[:, :], NobodyError),
            (np.s_[:, 1], OnePersonError),
        ],
    )
    def test_too_few_people(
        self,
        tracked: Run,
        detector: StubDetector,
        hidden: tuple[slice, ...],
        error: type[Exception],
    ) -> None:
        detector.hidden[hidden] = True
        with pytest.raises(error, match=r"was found in `.*clip\.mp4`"):
            tracked(perception="yolo")

    def test_people_who_never_meet(self, tracked: Run, detector: StubDetector) -> None:
        detector.people = walk(np.tile([60.0, 580.0], (FRAMES, 1)))
        detector.hidden[18:, 0] = True
        detector.hidden[:20, 1] = True
        with pytest.raises(NeverTogetherError, match="no frame of"):
            tracked(perception="yolo")

    def test_weights_are_required(
        self, tmp_path: Path, clip: VideoInfo, events: list[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(WeightsMissingError, match="pose_landmark_full"):
            run(tmp_path, clip, events, perception="yolo")

    def test_a_part_without_frames(self, tracked: Run, detector: StubDetector) -> None:
        del detector
        with pytest.raises(NoFramesError, match="no frame between"):
            tracked(perception="yolo", start_s=5.0)

    def test_a_turned_video_is_upright(
        self, tracked: Run, tmp_path: Path, clip: VideoInfo, detector: StubDetector
    ) -> None:
        turned = remux(
            Path(clip.path), tmp_path / "turned.mp4", before=["-display_rotation", "180"]
        )
        detector._detect_upright = detector._detect
        detector._detect = lambda image: detector._detect_upright(np.rot90(image, 2))
        written, _ = tracked(video.probe(turned), perception="yolo")
        assert written.size_wh.tolist() == [640, 360]
        np.testing.assert_allclose(written.boxes_xyxy, detector.people.boxes_xyxy, atol=0.01)


def make_observations(path: Path, **changes: np.ndarray) -> Path:
    people = walk(np.tile([200.0, 330.0], (FRAMES, 1)))
    masks = np.zeros((FRAMES, 90, 160), dtype=bool)
    masks[:, 20:70, 40:90] = True
    arrays = {
        "boxes": people.boxes_xyxy,
        "keypoints": people.keypoints,
        "union_masks": np.packbits(masks),
        "union_masks_shape": np.array(masks.shape),
        "width": np.array(640),
        "height": np.array(360),
        "fps": np.array(30.0),
    }
    np.savez(path, **{**arrays, **changes})
    return path


class TestImport:
    def test_mistakes_of_the_detector_are_repaired(self, tracked: Run, tmp_path: Path) -> None:
        people = walk(np.tile([200.0, 330.0], (FRAMES, 1)))
        frames = np.zeros(FRAMES, dtype=bool)
        frames[[5, 20, 21]] = True
        wrong = people.swapped(frames)
        wrong.keypoints[30, 0, 9, :2] = wrong.keypoints[30, 1, 9, :2]
        path = make_observations(
            tmp_path / "given.npz", boxes=wrong.boxes_xyxy, keypoints=wrong.keypoints
        )
        written, quality = tracked(observations=(str(path),))
        np.testing.assert_allclose(written.boxes_xyxy, people.boxes_xyxy, atol=1e-3)
        assert quality["swapped_frames"] == [5, 20, 21]
        assert written.keypoints[30, 0, 9, 2] < 0.1 * people.keypoints[30, 0, 9, 2]
        assert not written.person_masks.shown.any()
        union = written.union_masks[:]
        assert union.shape == (FRAMES, 90, 160)
        assert (union.sum(axis=(1, 2)) == 50 * 50).all()

    def test_a_part_of_the_video(self, tracked: Run, tmp_path: Path) -> None:
        path = make_observations(tmp_path / "given.npz")
        settings = {"observations": (str(path),), "start_s": 0.4, "end_s": 1.0}
        written, _ = tracked(**settings)
        people = walk(np.tile([200.0, 330.0], (FRAMES, 1)))
        np.testing.assert_allclose(written.boxes_xyxy, people.boxes_xyxy[12:30], atol=1e-3)

    def test_wrong_files_and_too_few_people(self, tracked: Run, tmp_path: Path) -> None:
        path = make_observations(tmp_path / "given.npz", width=np.array(100))
        with pytest.raises(ObservationsError, match="100x360 video"):
            tracked(observations=(str(path),))
        boxes = walk(np.tile([200.0, 330.0], (FRAMES, 1))).boxes_xyxy
        boxes[:, 1] = np.nan
        make_observations(path, boxes=boxes)
        with pytest.raises(OnePersonError, match="only one person"):
            tracked(observations=(str(path),))

    def test_rendered_clip(self, tracked: Run, shared: Path) -> None:
        folder = shared / "clips" / "synth" / "dev_02"
        written, quality = tracked(
            video.probe(folder / "video.mp4"),
            observations=(str(folder / "observations.npz"),),
        )
        truth = np.load(folder / "truth.npz")
        distance = np.linalg.norm(written.keypoints[..., :2] - truth["keypoints2d"], axis=-1)
        known = written.keypoints[..., 2] > 0.3
        height = truth["boxes"][..., 3] - truth["boxes"][..., 1]
        assert (distance / height[..., None])[known].mean() < 0.015
        assert len(quality["swapped_frames"]) == 4


class TestFull:
    @pytest.fixture(autouse=True)
    def _one_thread(self) -> Iterator[None]:
        """Networks this small are slowed down, not sped up, by threads."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    @pytest.mark.usefixtures("small_networks")
    def test_every_part_contributes(
        self, tracked: Run, events: list[Event], detector: StubDetector
    ) -> None:
        """Real classes with random weights: their output is noise, but all of it arrives."""
        detector.hidden[6, 1] = True
        settings = {"perception": "full", "end_s": 0.3, "work_height_px": 90}
        written, _ = tracked(**settings)
        assert not detector.segmentation
        assert written.mask_size_wh.tolist() == [160, 90]
        masks = written.person_masks[:]
        assert masks.shape == (9, 2, 90, 160)
        assert not (masks[:, 0] & masks[:, 1]).any()
        boxes = detector.people.boxes_xyxy[:9]
        assert np.abs(written.boxes_xyxy - boxes).max() < 0.05 * HEIGHT_PX
        known = written.keypoints[..., 2] > 0
        inside = written.keypoints[known][:, 0]
        assert inside.min() > 0
        assert inside.max() < SIZE_WH[0]
        tasks = [event.task for event in events if isinstance(event, Step)]
        assert [tasks.count(task) for task in ("people", "keypoints", "masks")] == [9, 9, 9]

    @pytest.mark.parametrize("damaged", ["sam2.1-hiera-tiny", "vitpose-base-simple"])
    def test_a_damaged_network_is_refused_before_the_long_work(
        self,
        tracked: Run,
        tmp_path: Path,
        detector: StubDetector,
        small_networks: Path,
        damaged: str,
    ) -> None:
        (small_networks / damaged / "model.safetensors").write_bytes(b"no network")
        with pytest.raises(WeightsDamagedError, match=rf"`.*{damaged}.*` is damaged"):
            tracked(perception="full")
        assert not detector.seen_sizes
        assert not Workspace(tmp_path / "results").artifact("track").exists()

    def test_networks_run_only_for_what_an_import_lacks(
        self, tracked: Run, tmp_path: Path, detector: StubDetector
    ) -> None:
        """There are no networks for keypoints and masks here, and none are needed."""
        people = detector.people
        masks = np.zeros((FRAMES, 2, *SIZE_WH[::-1]), dtype=bool)
        masks[:, 0, 100:250, 150:230] = masks[:, 1, 100:250, 290:370] = True
        who = writers.People(people.boxes_xyxy, people.keypoints, masks)
        paths = (
            writers.openpose(tmp_path / "openpose", who),
            writers.masks_labelled(tmp_path / "masks", who),
        )
        observations = tuple(str(path) for path in paths)
        settings = {"perception": "full", "observations": observations}
        written, _ = tracked(**settings)
        np.testing.assert_allclose(written.keypoints[..., :2], people.keypoints[..., :2], atol=0.01)
        np.testing.assert_array_equal(written.person_masks[:], masks)
        assert str(written.keypoint_set) == "coco17"


def test_yolo_on_a_rendered_clip(
    tmp_path: Path, shared: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared / "clips" / "synth" / "dev_01"
    settings = {"perception": "yolo", "end_s": 0.19}
    info = video.probe(folder / "video.mp4")
    written, quality = run(tmp_path, info, events, shared / "weights", **settings)
    assert YoloDetector is yolo.YoloDetector
    assert str(written.keypoint_set) == "coco17_detected"
    truth = np.load(folder / "truth.npz")
    assert quality["both_seen"] == 1.0
    frames = len(written.time_s)
    order = [0, 1] if truth["boxes"][0, 0, 0] < truth["boxes"][0, 1, 0] else [1, 0]
    true = truth["keypoints2d"][:frames, order]

    def error(found: Track) -> float:
        apart = np.linalg.norm(found.keypoints[..., :2] - true, axis=-1)
        return float(np.average(apart, weights=found.keypoints[..., 2]))

    assert error(written) < 0.04 * 280
    monkeypatch.setattr(yolo, "looked_again", lambda _clip, found, _weights: found)
    first, _ = run(tmp_path / "first", info, events, shared / "weights", **settings)
    assert error(written) < 0.9 * error(first)
    shape = tuple(truth["masks_shape"])
    masks = np.unpackbits(truth["masks"], count=int(np.prod(shape))).reshape(shape)[:frames]
    union, true_union = written.union_masks[:], masks.any(axis=1)
    assert (union & true_union).sum() / (union | true_union).sum() > 0.85
