from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from closefit.detectors.sam2 import KEPT_PROMPTS, Sam2Segmenter, _exclusive, _forget
from closefit.errors import WeightsDamagedError
from tests.unit.detectors.snapshots import save_sam2

SIZE_WH = (90, 60)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Sam2Segmenter:
    torch.manual_seed(0)
    return Sam2Segmenter(save_sam2(tmp_path_factory.mktemp("sam2.1-hiera-tiny")), "cpu")


def images(frames: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    shape = (frames, SIZE_WH[1], SIZE_WH[0], 3)
    return list(generator.integers(0, 255, shape).astype(np.uint8))


def prompts(frames: int, **people: tuple[int, ...]) -> np.ndarray:
    boxes = np.full((frames, 2, 4), np.nan)
    boxes[list(people.get("first", ())), 0] = 10, 10, 30, 50
    boxes[list(people.get("second", ())), 1] = 50, 10, 80, 50
    return boxes


def test_masks_of_every_frame(segmenter: Sam2Segmenter) -> None:
    masks = list(segmenter.follow(images(4), prompts(4, first=(0,), second=(0,))))
    assert len(masks) == 4
    assert all(mask.shape == (2, SIZE_WH[1], SIZE_WH[0]) for mask in masks)
    assert not any((mask[0] & mask[1]).any() for mask in masks)


def test_nobody_has_a_mask_before_the_first_box(segmenter: Sam2Segmenter) -> None:
    masks = list(segmenter.follow(images(4), prompts(4, first=(1,), second=(3,))))
    assert not masks[0].any()
    assert not any(mask[1].any() for mask in masks[:3])


def test_people_known_in_any_order_keep_their_place(segmenter: Sam2Segmenter) -> None:
    """Person 1 is prompted before person 0; their masks do not change places."""
    late = list(segmenter.follow(images(3), prompts(3, first=(2,), second=(0,))))
    alone = list(segmenter.follow(images(3), prompts(3, second=(0,))))
    np.testing.assert_array_equal(late[1], alone[1])
    np.testing.assert_array_equal(late[0], alone[0])


def test_pictures_are_asked_for_one_at_a_time(segmenter: Sam2Segmenter) -> None:
    asked = 0

    def stream():
        nonlocal asked
        for image in images(5):
            asked += 1
            yield image

    following = segmenter.follow(stream(), prompts(5, first=(0,), second=(0,)))
    next(following)
    assert asked == 1


def test_each_pixel_belongs_to_who_claims_it_most() -> None:
    logits = torch.tensor([[[2.0, -1.0, 3.0, -2.0]], [[1.0, 4.0, -1.0, -1.0]]])
    assert _exclusive(logits).astype(int).tolist() == [[[1, 0, 1, 0]], [[0, 1, 0, 0]]]


def test_the_session_does_not_grow() -> None:
    session = SimpleNamespace(
        processed_frames={99: "pixels"},
        output_dict_per_obj={
            0: {
                "cond_frame_outputs": dict.fromkeys(range(0, 100, 10), "prompt"),
                "non_cond_frame_outputs": dict.fromkeys(range(100), "memory"),
            }
        },
        frames_tracked_per_obj={0: dict.fromkeys(range(100), "tracked")},
        point_inputs_per_obj={0: {90: "box"}},
    )
    _forget(session, frame=99, memory=16)
    kept = session.output_dict_per_obj[0]
    assert sorted(kept["non_cond_frame_outputs"]) == list(range(84, 100))
    assert sorted(kept["cond_frame_outputs"]) == [0, 70, 80, 90]
    assert len(kept["cond_frame_outputs"]) == KEPT_PROMPTS
    assert not session.processed_frames
    assert list(session.frames_tracked_per_obj[0]) == [99]


def test_forgetting_does_not_change_the_masks(
    segmenter: Sam2Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is dropped is what the model no longer looks at."""
    boxes = prompts(5, first=(0,), second=(0,))
    pruned = list(segmenter.follow(images(5), boxes))
    monkeypatch.setattr("closefit.detectors.sam2._forget", lambda *_: None)
    for one, two in zip(pruned, segmenter.follow(images(5), boxes), strict=True):
        np.testing.assert_array_equal(one, two)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sam2.1-hiera-tiny"
    save_sam2(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsDamagedError, match=r"sam2\.1-hiera-tiny` cannot be loaded"):
        Sam2Segmenter(folder, "cpu")
    with pytest.raises(WeightsDamagedError, match="cannot be loaded"):
        Sam2Segmenter(tmp_path, "cpu")
