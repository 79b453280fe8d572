"""Masks of people through a video, from SAM 2.1 as `transformers` has it.

Frames are streamed: the model keeps a memory of the last few, and the session is emptied of
everything older, so memory does not grow with the length of the video.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from transformers import Sam2VideoModel, Sam2VideoProcessor

from closefit.detectors.snapshots import from_snapshot

KEPT_PROMPTS = 4
"""Frames with a given box that the model looks back to: the first and the latest ones."""


class Sam2Segmenter:
    """Follows people through a video, told by a box here and there who is who."""

    def __init__(self, folder: Path, device: str) -> None:
        """Load the model from a snapshot `folder`.

        Raises:
            WeightsDamagedError: The folder does not hold such a model.
        """
        self._device = device
        self._processor: Any = from_snapshot(Sam2VideoProcessor.from_pretrained, folder)
        model: Any = from_snapshot(Sam2VideoModel.from_pretrained, folder)
        self._model = model.to(device).eval()
        config = self._model.config
        self._memory = max(config.num_maskmem, config.max_object_pointers_in_encoder)

    @torch.inference_mode()
    def follow(
        self,
        images: Iterable[UInt8[np.ndarray, "height width 3"]],
        prompts_xyxy: Float[np.ndarray, "frame person 4"],
    ) -> Iterator[Bool[np.ndarray, "person height width"]]:
        """Yield each frame's masks; no pixel belongs to two people.

        Args:
            images: RGB pictures of one size.
            prompts_xyxy: Boxes to start from or to be reminded by, in pixels; NaN elsewhere. A
                person has no mask before their first box.
        """
        session = self._processor.init_video_session(inference_device=self._device)
        known: list[int] = []
        for frame, (image, boxes) in enumerate(zip(images, prompts_xyxy, strict=True)):
            size = image.shape[:2]
            prompted = np.flatnonzero(np.isfinite(boxes).all(axis=-1))
            if len(prompted):
                self._processor.add_inputs_to_inference_session(
                    session,
                    frame_idx=frame,
                    obj_ids=[int(person) for person in prompted],
                    input_boxes=[boxes[prompted].tolist()],
                    original_size=size,
                )
            known += [int(person) for person in prompted if person not in known]
            logits = torch.full((boxes.shape[0], *size), -1.0)
            if known:
                logits[known] = self._segment(session, frame, image)
                _forget(session, frame, self._memory)
            yield _exclusive(logits)

    def _segment(
        self, session: Any, frame: int, image: UInt8[np.ndarray, "height width 3"]
    ) -> Float[Tensor, "known height width"]:
        """Mask logits of all known people, in the order in which they became known."""
        pixels = self._processor(images=image, device=self._device, return_tensors="pt")
        output = self._model(
            inference_session=session, frame_idx=frame, frame=pixels["pixel_values"]
        )
        logits = self._processor.post_process_masks(
            [output.pred_masks], [image.shape[:2]], binarize=False
        )[0][:, 0]
        hidden = output.object_score_logits.reshape(-1) <= 0
        logits[hidden] = -1.0
        known: Tensor = logits.float().cpu()
        return known


def _exclusive(
    logits: Float[Tensor, "person height width"],
) -> Bool[np.ndarray, "person height width"]:
    """Give each pixel to the person who claims it most, if anyone does."""
    owner = logits.argmax(dim=0, keepdim=True)
    people = torch.arange(logits.shape[0])[:, None, None]
    masks: Bool[np.ndarray, "person height width"] = ((owner == people) & (logits > 0)).numpy()
    return masks


def _forget(session: Any, frame: int, memory: int) -> None:
    """Drop from the session what the model will not look back to."""
    session.processed_frames.clear()
    for outputs in session.output_dict_per_obj.values():
        recent = outputs["non_cond_frame_outputs"]
        for old in [number for number in recent if number <= frame - memory]:
            del recent[old]
        prompts = outputs["cond_frame_outputs"]
        for old in sorted(prompts)[1 : 1 - KEPT_PROMPTS]:
            del prompts[old]
    for tracked in session.frames_tracked_per_obj.values():
        for old in [number for number in tracked if number < frame]:
            del tracked[old]
    for inputs in session.point_inputs_per_obj.values():
        inputs.clear()
