import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from closefit import video
from closefit.errors import WeightsDamagedError
from closefit.perception.detectors.yolo import YoloDetector
from closefit.tracking.detections import box_iou


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks of the real classes with random weights, saved as a user's `.pt` files are."""
    folder = tmp_path_factory.mktemp("yolo")
    code = (
        "import sys; from ultralytics import YOLO\n"
        "for task in ('pose', 'seg'):\n"
        "    YOLO(f'yolo11n-{task}.yaml').save(f'{sys.argv[1]}/{task}.pt')\n"
    )
    settings = {**os.environ, "YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true"}
    subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=settings, check=True, capture_output=True
    )
    return {"pose": folder / "pose.pt", "seg": folder / "seg.pt"}


@pytest.fixture(scope="module")
def real(shared: Path) -> YoloDetector:
    weights = shared / "weights"
    return YoloDetector(
        weights / "yolo11n-pose_640_int8.tflite",
        weights / "yolo11n-seg_640_int8.tflite",
        "cpu",
        0.25,
    )


def test_checkpoints_load_and_give_the_documented_shapes(networks: dict[str, Path]) -> None:
    detector = YoloDetector(networks["pose"], networks["seg"], "cpu", 0.01)
    assert detector.batch_size > 1
    images = [np.full((72, 128, 3), value, dtype=np.uint8) for value in (0, 255)]
    results = detector.detect(images)
    assert len(results) == 2
    for found in results:
        people = len(found.scores)
        assert found.boxes_xyxy.shape == (people, 4)
        assert found.keypoints.shape == (people, 17, 3)
        assert found.masks.shape == (people, 72, 128)


def test_loading_leaves_the_process_as_it_was(
    networks: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    threads, variables = torch.get_num_threads(), dict(os.environ)
    printing = np.get_printoptions()
    YoloDetector(networks["pose"], None, "cpu", 0.25).detect([np.zeros((64, 64, 3), np.uint8)])
    assert torch.get_num_threads() == threads
    assert dict(os.environ) == variables
    assert np.get_printoptions() == printing
    assert os.listdir(tmp_path) == []


def test_nothing_is_sent_installed_or_written(networks: dict[str, Path], tmp_path: Path) -> None:
    """In a new process, as the variables count when the library is imported."""
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from closefit.perception.detectors.yolo import YoloDetector\n"
        "detector = YoloDetector(Path(sys.argv[1]), Path(sys.argv[2]), 'cpu', 0.25)\n"
        "detector.detect([np.zeros((64, 64, 3), np.uint8)])\n"
        "from ultralytics.utils import AUTOINSTALL, ONLINE, SAFE_LOAD, events\n"
        "assert not ONLINE and not AUTOINSTALL and SAFE_LOAD\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("YOLO_", "XDG_", "ULTRALYTICS_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(networks["pose"]), str(networks["seg"])],
        env={**settings, "HOME": str(home), "PYTHONPATH": os.getcwd()},
        cwd=home,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    left = {path.name for path in home.rglob("*") if path.is_file()}
    assert not any("ltralytics" in str(path) for path in home.rglob("*")), left


@pytest.mark.parametrize("content", [b"", b"no network", b"PK\x03\x04" + bytes(100)])
@pytest.mark.parametrize("name", ["pose.pt", "pose.tflite"])
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsDamagedError, match=rf"`.*{name}` is not a YOLO network") as caught:
        YoloDetector(path, None, "cpu", 0.25)
    assert "\n" not in str(caught.value)


def test_hostile_pickles_are_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "pose.pt"
    torch.save({"model": Hostile()}, path)
    with pytest.raises(WeightsDamagedError, match="is not a YOLO network"):
        YoloDetector(path, None, "cpu", 0.25)
    assert not (tmp_path / "owned").exists()


def test_two_people_are_found(real: YoloDetector, shared: Path) -> None:
    folder = shared / "clips" / "synth" / "dev_01"
    picture = next(video.frames(video.probe(folder / "video.mp4")))
    found = real.detect([picture])[0]
    truth = np.load(folder / "truth.npz")
    overlap = box_iou(found.boxes_xyxy, truth["boxes"][0].astype(float))
    assert len(found.scores) == 2
    assert sorted(overlap.argmax(axis=1)) == [0, 1]
    assert overlap.max(axis=1).min() > 0.7
    true = truth["keypoints2d"][0][overlap.argmax(axis=1)]
    height = found.boxes_xyxy[:, 3] - found.boxes_xyxy[:, 1]
    error = np.linalg.norm(found.keypoints[..., :2] - true, axis=-1) / height[:, None]
    assert error.mean() < 0.05
    shape = tuple(truth["masks_shape"])
    union = np.unpackbits(truth["masks"], count=int(np.prod(shape))).reshape(shape)[0].any(axis=0)
    assert (found.masks.any(axis=0) & union).sum() / (found.masks.any(axis=0) | union).sum() > 0.8


def test_an_empty_picture_has_nobody(real: YoloDetector) -> None:
    found = real.detect([np.full((120, 90, 3), 128, dtype=np.uint8)])[0]
    assert found.boxes_xyxy.shape == (0, 4)
    assert found.keypoints.shape == (0, 17, 3)
    assert found.masks.shape == (0, 120, 90)


def test_box_iou_by_hand() -> None:
    boxes = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]])
    expected = [[1.0, 1 / 7, 0.0], [1 / 7, 1.0, 0.0], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(box_iou(boxes, boxes), expected)
