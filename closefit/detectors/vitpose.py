"""Keypoints and image features of people in boxes, from ViTPose as `transformers` has it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

from closefit.detectors.snapshots import from_snapshot

COCO_EXPERT = 0
"""ViTPose++ has one expert per data set; the first one speaks COCO-17."""

PIXEL_CENTRE = 0.5
"""ViTPose counts from the centre of the first pixel, closefit from its corner."""


class VitPoseEstimator:
    """Estimates COCO-17 keypoints, and keeps the backbone's view of each person."""

    def __init__(self, folder: Path, device: str) -> None:
        """Load the model from a snapshot `folder`.

        Raises:
            WeightsDamagedError: The folder does not hold such a model.
        """
        self._device = device
        self._processor: Any = from_snapshot(VitPoseImageProcessor.from_pretrained, folder)
        model: Any = from_snapshot(VitPoseForPoseEstimation.from_pretrained, folder)
        self._model = model.to(device).eval()
        self._has_experts = self._model.config.backbone_config.num_experts > 1
        self.feature_size: int = self._model.config.backbone_config.hidden_size
        # The forward pass returns heat maps only; the features pass by on the way to its head.
        self._view: list[torch.Tensor] = []
        self._model.backbone.register_forward_hook(
            lambda _module, _inputs, output: self._view.append(output.feature_maps[-1])
        )

    @torch.inference_mode()
    def estimate(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        boxes_xyxy: Float[np.ndarray, "person 4"],
    ) -> tuple[Float[np.ndarray, "person 17 3"], Float[np.ndarray, "person feature"]]:
        """Estimate the people in the given boxes of an RGB picture.

        Returns:
            x, y in pixels and confidence of each keypoint; mean of the backbone's last features.
        """
        if len(boxes_xyxy) == 0:
            return np.zeros((0, 17, 3)), np.zeros((0, self.feature_size))
        boxes = boxes_xyxy - PIXEL_CENTRE
        boxes[:, 2:] -= boxes[:, :2]  # it wants left, top, width, height
        pixels = self._processor(images=[image], boxes=[boxes], return_tensors="pt")
        arguments = {"pixel_values": pixels["pixel_values"].to(self._device)}
        if self._has_experts:
            arguments["dataset_index"] = torch.full((len(boxes),), COCO_EXPERT, device=self._device)
        outputs = self._model(**arguments)
        features = self._view.pop().mean(dim=1).float().cpu().numpy()
        people = self._processor.post_process_pose_estimation(outputs, boxes=[boxes])[0]
        points = np.stack([person["keypoints"].numpy() for person in people]) + PIXEL_CENTRE
        scores = np.stack([person["scores"].numpy() for person in people]).clip(0.0, 1.0)
        keypoints = np.concatenate([points, scores[..., None]], axis=-1)
        return keypoints.astype(np.float64), features.astype(np.float64)
