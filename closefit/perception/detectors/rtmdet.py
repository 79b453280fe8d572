"""Boxes of people from RTMDet-nano: the only importer of `onnxruntime`."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as Pillow

# Read on import. Otherwise onnxruntime sends usage data to its makers, even with `--offline`.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from closefit.errors import WeightsDamagedError
from closefit.perception.detectors.native import network_threads

NETWORK_SIZE_PX = 320
PERSON_CLASS = 0

MEAN_BGR = np.array([103.53, 116.28, 123.675], dtype=np.float32)
DEVIATION_BGR = np.array([57.375, 57.12, 58.395], dtype=np.float32)
PADDING = 114
"""As in the training of the network."""

LOAD_ERRORS = (
    *(failures.Fail, failures.InvalidProtobuf, failures.InvalidGraph, failures.InvalidArgument),
    *(failures.NotImplemented, failures.RuntimeException, failures.NoModel),
)


class RtmdetDetector:
    """Finds people; non-maximum suppression is part of the network."""

    def __init__(self, path: Path) -> None:
        """Load the network from an `.onnx` file.

        Raises:
            WeightsDamagedError: The file is no such network.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = network_threads()
        # Waiting threads would spin and slow down the work between two pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        blank = np.zeros((NETWORK_SIZE_PX, NETWORK_SIZE_PX, 3), dtype=np.uint8)
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            self.detect(blank, 0.5)
        except (*LOAD_ERRORS, ValueError) as error:
            raise WeightsDamagedError(
                f"`{path}` is not an RTMDet network: {error}",
                hint="delete it and run `closefit download-weights rtmdet-nano`",
            ) from error

    def detect(
        self, image: UInt8[np.ndarray, "height width 3"], confidence: float
    ) -> tuple[Float[np.ndarray, "person 4"], Float[np.ndarray, " person"]]:
        """Find people in an RGB picture.

        Returns:
            Boxes (left, top, right, bottom) in pixels, and scores, none of them below `confidence`.
        """
        pixels, scale = _letterbox(image)
        # The first input and output are the only ones of their kind, whatever their names.
        found, labels = self._session.run(None, {self._session.get_inputs()[0].name: pixels})
        kept = (found[0, :, 4] >= confidence) & (labels[0] == PERSON_CLASS)
        boxes, scores = found[0, kept, :4].astype(np.float64), found[0, kept, 4].astype(np.float64)
        edges = np.array([image.shape[1], image.shape[0]] * 2)
        return (boxes * scale).clip(0.0, edges), scores


def _letterbox(
    image: UInt8[np.ndarray, "height width 3"],
) -> tuple[Float[np.ndarray, "1 3 side side"], Float[np.ndarray, "4"]]:
    """Fit a picture into the network's square, at its top left.

    Returns:
        Normalised pixels, and the picture's pixels per network pixel for the four sides of a box.
    """
    height, width = image.shape[:2]
    share = NETWORK_SIZE_PX / max(height, width)
    fitted = max(1, round(width * share)), max(1, round(height * share))
    square = np.full((NETWORK_SIZE_PX, NETWORK_SIZE_PX, 3), PADDING, dtype=np.uint8)
    small = Pillow.fromarray(image).resize(fitted, Pillow.Resampling.BILINEAR)
    square[: fitted[1], : fitted[0]] = np.asarray(small)
    pixels = (square[..., ::-1].astype(np.float32) - MEAN_BGR) / DEVIATION_BGR
    scale = np.array([width / fitted[0], height / fitted[1]] * 2)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]), scale
