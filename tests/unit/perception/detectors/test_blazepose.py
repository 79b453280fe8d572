from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from closefit import video
from closefit.errors import WeightsDamagedError
from closefit.perception.detectors.blazepose import BlazePose, BlazePoseResult, _to_heat
from closefit.perception.detectors.regions import Region

HIPS = [11, 12]


@pytest.fixture(scope="module", params=["lite", "full", "heavy"])
def network(shared: Path, request: pytest.FixtureRequest) -> BlazePose:
    return BlazePose(shared / "weights" / f"pose_landmark_{request.param}.tflite")


@pytest.fixture(scope="module")
def scene(shared: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A picture of two people who stand apart, and the truth about it."""
    clip = shared / "clips" / "synth" / "dev_01"
    with np.load(clip / "truth.npz") as truth:
        facts = {name: truth[name][0] for name in ("boxes", "keypoints2d", "joints3d")}
    return next(video.frames(video.probe(clip / "video.mp4"))), facts


def look(
    network: BlazePose, image: np.ndarray, box: np.ndarray, angle: float = 0.0
) -> BlazePoseResult:
    whole = (0, 0, image.shape[1], image.shape[0])
    return network.estimate(Pillow.fromarray(image), Region.around(box, 1.15, angle), whole)


def test_keypoints_and_landmarks_of_a_person(network: BlazePose, scene) -> None:
    image, truth = scene
    for person, box in enumerate(truth["boxes"]):
        pose = look(network, image, box)
        error = np.linalg.norm(pose.keypoints[:, :2] - truth["keypoints2d"][person], axis=-1)
        assert np.median(error) < 0.05 * (box[3] - box[1])
        assert pose.presence > 0.9
        assert abs(pose.upright_rad) < 0.3
        middle = pose.landmarks_m[HIPS, :3].mean(axis=0)
        np.testing.assert_allclose(middle, 0.0, atol=0.05)
        # Shoulders above (y points down), ankles below, at human distances from the hips.
        assert -0.7 < pose.landmarks_m[[5, 6], 1].mean() < -0.3
        assert 0.6 < pose.landmarks_m[[15, 16], 1].mean() < 1.0
        # From left to right shoulder, in the picture and in space.
        across = truth["joints3d"][person, 17] - truth["joints3d"][person, 16]
        found = pose.landmarks_m[6, :3] - pose.landmarks_m[5, :3]
        assert across @ found > 0.7 * np.linalg.norm(across) * np.linalg.norm(found)


def test_a_turned_picture_in_a_turned_region_gives_the_same_pose(network, scene) -> None:
    image, truth = scene
    box = truth["boxes"][0].astype(np.float64)
    upright = look(network, image, box)
    height = image.shape[0]
    turned_image = np.ascontiguousarray(np.rot90(image, -1))  # clockwise: (x, y) -> (height - y, x)
    turned_box = np.array([height - box[3], box[0], height - box[1], box[2]])
    turned = look(network, turned_image, turned_box, angle=np.pi / 2)
    x, y = upright.keypoints[:, 0], upright.keypoints[:, 1]
    np.testing.assert_allclose(turned.keypoints[:, 0], height - y, atol=0.3)
    np.testing.assert_allclose(turned.keypoints[:, 1], x, atol=0.3)
    np.testing.assert_allclose(
        turned.landmarks_m[:, :3],
        upright.landmarks_m[:, [1, 0, 2]] * (-1.0, 1.0, 1.0),
        atol=0.01,
    )
    assert turned.upright_rad == pytest.approx(upright.upright_rad + np.pi / 2, abs=0.01)
    mask = turned.mask_logits((image.shape[0], image.shape[1])) > 0
    back = np.rot90(mask) ^ (upright.mask_logits((image.shape[1], image.shape[0])) > 0)
    assert back.sum() < 0.01 * mask.sum()


def test_a_larger_picture_gives_the_same_pose(network, scene) -> None:
    image, truth = scene
    box = truth["boxes"][1].astype(np.float64)
    small = look(network, image, box)
    large = look(network, np.kron(image, np.ones((2, 2, 1), dtype=np.uint8)), 2 * box)
    np.testing.assert_allclose(
        large.keypoints[:, :2] / 2, small.keypoints[:, :2], atol=0.02 * (box[3] - box[1])
    )
    np.testing.assert_allclose(large.landmarks_m[:, :3], small.landmarks_m[:, :3], atol=0.06)


def test_only_the_box_is_shown(network: BlazePose, scene) -> None:
    image, truth = scene
    box = truth["boxes"][0].astype(np.float64)
    others = np.full_like(image, 255)
    margin = 0.05 * (box[2:] - box[:2]).max()
    low, high = (box[:2] - margin).astype(int), (box[2:] + margin).astype(int)
    inside = np.s_[low[1] : high[1], low[0] : high[0]]
    others[inside] = image[inside]
    plain, among_white = (
        network.estimate_in_box(Pillow.fromarray(picture), box, 0.0) for picture in (image, others)
    )
    np.testing.assert_array_equal(plain.keypoints, among_white.keypoints)


class TestHeat:
    """The centre of the heat, to a fraction of a cell of four pixels."""

    @staticmethod
    def heatmap(column: float, row: float) -> np.ndarray:
        rows, columns = np.mgrid[:64, :64]
        blob = 12.0 * np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / 2.0) - 6.0
        return np.repeat(blob[..., None], 39, axis=2).astype(np.float32)

    @pytest.mark.parametrize("peak", [(20.0, 30.0), (20.25, 30.4), (21.5, 29.7)])
    def test_a_landmark_moves_to_the_peak(self, peak: tuple[float, float]) -> None:
        start = np.tile([83.0, 121.0], (39, 1))
        np.testing.assert_allclose(
            _to_heat(start, self.heatmap(*peak)) / 4.0, np.tile(peak, (39, 1)), atol=0.12
        )

    def test_without_heat_it_stays(self) -> None:
        start = np.linspace(-30.0, 300.0, 78).reshape(39, 2)  # some outside the crop
        np.testing.assert_array_equal(
            _to_heat(start, np.full((64, 64, 39), -9.0, np.float32)), start
        )

    def test_at_the_edge(self) -> None:
        moved = _to_heat(np.full((39, 2), 1.0), self.heatmap(0.0, 0.0))
        assert (moved >= 0).all()
        assert (moved < 6).all()


def test_damaged_files_are_refused(tmp_path: Path, shared: Path) -> None:
    weights = shared / "weights"
    cut = tmp_path / "cut.tflite"
    cut.write_bytes((weights / "pose_landmark_lite.tflite").read_bytes()[:100_000])
    with pytest.raises(WeightsDamagedError, match="is not a BlazePose network"):
        BlazePose(cut)
    with pytest.raises(WeightsDamagedError, match="is another network"):
        BlazePose(weights / "yolo11n-pose_640_int8.tflite")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "pose_landmark_lite.tflite"
    other.write_text("<html>not found</html>")
    with pytest.raises(WeightsDamagedError, match="is not a BlazePose network"):
        BlazePose(other)
