"""Boxes, keypoints and masks from Ultralytics' YOLO: the only module that imports it.

Ultralytics is AGPL-3.0. Its access to the network, installation of packages, use of the user's
settings and change of the number of threads of this process are disabled.
"""

import os
import pickle
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import linear_sum_assignment

from closefit.errors import WeightsDamagedError
from closefit.perception.detectors.native import silent_stderr
from closefit.tracking.detections import Detections, box_iou

PERSON_CLASS = 0
NETWORK_SIZE_PX = 640

BOX_OVERLAP = 0.85
"""Two boxes that overlap more than this (IoU) are one person.

Boxes of people who embrace nearly coincide, so this is far above the usual 0.7. Duplicates that
remain are found by their keypoints.
"""

SAME_POSE = 0.06
"""Two poses whose keypoints are closer than this, in box heights, are one person found twice."""

MASK_OVERLAP = 0.3
"""A mask belongs to the pose whose box overlaps its own at least this much."""

Image = UInt8[np.ndarray, "height width 3"]


class YoloDetector:
    """A pose network and, if masks are needed, a segmentation network."""

    def __init__(
        self, pose: Path, segmentation: Path | None, device: str, confidence: float
    ) -> None:
        """Load the networks.

        Args:
            pose: File of the pose network, `.pt` or `.tflite`.
            segmentation: File of the segmentation network, or None to leave masks empty.
            device: `cpu` or `cuda`; `.tflite` files run on the CPU only.
            confidence: Detections below it are dropped.

        Raises:
            WeightsDamagedError: A file is no such network.
        """
        self._confidence = confidence
        self._device = device
        with _contained():
            self._pose = self._load(pose, "pose")
            self._segmentation = segmentation and self._load(segmentation, "segment")
        files = [path for path in (pose, segmentation) if path is not None]
        # Exported networks have a fixed batch size of one.
        self.batch_size = 8 if all(path.suffix == ".pt" for path in files) else 1

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the people in `images` (RGB, all of one size, at most `batch_size` of them)."""
        poses = self._predict(self._pose, images)
        if self._segmentation is None:
            return [_merge(pose, None) for pose in poses]
        masks = self._predict(self._segmentation, images)
        return [_merge(pose, mask) for pose, mask in zip(poses, masks, strict=True)]

    def _load(self, path: Path, task: str) -> Any:
        from ultralytics import YOLO  # type: ignore[attr-defined]

        blank = np.zeros((NETWORK_SIZE_PX, NETWORK_SIZE_PX, 3), dtype=np.uint8)
        try:
            model = YOLO(path, task=task)
            self._predict(model, [blank])  # most of a model is set up by its first picture
        except (
            *(RuntimeError, ValueError, TypeError, KeyError, AttributeError, OSError, EOFError),
            *(pickle.UnpicklingError, zipfile.BadZipFile, ModuleNotFoundError),
        ) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise WeightsDamagedError(
                f"`{path}` is not a YOLO network for `{task}`: {reason[0]}",
                hint="delete it and run `closefit download-weights`",
            ) from error
        return model

    def _predict(self, model: Any, images: Sequence[Image]) -> list[Any]:
        results: list[Any] = model.predict(
            [np.ascontiguousarray(image[..., ::-1]) for image in images],  # it expects BGR
            imgsz=NETWORK_SIZE_PX,
            conf=self._confidence,
            iou=BOX_OVERLAP,
            classes=[PERSON_CLASS],
            device=self._device,
            retina_masks=True,  # at the size of the picture
            save=False,
            verbose=False,
        )
        return results


def _merge(pose: Any, segmentation: Any) -> Detections:
    """Give each pose the mask with the best matching box; drop duplicate poses."""
    height, width = pose.orig_shape
    boxes = pose.boxes.xyxy.cpu().numpy().astype(np.float64)
    scores = pose.boxes.conf.cpu().numpy().astype(np.float64)
    keypoints = pose.keypoints.data.cpu().numpy().astype(np.float64).reshape(-1, 17, 3)
    kept = _distinct(boxes, scores, keypoints)
    boxes, scores, keypoints = boxes[kept], scores[kept], keypoints[kept]

    masks = np.zeros((len(boxes), height, width), dtype=bool)
    if segmentation is not None and segmentation.masks is not None and len(boxes):
        found = segmentation.masks.data.cpu().numpy() > 0.5
        overlap = box_iou(boxes, segmentation.boxes.xyxy.cpu().numpy().astype(np.float64))
        for person, mask in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[person, mask] >= MASK_OVERLAP:
                masks[person] = found[mask]
    return Detections(boxes_xyxy=boxes, scores=scores, keypoints=keypoints, masks=masks)


def _distinct(
    boxes: Float[np.ndarray, "person 4"],
    scores: Float[np.ndarray, " person"],
    keypoints: Float[np.ndarray, "person 17 3"],
) -> Bool[np.ndarray, " person"]:
    """Poses that are not a copy of one with a higher score."""
    points, confidence = keypoints[..., :2], keypoints[..., 2]
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    weight = confidence[:, None] * confidence[None] + 1e-9
    mean = (weight * distance).sum(axis=-1) / weight.sum(axis=-1)
    same = mean < SAME_POSE * (boxes[:, 3] - boxes[:, 1])[:, None]
    better = scores[None] > scores[:, None]
    return np.asarray(~(same & better).any(axis=1))


@contextmanager
def _contained() -> Iterator[None]:
    """Import and set up Ultralytics without its side effects.

    It reads these variables on import. It also sets the number of threads of the whole process, and
    its native runtime writes to the terminal.
    """
    threads, variables = torch.get_num_threads(), dict(os.environ)
    # It hashes the network card's address, for which Python opens a socket.
    getnode, uuid.getnode = uuid.getnode, lambda: 0
    printing = np.get_printoptions()
    with tempfile.TemporaryDirectory() as settings, silent_stderr():
        os.environ.update(
            YOLO_OFFLINE="true",  # neither telemetry nor update checks nor downloads
            YOLO_AUTOINSTALL="false",
            YOLO_VERBOSE="false",
            YOLO_CONFIG_DIR=settings,
            ULTRALYTICS_SAFE_LOAD="true",  # .pt files are pickles: load known classes only
        )
        try:
            yield
        finally:
            uuid.getnode = getnode
            for name in set(os.environ) - set(variables):
                del os.environ[name]
            os.environ.update(variables)
            torch.set_num_threads(threads)
            np.set_printoptions(**printing)
