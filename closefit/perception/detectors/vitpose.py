"""Keypoints of people in boxes, from ViTPose as `transformers` has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

from closefit.perception.detectors.memory import Batches
from closefit.perception.detectors.snapshots import from_snapshot

COCO_EXPERT = 0
"""ViTPose++ has one expert per data set; the first one is that of COCO."""

PIXEL_CENTRE = 0.5
"""ViTPose counts from the centre of the first pixel, closefit from its corner."""

MIRRORED = tuple((left, left + 1) for left in range(1, 17, 2))
"""COCO-17 keypoints that change places in a mirror."""

Image = UInt8[np.ndarray, "height width 3"]


class VitPoseEstimator:
    """Estimates COCO-17 keypoints.

    Heat maps are averaged with those of the mirrored person, as the published figures are. Crops,
    and the step from heat maps to fractions of a pixel (unbiased, DARK), are the library's.
    """

    def __init__(self, folder: Path, device: str) -> None:
        """Load the model from a snapshot `folder`; on CUDA it works in half precision.

        Raises:
            WeightsDamagedError: The folder does not hold such a model.
        """
        self._device = device
        self._precision = torch.float16 if device == "cuda" else torch.float32
        self._processor: Any = from_snapshot(VitPoseImageProcessor.from_pretrained, folder)
        model: Any = from_snapshot(VitPoseForPoseEstimation.from_pretrained, folder)
        self._model = model.to(device, self._precision).eval()
        self._has_experts = self._model.config.backbone_config.num_experts > 1
        self._mirrored = torch.tensor(MIRRORED, device=device)
        self.batch_size = 16 if device == "cuda" else 1
        self._batches = Batches("ViTPose on people", 2 * self.batch_size)

    @torch.inference_mode()
    def estimate(
        self, images: Sequence[Image], boxes_xyxy: Sequence[Float[np.ndarray, "_ 4"]]
    ) -> list[Float[np.ndarray, "_ 17 3"]]:
        """Estimate the people in the given boxes of RGB pictures, all in one batch.

        Returns:
            For each picture: x, y in pixels and confidence of each keypoint.
        """
        shown = [number for number, boxes in enumerate(boxes_xyxy) if len(boxes)]
        estimates = [np.zeros((0, 17, 3)) for _ in images]
        if not shown:
            return estimates
        wanted = [_corner_and_size(boxes_xyxy[number]) for number in shown]
        pixels = self._processor(
            images=[images[number] for number in shown], boxes=wanted, return_tensors="pt"
        )["pixel_values"].to(self._device, self._precision)
        seen = self._batches.apply(self._seen_twice, pixels)
        outputs = seen[0]
        outputs.heatmaps = torch.cat([part.heatmaps for part in seen])
        people = self._processor.post_process_pose_estimation(outputs, boxes=wanted)
        for number, found in zip(shown, people, strict=True):
            points = np.stack([person["keypoints"].numpy() for person in found]) + PIXEL_CENTRE
            scores = np.stack([person["scores"].numpy() for person in found]).clip(0.0, 1.0)
            keypoints = np.concatenate([points, scores[..., None]], axis=-1)
            estimates[number] = keypoints.astype(np.float64)
        return estimates

    def _seen_twice(self, pixels: Float[Tensor, "person 3 height width"]) -> Any:
        """Heat maps averaged with those of the mirrored people."""
        outputs = self._forward(pixels, None)
        mirrored = self._forward(pixels.flip(-1), self._mirrored)
        outputs.heatmaps = 0.5 * (outputs.heatmaps.float() + mirrored.heatmaps.float())
        return outputs

    def _forward(
        self, pixels: Float[Tensor, "person 3 height width"], mirrored: Tensor | None
    ) -> Any:
        """Heat maps, turned back if the people are mirrored."""
        arguments: dict[str, Any] = {"pixel_values": pixels, "flip_pairs": mirrored}
        if self._has_experts:
            arguments["dataset_index"] = torch.full(
                (len(pixels),), COCO_EXPERT, device=self._device
            )
        return self._model(**arguments)


def _corner_and_size(boxes_xyxy: Float[np.ndarray, "person 4"]) -> Float[np.ndarray, "person 4"]:
    """Left, top, width and height, as the library requires them, counted from pixel centres."""
    boxes = boxes_xyxy - PIXEL_CENTRE
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
