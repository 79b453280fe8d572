from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from closefit import video
from closefit.perception.detectors import lite
from closefit.perception.detectors.blazepose import BlazePoseResult
from closefit.perception.detectors.lite import LiteDetector
from closefit.perception.detectors.regions import Region

SIZE_WH = (200, 150)
IMAGE = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), dtype=np.uint8)
LEFT, RIGHT = np.array([20.0, 20.0, 60.0, 120.0]), np.array([110.0, 20.0, 150.0, 120.0])


class Networks:
    """Stands in for both networks; returns what a test sets, and records its calls."""

    def __init__(self) -> None:
        self.boxes = np.zeros((0, 4))
        self.shifts: dict[int, np.ndarray] = {}
        self.presence = 1.0
        self.upright_rad = 0.0
        self.calls: list[float] = []

    def detect(self, _image: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        return self.boxes, np.full(len(self.boxes), max(confidence, 0.8))

    def estimate_in_box(
        self, _picture: Pillow.Image, box_xyxy: np.ndarray, upright_rad: float
    ) -> BlazePoseResult:
        self.calls.append(upright_rad)
        region = Region.around(box_xyxy, 1.15, upright_rad)
        centre = np.array([region.centre_x, region.centre_y])
        number = int(np.abs(self.boxes[:, [0, 2]].mean(axis=1) - region.centre_x).argmin())
        centre = centre + self.shifts.get(number, np.zeros(2))
        spread = np.linspace(-1.0, 1.0, 17)[:, None] * np.array([10.0, 40.0])
        segmentation = np.full((256, 256), -1.0 - number)
        segmentation[:, 64:192] = 1.0 + number
        return BlazePoseResult(
            keypoints=np.column_stack([centre + spread, np.ones(17)]),
            landmarks_m=np.column_stack([np.full((17, 3), float(number)), np.ones(17)]),
            presence=self.presence,
            upright_rad=self.upright_rad,
            segmentation=segmentation,
            region=region,
        )


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    stub = Networks()
    monkeypatch.setattr(lite, "RtmdetDetector", lambda *_: stub)
    monkeypatch.setattr(lite, "BlazePose", lambda *_: stub)
    return stub


@pytest.fixture
def detector(networks: Networks) -> LiteDetector:
    made = LiteDetector(Path("boxes"), Path("pose"), confidence=0.25)
    assert made._pose is networks
    return made


def test_nobody(detector: LiteDetector) -> None:
    (found,) = detector.detect([IMAGE])
    assert found.boxes_xyxy.shape == (0, 4)
    assert found.keypoints.shape == (0, 17, 3)
    assert found.masks.shape == (0, SIZE_WH[1], SIZE_WH[0])
    assert found.landmarks_3d_m is not None
    assert found.landmarks_3d_m.shape == (0, 17, 4)


def test_who_is_not_there_is_left_out(detector: LiteDetector, networks: Networks) -> None:
    networks.boxes, networks.presence = np.stack([LEFT, RIGHT]), 0.1
    assert len(detector.detect([IMAGE])[0].scores) == 0


def test_people_are_looked_at_in_the_direction_of_their_last_pose(
    detector: LiteDetector, networks: Networks
) -> None:
    networks.boxes, networks.upright_rad = LEFT[None], 1.2
    detector.detect([IMAGE, IMAGE])
    assert networks.calls == [0.0, 1.2]


@pytest.mark.parametrize("jumping", [0, 1])
def test_who_jumps_onto_somebody_else_is_left_out(
    detector: LiteDetector, networks: Networks, jumping: int
) -> None:
    networks.boxes = np.stack([LEFT, RIGHT])
    assert len(detector.detect([IMAGE])[0].scores) == 2
    to_other = (networks.boxes[1 - jumping] - networks.boxes[jumping])[:2]
    networks.shifts = {jumping: to_other}
    (found,) = detector.detect([IMAGE])
    np.testing.assert_array_equal(found.boxes_xyxy, networks.boxes[[1 - jumping]])


def test_who_was_mistaken_is_remembered(detector: LiteDetector, networks: Networks) -> None:
    """After a picture in which two poses coincide, each box is looked at as before."""
    networks.boxes, networks.upright_rad = np.stack([LEFT, RIGHT]), 0.7
    detector.detect([IMAGE])
    networks.shifts, networks.upright_rad = {0: (RIGHT - LEFT)[:2]}, 0.9
    assert len(detector.detect([IMAGE])[0].scores) == 1
    networks.shifts, networks.calls = {}, []
    assert len(detector.detect([IMAGE])[0].scores) == 2
    assert networks.calls == [0.7, 0.9]


def test_a_pixel_belongs_to_one_person(detector: LiteDetector, networks: Networks) -> None:
    networks.boxes = np.stack([LEFT, LEFT + np.array([30.0, 0.0, 30.0, 0.0])])
    (found,) = detector.detect([IMAGE])
    strong = (
        int(np.argmax(found.landmarks_3d_m[:, 0, 0])) if found.landmarks_3d_m is not None else 0
    )
    assert not (found.masks[0] & found.masks[1]).any()
    # The second one's logits are larger: it keeps all its pixels, the first one loses some.
    assert found.masks[strong].sum() > found.masks[1 - strong].sum() > 0


def test_a_rendered_clip(shared: Path) -> None:
    """People who walk up to each other: found in each frame, right places, right pixels."""
    weights, clip = shared / "weights", shared / "clips" / "synth" / "dev_01"
    detector = LiteDetector(
        weights / "rtmdet_nano_person_320.onnx", weights / "pose_landmark_full.tflite", 0.25
    )
    with np.load(clip / "truth.npz") as arrays:
        truth: dict[str, Any] = dict(arrays)
    shape = truth["masks_shape"]
    masks = np.unpackbits(truth["masks"])[: np.prod(shape)].reshape(shape).astype(bool)
    for frame, image in enumerate(video.frames(video.probe(clip / "video.mp4"), end_s=0.5)):
        (found,) = detector.detect([image])
        assert len(found.scores) == 2
        order = found.boxes_xyxy[:, 0].argsort()
        truth_order = truth["boxes"][frame, :, 0].argsort()
        error = np.linalg.norm(
            found.keypoints[order, :, :2] - truth["keypoints2d"][frame][truth_order], axis=-1
        )
        height = truth["boxes"][frame, :, 3] - truth["boxes"][frame, :, 1]
        assert np.median(error / height[truth_order, None]) < 0.04
        union, true_union = found.masks.any(axis=0), masks[frame].any(axis=0)
        assert (union & true_union).sum() > 0.9 * (union | true_union).sum()
