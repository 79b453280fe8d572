"""The networks of `--perception full` with random weights, to time them without downloads."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

Pictures = list[np.ndarray]
Detect = Callable[[Pictures, np.ndarray], object]
"""Takes RGB pictures and the true boxes (frame, 2, 4) of both people, in pixels."""


def detectors(folder: Path, device: str, small: bool) -> dict[str, Detect]:
    """YOLO, ViTPose and SAM 2.1, of the published sizes or `small`, by name."""
    from closefit.perception.detectors.sam2 import Sam2Segmenter
    from closefit.perception.detectors.vitpose import VitPoseEstimator
    from closefit.perception.detectors.yolo import YoloDetector

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    save_vitpose, save_sam2 = _small_ones() if small else (_save_vitpose, _save_sam2)
    yolo = YoloDetector(_save_yolo(folder / "yolo11n-pose.pt"), None, device, 0.25)
    vitpose = VitPoseEstimator(save_vitpose(folder / "vitpose"), device)
    sam2 = Sam2Segmenter(save_sam2(folder / "sam2.1-hiera-tiny"), device)

    def find(pictures: Pictures, _: np.ndarray) -> object:
        return [yolo.detect(part) for part in _batches(pictures, yolo.batch_size)]

    def estimate(pictures: Pictures, boxes: np.ndarray) -> object:
        size = vitpose.batch_size
        pairs = zip(_batches(pictures, size), _batches([*boxes], size), strict=True)
        return [vitpose.estimate(*pair) for pair in pairs]

    def follow(pictures: Pictures, boxes: np.ndarray) -> object:
        prompts = np.full_like(boxes, np.nan)
        prompts[0] = boxes[0]
        # Every mask of a random network disagrees with these, so people are followed twice.
        return [mask.any() for mask in sam2.follow(pictures, prompts, boxes)]

    return {"YOLO": find, "ViTPose": estimate, "SAM 2.1": follow}


def _batches(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _save_yolo(file: Path) -> Path:
    from ultralytics import YOLO

    YOLO("yolo11n-pose.yaml").save(file)
    return file


def _small_ones() -> tuple[Callable[[Path], Path], Callable[[Path], Path]]:
    from tests.unit.perception.detectors import snapshots

    return snapshots.save_vitpose, snapshots.save_sam2


def _save_vitpose(folder: Path) -> Path:
    """ViTPose base: 12 layers of width 768 on 256x192 pixels."""
    from transformers import VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

    config = VitPoseConfig(
        backbone_config={
            "model_type": "vitpose_backbone",
            "image_size": [256, 192],
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "out_indices": [12],
        },
        num_labels=17,
    )
    VitPoseForPoseEstimation(config).save_pretrained(folder)
    VitPoseImageProcessor().save_pretrained(folder)
    return folder


def _save_sam2(folder: Path) -> Path:
    """SAM 2.1 tiny on 1024x1024 pixels: the defaults of the library."""
    from transformers import (
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
    )

    Sam2VideoModel(Sam2VideoConfig()).save_pretrained(folder)
    Sam2VideoProcessor(Sam2ImageProcessor(), Sam2VideoVideoProcessor()).save_pretrained(folder)
    return folder
