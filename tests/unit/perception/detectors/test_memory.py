"""Out of memory in a detector: smaller batches once, then exit code 7 with a hint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from closefit.errors import DeviceError
from closefit.perception.detectors.memory import Batches
from closefit.perception.detectors.sam2 import Sam2Segmenter
from closefit.perception.detectors.vitpose import VitPoseEstimator
from tests.unit.perception.detectors.snapshots import save_sam2, save_vitpose

BOXES = np.array([[10.0, 10.0, 50.0, 90.0], [60.0, 20.0, 110.0, 100.0]])
IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)


def at_most(rows: int, network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`network` on a GPU that holds only so many rows."""

    def limited(given: Tensor) -> Tensor:
        if len(given) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(given)

    return limited


def test_batches_are_halved_once_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    batches, rows = Batches("a network on rows", 8), torch.arange(11)
    for _ in range(2):
        found = batches.apply(at_most(4, lambda part: part + 1), rows)
        assert torch.equal(torch.cat(found), rows + 1)
        assert [len(part) for part in found] == [4, 4, 3]
    assert caplog.messages == ["out of memory: a network on rows from here on, 4 at once"]


@pytest.mark.parametrize(("size", "tried"), [(8, 4), (1, 1)])
def test_then_it_is_exit_code_7(size: int, tried: int) -> None:
    with pytest.raises(DeviceError, match=f"a network on rows, {tried} at once") as raised:
        Batches("a network on rows", size).apply(at_most(0, torch.clone), torch.arange(8))
    assert raised.value.exit_code == 7
    assert "--device cpu" in raised.value.hint


def test_vitpose_finds_the_same_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    estimator = VitPoseEstimator(save_vitpose(tmp_path), "cpu")
    (points,) = estimator.estimate([IMAGE], [BOXES])
    monkeypatch.setattr(estimator, "_seen_twice", at_most(1, estimator._seen_twice))
    (again,) = estimator.estimate([IMAGE], [BOXES])
    np.testing.assert_allclose(again, points, atol=1e-3)
    assert caplog.messages == ["out of memory: ViTPose on people from here on, 1 at once"]


def test_sam2_finds_the_same_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    segmenter = Sam2Segmenter(save_sam2(tmp_path / "sam2.1-hiera-tiny"), "cpu")
    boxes = np.full((3, 2, 4), np.nan)
    boxes[0] = BOXES

    def masks() -> np.ndarray:
        return np.stack(list(segmenter.follow([IMAGE] * 3, boxes, np.full_like(boxes, np.nan))))

    one_by_one = masks()
    monkeypatch.setattr(segmenter, "_batches", Batches("SAM 2.1 on pictures", 2))
    monkeypatch.setattr(segmenter, "_features", at_most(1, segmenter._features))
    assert (masks() == one_by_one).mean() > 0.999
    assert caplog.messages == ["out of memory: SAM 2.1 on pictures from here on, 1 at once"]
