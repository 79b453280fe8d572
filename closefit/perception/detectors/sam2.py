"""Masks of people through a video, from SAM 2.1 as `transformers` has it.

The video is processed in chunks, so memory does not grow with its length. In each chunk all boxes
are given first; then each person is followed forwards from the first box and backwards from it.
Where masks and tracked boxes disagree, the person is followed once more with an additional box. The
next chunk starts from the last good masks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from transformers import Sam2VideoModel, Sam2VideoProcessor

from closefit.perception.detectors.memory import Batches
from closefit.perception.detectors.reprompts import boxes_of, choose_reprompts, disagreeing
from closefit.perception.detectors.snapshots import from_snapshot

CHUNK_FRAMES = 64
"""Pictures held at once: about two seconds."""

OVERLAP_FRAMES = 4
"""Pictures shared by a chunk and the next one."""

CARRIED_MASKS = 4
"""Number of good masks of a person with which the next chunk starts."""

ABSENT = -1.0
"""Logit of all pixels of a person who is hidden or unknown."""

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, eq=False)
class Prompt:
    """The location of a person in one picture.

    Attributes:
        image: RGB picture.
        location: Box (left, top, right, bottom) in its pixels, or a mask in pixels of the network.
    """

    image: Image
    location: Float[np.ndarray, "4"] | Bool[Tensor, "row column"]


Prompts = Mapping[int, Mapping[int, Prompt]]
"""By person, then by frame."""


@dataclass(frozen=True, eq=False)
class EncodedPicture:
    """Image features of one picture; shared by the people in it."""

    pixels: Float[Tensor, "1 3 side side"]
    features: dict[str, list[Tensor]]


def chunks(num_frames: int, length: int, overlap: int) -> list[range]:
    """Ranges of at most `length` frames that cover all; adjacent ones share `overlap` frames."""
    starts = range(0, max(1, num_frames - overlap), length - overlap)
    return [range(start, min(start + length, num_frames)) for start in starts]


class Sam2Segmenter:
    """Follows people through a video, prompted by boxes in some frames."""

    def __init__(self, folder: Path, device: str, chunk_frames: int = CHUNK_FRAMES) -> None:
        """Load the model from a snapshot `folder`.

        On CUDA it works in half precision (bfloat16, as its authors run it) and encodes several
        pictures at once.

        Raises:
            WeightsDamagedError: The folder does not hold such a model.
        """
        self._device = device
        self._precision = torch.bfloat16 if device == "cuda" else torch.float32
        self._processor: Any = from_snapshot(Sam2VideoProcessor.from_pretrained, folder)
        model: Any = from_snapshot(Sam2VideoModel.from_pretrained, folder)
        self._model = model.to(device, self._precision).eval()
        self._chunk_frames = chunk_frames
        self._batches = Batches("SAM 2.1 on pictures", 8 if device == "cuda" else 1)

    @torch.inference_mode()
    def follow(
        self,
        images: Iterable[Image],
        prompts_xyxy: Float[np.ndarray, "frame 2 4"],
        tracked_xyxy: Float[np.ndarray, "frame 2 4"],
    ) -> Iterator[Bool[np.ndarray, "2 height width"]]:
        """Yield each frame's masks; no pixel belongs to two people.

        Args:
            images: RGB pictures of one size.
            prompts_xyxy: Boxes to follow people from, in pixels; NaN elsewhere. A person's masks
                reach back to the start of the chunk of the first box.
            tracked_xyxy: Boxes to compare the masks with; NaN where they are not certain.
        """
        stream, held = iter(images), dict[int, Image]()
        carried: dict[int, dict[int, Prompt]] = {}
        overlap = dict[int, Float[Tensor, "shared row column"]]()
        for chunk in chunks(len(prompts_xyxy), self._chunk_frames, OVERLAP_FRAMES):
            held = {frame: held[frame] for frame in chunk if frame in held}
            held.update(zip(range(chunk.start + len(held), chunk.stop), stream, strict=False))
            if len(held) < len(chunk):
                raise ValueError("there are fewer pictures than boxes")
            within = slice(chunk.start, chunk.stop)
            prompts = _prompts(held, prompts_xyxy[within], carried)
            logits, wrong = self._follow_chunk(held, prompts, tracked_xyxy[within])
            carried = {**carried, **_good_masks(held, logits, wrong)}
            for person, earlier in overlap.items():
                logits[person, : len(earlier)] = earlier
            last = chunk.stop == len(prompts_xyxy)
            finished = len(chunk) if last else len(chunk) - OVERLAP_FRAMES
            overlap = {person: logits[person, finished:] for person in {*prompts, *carried}}
            size = held[chunk.start].shape[:2]
            for frame in range(finished):
                yield _exclusive(self._enlarge(logits[:, frame], size))
        if next(stream, None) is not None:
            raise ValueError("there are more pictures than boxes")

    def _follow_chunk(
        self,
        images: Mapping[int, Image],
        prompts: Prompts,
        tracked_xyxy: Float[np.ndarray, "frame 2 4"],
    ) -> tuple[Float[Tensor, "2 frame row column"], Bool[np.ndarray, "frame 2"]]:
        """Logits of both people, and where they disagree with the tracked boxes.

        A person who disagrees is followed again with another box; kept if fewer frames disagree.
        """
        height, width = images[min(images)].shape[:2]
        logits = self._propagate(images, prompts)
        wrong = disagreeing(_boxes(logits, (width, height)), tracked_xyxy)
        again = choose_reprompts(wrong, tracked_xyxy)
        boxes = _prompts(images, np.where(again[..., None], tracked_xyxy, np.nan), {})
        more = {person: {**prompts.get(person, {}), **added} for person, added in boxes.items()}
        if not more:
            return logits, wrong
        second = self._propagate(images, more)
        for person in more:
            improved = logits.clone()
            improved[person] = second[person]
            still_wrong = disagreeing(_boxes(improved, (width, height)), tracked_xyxy)
            if still_wrong.sum() < wrong.sum():
                logits, wrong = improved, still_wrong
        return logits, wrong

    def _propagate(
        self, images: Mapping[int, Image], prompts: Prompts
    ) -> Float[Tensor, "2 frame row column"]:
        """Follow each prompted person through a chunk, first forwards, then backwards."""
        start, size = min(images), self._model.prompt_encoder.mask_input_size
        logits = torch.full((2, len(images), *size), ABSENT)
        followers = {
            person: _Follower(self._model, self._processor, self._device, self._precision)
            for person in prompts
        }
        given = {frame: prompt.image for own in prompts.values() for frame, prompt in own.items()}
        for frame, encoded in self._encode(given, sorted(given)):
            for person, own in prompts.items():
                if frame in own:
                    found = followers[person].prompt(frame, encoded, own[frame])
                    if frame in images:
                        logits[person, frame - start] = found
        for reverse in (False, True):
            wanted = {
                frame: [
                    person
                    for person, own in prompts.items()
                    if frame not in own and (frame < min(own)) == reverse
                ]
                for frame in sorted(images, reverse=reverse)
            }
            for frame, encoded in self._encode(
                images, [f for f, people in wanted.items() if people]
            ):
                for person in wanted[frame]:
                    found = followers[person].step(frame, encoded, reverse=reverse)
                    logits[person, frame - start] = found
            for follower in followers.values():
                follower.turn()
        return logits

    def _encode(
        self, images: Mapping[int, Image], frames: Sequence[int]
    ) -> Iterator[tuple[int, EncodedPicture]]:
        """Encode pictures in the given order, several at once."""
        start = 0
        while start < len(frames):
            batch = frames[start : start + self._batches.size]
            pixels = self._processor(
                images=[images[frame] for frame in batch],
                device=self._device,
                return_tensors="pt",
            )["pixel_values"].to(self._precision)
            parts = self._batches.apply(self._features, pixels)
            yield from zip(batch, (picture for part in parts for picture in part), strict=True)
            start += len(batch)

    def _features(self, pixels: Float[Tensor, "picture 3 side side"]) -> list[EncodedPicture]:
        """Image features of some pictures, each by itself."""
        seen = self._model.get_image_features(pixels, return_dict=True)
        return [
            EncodedPicture(
                pixels[one],
                {
                    "vision_feats": [level[:, one] for level in seen.fpn_hidden_states],
                    "vision_pos_embeds": [level[:, one] for level in seen.fpn_position_encoding],
                },
            )
            for one in (slice(number, number + 1) for number in range(len(pixels)))
        ]

    def _enlarge(
        self, logits: Float[Tensor, "2 row column"], size: tuple[int, int]
    ) -> Float[Tensor, "2 height width"]:
        """Logits at the size (height, width) of the picture."""
        enlarged: Tensor = self._processor.post_process_masks(
            [logits[:, None]], [size], binarize=False
        )[0][:, 0]
        return enlarged


class _Follower:
    """The memory of one person in one chunk."""

    def __init__(self, model: Any, processor: Any, device: str, precision: torch.dtype) -> None:
        self._model, self._processor = model, processor
        self._reach = max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder)
        self.session: Any = processor.init_video_session(inference_device=device, dtype=precision)

    def prompt(
        self, frame: int, encoded: EncodedPicture, prompt: Prompt
    ) -> Float[Tensor, "row column"]:
        """Add the location of the person in one frame; returns the logits there.

        All prompts come before the first step.
        """
        if isinstance(prompt.location, Tensor):
            location: dict[str, Any] = {"input_masks": [prompt.location]}
        else:
            location = {"input_boxes": [[prompt.location.tolist()]]}
        self._processor.add_inputs_to_inference_session(
            self.session,
            frame_idx=frame,
            obj_ids=[0],
            original_size=prompt.image.shape[:2],
            **location,
        )
        found = self._run(frame, encoded, reverse=False)
        self.session.point_inputs_per_obj[0].clear()
        self.session.mask_inputs_per_obj[0].clear()
        return found

    def step(
        self, frame: int, encoded: EncodedPicture, *, reverse: bool
    ) -> Float[Tensor, "row column"]:
        """Logits in the next frame, or in the one before if `reverse`."""
        found = self._run(frame, encoded, reverse=reverse)
        recent = self.session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        self._forget([old for old in recent if abs(old - frame) >= self._reach])
        return found

    def turn(self) -> None:
        """Forget everything except the prompts."""
        self._forget(list(self.session.output_dict_per_obj[0]["non_cond_frame_outputs"]))

    def _run(
        self, frame: int, encoded: EncodedPicture, *, reverse: bool
    ) -> Float[Tensor, "row column"]:
        session = self.session
        session.cache.cache_vision_features(frame, encoded.features)
        output = self._model(
            inference_session=session, frame_idx=frame, frame=encoded.pixels, reverse=reverse
        )
        session.cache.clear_all()
        session.processed_frames.clear()
        for outputs in session.output_dict_per_obj[0].values():
            if frame in outputs:
                del outputs[frame]["high_res_masks"]  # large, and only used for the memory
        logits: Tensor = output.pred_masks[0, 0].float().cpu()
        visible = bool(output.object_score_logits.reshape(-1)[0] > 0)
        return logits if visible else torch.full_like(logits, ABSENT)

    def _forget(self, frames: Iterable[int]) -> None:
        """Remove frames from the session that the model no longer uses."""
        for frame in frames:
            del self.session.output_dict_per_obj[0]["non_cond_frame_outputs"][frame]
            del self.session.frames_tracked_per_obj[0][frame]


def _prompts(
    images: Mapping[int, Image],
    prompts_xyxy: Float[np.ndarray, "frame 2 4"],
    carried: Prompts,
) -> dict[int, dict[int, Prompt]]:
    """Boxes of this chunk and good masks of the one before, by person."""
    prompts: dict[int, dict[int, Prompt]] = {p: dict(own) for p, own in carried.items()}
    given = np.isfinite(prompts_xyxy).all(axis=-1)
    for number, person in np.argwhere(given).tolist():
        frame = min(images) + number
        location = prompts_xyxy[number, person]
        prompts.setdefault(person, {})[frame] = Prompt(images[frame], location)
    return prompts


def _good_masks(
    images: Mapping[int, Image],
    logits: Float[Tensor, "2 frame row column"],
    wrong: Bool[np.ndarray, "frame 2"],
) -> dict[int, dict[int, Prompt]]:
    """The last masks of each person that agree with their boxes, if there are any."""
    masks = _exclusive(logits)
    good = masks.any(axis=(-2, -1)) & ~wrong.T
    return {
        person: {
            min(images) + number: Prompt(
                images[min(images) + number], torch.from_numpy(masks[person, number])
            )
            for number in np.flatnonzero(good[person])[-CARRIED_MASKS:].tolist()
        }
        for person in np.flatnonzero(good.any(axis=1)).tolist()
    }


def _boxes(
    logits: Float[Tensor, "2 frame row column"], size_wh: tuple[int, int]
) -> Float[np.ndarray, "frame 2 4"]:
    """Boxes around both people's masks, in pixels of the picture."""
    return boxes_of(_exclusive(logits), size_wh).swapaxes(0, 1)


def _exclusive(logits: Float[Tensor, "2 *pixel"]) -> Bool[np.ndarray, "2 *pixel"]:
    """Give each pixel to the person with the largest logit, if it is positive."""
    owner = logits.argmax(dim=0, keepdim=True)
    people = torch.arange(len(logits)).reshape(-1, *[1] * (logits.ndim - 1))
    return np.asarray((owner == people) & (logits > 0))
