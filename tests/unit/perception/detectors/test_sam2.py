import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from closefit.errors import WeightsDamagedError
from closefit.perception.detectors import sam2
from closefit.perception.detectors.sam2 import (
    CARRIED_MASKS,
    OVERLAP_FRAMES,
    Prompt,
    Sam2Segmenter,
    _exclusive,
    chunks,
)
from tests.unit.perception.detectors.snapshots import save_sam2

SIZE_WH = (90, 60)
BOXES = np.array([[10.0, 10.0, 30.0, 50.0], [50.0, 10.0, 80.0, 50.0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_sam2(tmp_path_factory.mktemp("sam2.1-hiera-tiny"))


@pytest.fixture
def segmenter(folder: Path) -> Sam2Segmenter:
    return Sam2Segmenter(folder, "cpu")


def images(frames: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    shape = (SIZE_WH[1], SIZE_WH[0], 3)
    return [generator.integers(0, 255, shape).astype(np.uint8) for _ in range(frames)]


def prompts(frames: int, **people: tuple[int, ...]) -> np.ndarray:
    boxes = np.full((frames, 2, 4), np.nan)
    boxes[list(people.get("first", ())), 0] = BOXES[0]
    boxes[list(people.get("second", ())), 1] = BOXES[1]
    return boxes


def follow(
    segmenter: Sam2Segmenter, boxes: np.ndarray, tracked: np.ndarray | None = None
) -> np.ndarray:
    unknown = np.full_like(boxes, np.nan)
    pictures = images(len(boxes))
    return np.stack(
        list(segmenter.follow(pictures, boxes, unknown if tracked is None else tracked))
    )


def direct_logits(
    segmenter: Sam2Segmenter, own: dict[int, np.ndarray], frames: int
) -> list[torch.Tensor]:
    """One person's logits from calls of the library only, which remembers everything."""
    processor, model = segmenter._processor, segmenter._model
    pixels = [
        processor(images=image, return_tensors="pt")["pixel_values"] for image in images(frames)
    ]
    first, logits = min(own), {}
    for reverse, rest in ((False, range(first, frames)), (True, range(first, -1, -1))):
        session = processor.init_video_session(inference_device="cpu")
        for frame, box in own.items():
            processor.add_inputs_to_inference_session(
                session,
                frame_idx=frame,
                obj_ids=1,
                input_boxes=[[box.tolist()]],
                original_size=SIZE_WH[::-1],
            )
            model(session, frame_idx=frame, frame=pixels[frame])
        for frame in rest:
            output = model(session, frame_idx=frame, frame=pixels[frame], reverse=reverse)
            logits[frame] = output.pred_masks[0, 0]
            if output.object_score_logits.item() <= 0:
                logits[frame] = torch.full_like(logits[frame], sam2.ABSENT)
    return [logits[frame] for frame in range(frames)]


class Spy:
    """Notes every prompt that reaches the library: frame, and box or None for a mask."""

    def __init__(self, segmenter: Sam2Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sessions: list[Any] = []
        self.prompts: list[tuple[int, tuple[float, ...] | None]] = []
        processor = segmenter._processor
        add, start = processor.add_inputs_to_inference_session, processor.init_video_session

        def noted_add(session: Any, **inputs: Any) -> Any:
            boxes = inputs.get("input_boxes")
            self.prompts.append((inputs["frame_idx"], boxes and tuple(boxes[0][0])))
            return add(session, **inputs)

        def noted_start(**inputs: Any) -> Any:
            self.sessions.append(start(**inputs))
            return self.sessions[-1]

        monkeypatch.setattr(processor, "add_inputs_to_inference_session", noted_add)
        monkeypatch.setattr(processor, "init_video_session", noted_start)


class TestOneChunk:
    def test_the_library_called_directly_returns_the_same(self, segmenter: Sam2Segmenter) -> None:
        """Boxes in several frames, both directions; forgetting and batches change nothing."""
        frames = 24  # more than the model looks back
        boxes = prompts(frames, first=(3, 21), second=(0, 2))
        given = {
            person: {
                int(frame): Prompt(images(frames)[frame], BOXES[person])
                for frame in np.flatnonzero(np.isfinite(boxes[:, person, 0]))
            }
            for person in range(2)
        }
        expected = torch.stack(
            [
                torch.stack(
                    direct_logits(
                        segmenter, {f: p.location for f, p in given[person].items()}, frames
                    )
                )
                for person in range(2)
            ]
        )
        assert (expected > 0).any(dim=(-1, -2)).float().mean() > 0.5
        assert expected.std(dim=1).max() > 0.1  # frames differ
        segmenter._batches.size = 5
        found = segmenter._propagate(dict(enumerate(images(frames))), given)
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
        masks = follow(segmenter, boxes)
        enlarged = [segmenter._enlarge(found[:, frame], SIZE_WH[::-1]) for frame in range(frames)]
        agree = masks == np.stack([_exclusive(logits) for logits in enlarged])
        assert agree.mean() > 0.999

    def test_masks_of_every_frame(self, segmenter: Sam2Segmenter) -> None:
        masks = follow(segmenter, prompts(4, first=(0,), second=(0,)))
        assert masks.shape == (4, 2, SIZE_WH[1], SIZE_WH[0])
        assert masks.any(axis=(1, 2, 3)).all()
        assert not (masks[:, 0] & masks[:, 1]).any()

    def test_backwards_before_the_first_box(self, segmenter: Sam2Segmenter) -> None:
        masks = follow(segmenter, prompts(5, first=(3,)))
        assert masks[:, 0].any(axis=(1, 2)).all()
        assert not masks[:, 1].any()  # without any prompt

    def test_people_do_not_influence_each_other(self, segmenter: Sam2Segmenter) -> None:
        pictures = dict(enumerate(images(4)))
        first = {0: {2: Prompt(pictures[2], BOXES[0])}}
        second = {1: {0: Prompt(pictures[0], BOXES[1])}}
        both = segmenter._propagate(pictures, {**second, **first})
        torch.testing.assert_close(both[0], segmenter._propagate(pictures, first)[0])
        torch.testing.assert_close(both[1], segmenter._propagate(pictures, second)[1])

    def test_half_precision(self, folder: Path, segmenter: Sam2Segmenter) -> None:
        """As on CUDA, but here: all parts fit together, and give nearly the same."""
        half = Sam2Segmenter(folder, "cpu")
        half._precision, half._batches.size = torch.bfloat16, 3
        half._model.to(torch.bfloat16)
        pictures = dict(enumerate(images(5)))
        given = {0: {2: Prompt(pictures[2], BOXES[0])}}
        exact = segmenter._propagate(pictures, given)[0]
        rough = half._propagate(pictures, given)[0]
        assert (rough - exact).abs().mean() < 0.1 * exact.std()

    def test_too_few_or_too_many_pictures(self, segmenter: Sam2Segmenter) -> None:
        boxes = prompts(3, first=(0,))
        with pytest.raises(ValueError, match="fewer pictures"):
            list(segmenter.follow(images(2), boxes, boxes))
        with pytest.raises(ValueError, match="more pictures"):
            list(segmenter.follow(images(4), boxes, boxes))


class TestChunks:
    @pytest.mark.parametrize("frames", [1, 4, 5, 9, 10, 11, 15, 16, 17, 100])
    def test_all_frames_and_the_overlaps(self, frames: int) -> None:
        parts = chunks(frames, 10, 4)
        assert sorted({frame for part in parts for frame in part}) == list(range(frames))
        assert all(len(part) <= 10 for part in parts)
        for one, two in pairwise(parts):
            assert sorted(set(one) & set(two)) == list(range(one.stop - 4, one.stop))
            assert len(two) > 4

    def test_a_chunk_of_the_whole_clip(self, folder: Path) -> None:
        boxes = prompts(9, first=(2,), second=(0, 7))
        exact, longer = Sam2Segmenter(folder, "cpu", 9), Sam2Segmenter(folder, "cpu", 500)
        np.testing.assert_array_equal(follow(exact, boxes), follow(longer, boxes))

    def test_prompts_in_order_and_masks_carried_on(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segmenter = Sam2Segmenter(folder, "cpu", 10)
        spy = Spy(segmenter, monkeypatch)
        masks = follow(segmenter, prompts(22, first=(1, 4, 13)))
        shown = masks[:, 0].any(axis=(1, 2))
        carried, later = (np.flatnonzero(shown[:end])[-CARRIED_MASKS:].tolist() for end in (10, 16))
        box = tuple(BOXES[0])
        expected = [(1, box), (4, box)]
        expected += [(frame, None) for frame in carried] + [(13, box)]
        expected += [(frame, box if frame == 13 else None) for frame in later]  # prompted, not seen
        assert spy.prompts == expected
        assert len(spy.sessions) == 3  # one for each chunk

    def test_a_person_who_comes_later(self, folder: Path) -> None:
        """Frames that two chunks share show a person who is only in the later one."""
        masks = follow(Sam2Segmenter(folder, "cpu", 10), prompts(16, first=(0,), second=(12,)))
        shown = masks[:, 1].any(axis=(1, 2))
        assert not shown[: 10 - OVERLAP_FRAMES].any()
        assert shown[10 - OVERLAP_FRAMES :].all()

    def test_a_chunk_may_hold_nobody(self, folder: Path) -> None:
        masks = follow(Sam2Segmenter(folder, "cpu", 6), prompts(9, second=(8,)))
        assert not masks[:, 0].any()
        assert masks[8, 1].any()

    def test_nothing_held_grows_with_the_clip(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        most = {}
        for frames in (16, 34):
            segmenter = Sam2Segmenter(folder, "cpu", 10)
            spy = Spy(segmenter, monkeypatch)
            alive: set[int] = set()
            most[frames] = {"pictures": 0, "outputs": 0}

            def stream(frames: int = frames, alive: set[int] = alive) -> Iterator[np.ndarray]:
                for number, image in enumerate(images(frames)):
                    copy = image.copy()
                    alive.add(number)
                    weakref.finalize(copy, alive.discard, number)
                    yield copy

            unknown = np.full((frames, 2, 4), np.nan)
            boxes = prompts(frames, first=tuple(range(0, frames, 3)), second=(0,))
            for _ in segmenter.follow(stream(), boxes, unknown):
                live = spy.sessions[-1]
                held = most[frames]
                held["pictures"] = max(held["pictures"], len(alive))
                held["outputs"] = max(
                    held["outputs"],
                    sum(len(kept) for kept in live.output_dict_per_obj[0].values()),
                )
                assert not live.processed_frames
        assert most[16] == most[34]
        assert most[34]["pictures"] <= 10 + 1 + 2 * CARRIED_MASKS

    def test_a_session_forgets_what_the_model_does_not_look_back_to(
        self, segmenter: Sam2Segmenter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spy, held = Spy(segmenter, monkeypatch), []
        step = sam2._Follower.step

        def counted(follower: Any, *args: Any, **kwargs: Any) -> Any:
            found = step(follower, *args, **kwargs)
            outputs = follower.session.output_dict_per_obj[0]
            held.append(len(outputs["non_cond_frame_outputs"]))
            assert len(outputs["cond_frame_outputs"]) == 1
            assert all(
                "high_res_masks" not in one for one in outputs["cond_frame_outputs"].values()
            )
            return found

        monkeypatch.setattr(sam2._Follower, "step", counted)
        follow(segmenter, prompts(30, first=(0,)))
        config = segmenter._model.config
        assert max(held) == max(config.num_maskmem, config.max_object_pointers_in_encoder)
        assert len(spy.sessions) == 1


class TestPromptedAgain:
    TRACKED = np.array([2.0, 2.0, 8.0, 8.0])
    """Nothing that these networks draw has a box like this."""

    def test_with_the_tracked_box(
        self, segmenter: Sam2Segmenter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spy = Spy(segmenter, monkeypatch)
        tracked = np.full((7, 2, 4), np.nan)
        tracked[2:6, 0] = self.TRACKED
        follow(segmenter, prompts(7, first=(0,), second=(0,)), tracked)
        first_time = [(0, tuple(BOXES[0])), (0, tuple(BOXES[1]))]
        second_time = [(0, tuple(BOXES[0])), (2, tuple(self.TRACKED))]
        assert spy.prompts == first_time + second_time

    def test_not_where_they_agree(
        self, segmenter: Sam2Segmenter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        boxes = prompts(6, first=(0,))
        masks = segmenter._propagate(
            dict(enumerate(images(6))), {0: {0: Prompt(images(6)[0], BOXES[0])}}
        )
        spy = Spy(segmenter, monkeypatch)
        follow(segmenter, boxes, sam2._boxes(masks, SIZE_WH))
        assert spy.prompts == [(0, tuple(BOXES[0]))]

    @pytest.mark.parametrize("mends", [True, False])
    def test_counts_only_if_it_mends_something(
        self, segmenter: Sam2Segmenter, monkeypatch: pytest.MonkeyPatch, mends: bool
    ) -> None:
        def canned(box: tuple[int, int, int, int]) -> torch.Tensor:
            logits = torch.full((2, 5, *SIZE_WH[::-1]), -1.0)
            logits[0, :, box[1] : box[3], box[0] : box[2]] = 1.0
            return logits

        here, elsewhere = (10, 10, 30, 50), (60, 10, 80, 50)
        results = iter([canned(elsewhere), canned(here if mends else (62, 10, 80, 50))])
        monkeypatch.setattr(segmenter, "_propagate", lambda *_: next(results))
        masks = follow(segmenter, prompts(5, first=(0,)), np.stack([BOXES] * 5))
        expected = _exclusive(canned(here if mends else elsewhere)).swapaxes(0, 1)
        np.testing.assert_array_equal(masks, expected)
        assert next(results, None) is None


def test_each_pixel_belongs_to_who_claims_it_most() -> None:
    logits = torch.tensor([[[2.0, -1.0, 3.0, -2.0]], [[1.0, 4.0, -1.0, -1.0]]])
    assert _exclusive(logits).astype(int).tolist() == [[[1, 0, 1, 0]], [[0, 1, 0, 0]]]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sam2.1-hiera-tiny"
    save_sam2(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsDamagedError, match=r"sam2\.1-hiera-tiny` cannot be loaded"):
        Sam2Segmenter(folder, "cpu")
    with pytest.raises(WeightsDamagedError, match="cannot be loaded"):
        Sam2Segmenter(tmp_path, "cpu")
