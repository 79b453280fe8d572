from pathlib import Path

import numpy as np
import pytest
import torch

from closefit.errors import WeightsDamagedError
from closefit.perception.detectors.vitpose import VitPoseEstimator
from tests.unit.perception.detectors.snapshots import save_vitpose

BOXES = np.array([[10.0, 10.0, 50.0, 90.0], [60.0, 20.0, 110.0, 100.0]])
IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)


@pytest.fixture(scope="module", params=[1, 3], ids=["one expert", "three experts"])
def estimator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    torch.manual_seed(0)
    return VitPoseEstimator(save_vitpose(tmp_path_factory.mktemp("vit"), request.param), "cpu")


def test_shapes_and_ranges(estimator: VitPoseEstimator) -> None:
    (keypoints,) = estimator.estimate([IMAGE], [BOXES])
    assert keypoints.shape == (2, 17, 3)
    assert ((keypoints[..., 2] >= 0) & (keypoints[..., 2] <= 1)).all()


def test_people_are_independent_of_each_other(estimator: VitPoseEstimator) -> None:
    (both,) = estimator.estimate([IMAGE], [BOXES])
    for person in range(2):
        (alone,) = estimator.estimate([IMAGE], [BOXES[[person]]])
        np.testing.assert_allclose(alone[0], both[person], atol=1e-3)


def test_nobody(estimator: VitPoseEstimator) -> None:
    (keypoints,) = estimator.estimate([IMAGE], [np.zeros((0, 4))])
    assert keypoints.shape == (0, 17, 3)


def test_many_pictures_at_once(estimator: VitPoseEstimator) -> None:
    """Each gets its own people's estimates, also where somewhere in between there is nobody."""
    other = np.ascontiguousarray(IMAGE[::-1])
    nobody = np.zeros((0, 4))
    batch = estimator.estimate([IMAGE, other, other], [BOXES, nobody, BOXES[[1]]])
    assert [len(keypoints) for keypoints in batch] == [2, 0, 1]
    for picture, boxes, keypoints in (
        (IMAGE, BOXES, batch[0]),
        (other, BOXES[[1]], batch[2]),
    ):
        (alone,) = estimator.estimate([picture], [boxes])
        np.testing.assert_allclose(keypoints, alone, atol=1e-3)


def test_a_mirrored_picture_gives_mirrored_people(estimator: VitPoseEstimator) -> None:
    width = IMAGE.shape[1]
    mirrored_boxes = BOXES[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    (seen,) = estimator.estimate([IMAGE], [BOXES])
    mirror = np.ascontiguousarray(IMAGE[:, ::-1])
    (mirrored,) = estimator.estimate([mirror], [mirrored_boxes])
    order = [0, *(number for left in range(1, 17, 2) for number in (left + 1, left))]
    back = mirrored[:, order] * (-1, 1, 1) + (width, 0, 0)
    # Crops are rounded to whole colours, and a random network has rivalling peaks.
    np.testing.assert_allclose(back[..., 2], seen[..., 2], atol=1e-3)
    a_sixth_of_a_cell_px = 1.0
    apart = np.linalg.norm(back[..., :2] - seen[..., :2], axis=-1)
    assert np.median(apart) < a_sixth_of_a_cell_px


def test_the_same_as_the_library_on_the_same_pixels(estimator: VitPoseEstimator) -> None:
    """Called directly, step by step; boxes in its own convention."""
    processor, model = estimator._processor, estimator._model
    boxes = [[[9.5, 9.5, 40.0, 80.0], [59.5, 19.5, 50.0, 80.0]]]
    pixels = processor(images=[IMAGE], boxes=boxes, return_tensors="pt")["pixel_values"]
    experts = {"dataset_index": torch.zeros(2, dtype=torch.long)} if estimator._has_experts else {}
    with torch.inference_mode():
        plain = model(pixel_values=pixels, **experts)
        flipped = model(pixel_values=pixels.flip(-1), **experts).heatmaps.flip(-1)
        order = [0, *(number for left in range(1, 17, 2) for number in (left + 1, left))]
        plain.heatmaps = (plain.heatmaps + flipped[:, order]) / 2
    expected = processor.post_process_pose_estimation(plain, boxes=boxes)[0]
    (keypoints,) = estimator.estimate([IMAGE], [BOXES])
    for found, person in zip(keypoints, expected, strict=True):
        np.testing.assert_allclose(found[:, :2] - 0.5, person["keypoints"].numpy(), atol=1e-3)
        np.testing.assert_allclose(found[:, 2], person["scores"].numpy().clip(0, 1), atol=1e-5)


@pytest.mark.parametrize("peak", [(0.5, 0.5), (0.31, 0.62), (0.747, 0.253)])
def test_a_heat_map_peak_is_found_where_it_is(
    estimator: VitPoseEstimator, monkeypatch: pytest.MonkeyPatch, peak: tuple[float, float]
) -> None:
    """Between the centres of the first and the last cell lie 0 and 1 of the crop (unbiased)."""

    def blob(hidden: torch.Tensor, **_: object) -> torch.Tensor:
        batch, _, height, width = hidden.shape
        rows = torch.arange(4 * height)[:, None] - peak[1] * (4 * height - 1)
        columns = torch.arange(4 * width)[None] - peak[0] * (4 * width - 1)
        return torch.exp(-(rows**2 + columns**2) / 8).expand(batch, 17, -1, -1)

    monkeypatch.setattr(estimator._model.head, "forward", blob)
    (keypoints,) = estimator.estimate([IMAGE], [BOXES])
    centres = (BOXES[:, :2] + BOXES[:, 2:]) / 2
    # The crop is the box made 3:4 and 1.25 times as large.
    sides = BOXES[:, 2:] - BOXES[:, :2]
    width = 1.25 * np.maximum(sides[:, 0], sides[:, 1] * 0.75)
    sides = np.stack([width, width / 0.75], axis=-1)
    expected = centres + (np.array(peak) - 0.5) * sides
    np.testing.assert_allclose(
        keypoints[..., :2], np.repeat(expected[:, None], 17, axis=1), atol=0.1
    )


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsDamagedError, match="cannot be loaded"):
        VitPoseEstimator(tmp_path, "cpu")
