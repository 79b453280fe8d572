import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.errors import WeightsDamagedError
from closefit.perception.detectors.rtmdet import RtmdetDetector, _letterbox
from closefit.tracking.detections import box_iou


@pytest.fixture(scope="module")
def network(shared: Path) -> RtmdetDetector:
    return RtmdetDetector(shared / "weights" / "rtmdet_nano_person_320.onnx")


@pytest.fixture(scope="module")
def scene(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """A picture of two people who stand apart, and their boxes."""
    clip = shared / "clips" / "synth" / "dev_01"
    with np.load(clip / "truth.npz") as truth:
        boxes = truth["boxes"][0].astype(np.float64)
    return next(video.frames(video.probe(clip / "video.mp4"))), boxes


def test_both_people_and_nobody_else(network: RtmdetDetector, scene) -> None:
    image, truth = scene
    boxes, scores = network.detect(image, confidence=0.3)
    assert len(boxes) == len(scores) == 2
    assert (box_iou(truth, boxes).max(axis=1) > 0.8).all()
    assert (scores >= 0.3).all()


def test_an_upright_frame_gives_the_same_boxes(network: RtmdetDetector, scene) -> None:
    """What is added at the bottom does not move anybody."""
    image, truth = scene
    tall = np.concatenate([image, np.full_like(image, 90)])
    boxes, _ = network.detect(tall, confidence=0.3)
    assert (box_iou(truth, boxes).max(axis=1) > 0.7).all()


def test_an_empty_picture(network: RtmdetDetector) -> None:
    boxes, scores = network.detect(np.zeros((90, 160, 3), dtype=np.uint8), confidence=0.3)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("size_wh", [(640, 360), (301, 77), (50, 900), (320, 320)])
def test_the_whole_picture_fits_at_the_top_left(size_wh: tuple[int, int]) -> None:
    image = np.full((size_wh[1], size_wh[0], 3), 255, dtype=np.uint8)
    pixels, scale = _letterbox(image)
    bright = pixels[0, 0] > pixels[0, 0].max() - 0.1
    rows, columns = bright.any(axis=1).sum(), bright.any(axis=0).sum()
    assert bright[:rows, :columns].all()
    np.testing.assert_allclose((columns * scale[0], rows * scale[1]), size_wh)


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "rtmdet_nano_person_320.onnx"
    other.write_text("<html>not found</html>")
    with pytest.raises(WeightsDamagedError, match="is not an RTMDet network"):
        RtmdetDetector(other)


def test_a_cut_file_is_refused(tmp_path: Path, shared: Path) -> None:
    cut = tmp_path / "rtmdet_nano_person_320.onnx"
    whole = (shared / "weights" / cut.name).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsDamagedError, match="is not an RTMDet network"):
        RtmdetDetector(cut)


def test_nothing_is_sent_to_the_makers_of_the_runtime() -> None:
    """Its telemetry reports on the error stream that no place was found for its device number."""
    code = "import closefit.perception.detectors.rtmdet"
    variables = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    variables.update(HOME=os.devnull, XDG_CACHE_HOME=os.devnull)
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
