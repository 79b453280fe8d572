"""Keypoints, metric landmarks and mask of one person from BlazePose (a `.tflite` file).

The input is a square that holds one upright person. The output is 33 landmarks and two points for
the square of the next picture: the hip centre, and a point above the head on the circle around the
whole person.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float
from PIL import Image as Pillow
from scipy.special import expit

from closefit.errors import WeightsDamagedError
from closefit.perception.detectors.native import network_threads, silent_stderr
from closefit.perception.detectors.regions import Region

NETWORK_SIZE_PX = 256

COCO_LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""BlazePose's landmark of each COCO-17 keypoint."""

HIP_CENTRE, CIRCLE = 33, 34

REGION_MARGIN = 1.15
"""Side of the region around a person's box, in longer sides of the box."""

WINDOW_MARGIN = 0.04
"""Visible margin around the box, in longer sides of the box."""

OUTPUTS = {
    "landmarks": (1, 195),  # 39 x (x, y, z in crop pixels, visibility, presence)
    "presence": (1, 1),
    "segmentation": (1, 256, 256, 1),
    "heatmap": (1, 64, 64, 39),
    "world": (1, 117),  # 39 x (x, y, z in metres about the hip centre)
}
HEATMAP_REACH = 3
MIN_HEAT = 0.5
"""A landmark moves to the centre of the heat around it, if there is any as strong as this.

Measured on rendered clips: 2.0 instead of 2.5 % of a person's height from the truth.
"""

NO_LOGIT = -20.0
"""Logit of the mask outside the square."""


@dataclass(frozen=True, eq=False)
class BlazePoseResult:
    """The result of BlazePose in a region, in pixels of the picture.

    Attributes:
        keypoints: COCO-17 x, y and confidence.
        landmarks_m: The same keypoints about the hip midpoint in camera axes, and confidence.
        presence: Confidence that there is a person.
        upright_rad: Angle of the region in which this person would be upright.
        segmentation: Logits of the person's pixels over the region.
        region: The square given to the network.
    """

    keypoints: Float[np.ndarray, "17 3"]
    landmarks_m: Float[np.ndarray, "17 4"]
    presence: float
    upright_rad: float
    segmentation: Float[np.ndarray, "256 256"]
    region: Region

    def mask_logits(self, size_wh: tuple[int, int]) -> Float[np.ndarray, "height width"]:
        """Logits of the person's pixels in the whole picture."""
        return self.region.paste_back(self.segmentation, size_wh, NO_LOGIT)


class BlazePose:
    """Estimates one person's pose in a region of a picture."""

    def __init__(self, path: Path) -> None:
        """Load the network from a `.tflite` file.

        Raises:
            WeightsDamagedError: The file is no such network.
        """
        size = path.stem.removeprefix("pose_landmark_")
        hint = f"delete it and run `closefit download-weights blazepose-{size}`"
        try:
            with silent_stderr():
                self._network: Any = Interpreter(str(path), num_threads=network_threads())
                self._network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise WeightsDamagedError(
                f"`{path}` is not a BlazePose network: {error}", hint=hint
            ) from error
        self._input: int = self._network.get_input_details()[0]["index"]
        shapes = {
            tuple(output["shape"].tolist()): output["index"]
            for output in self._network.get_output_details()
        }
        if not set(OUTPUTS.values()) <= set(shapes):
            raise WeightsDamagedError(
                f"`{path}` is another network than BlazePose's landmarks: it gives arrays of "
                f"{sorted(shapes)}",
                hint=hint,
            )
        self._outputs = {name: shapes[shape] for name, shape in OUTPUTS.items()}

    def estimate_in_box(
        self, image: Pillow.Image, box_xyxy: Float[np.ndarray, "4"], upright_rad: float
    ) -> BlazePoseResult:
        """Estimate the person in a box of an RGB picture, who was last upright at that angle.

        Only the inside of the box is shown: the network describes the nearest person.
        """
        region = Region.around(box_xyxy, REGION_MARGIN, upright_rad)
        return self.estimate(image, region, _window(box_xyxy, image.size))

    def estimate(
        self, image: Pillow.Image, region: Region, window_xyxy: tuple[int, int, int, int]
    ) -> BlazePoseResult:
        """Estimate the person in a region of an RGB picture, of which only a window is shown."""
        crop = region.cut(image, NETWORK_SIZE_PX, window_xyxy)
        self._network.set_tensor(self._input, crop[None].astype(np.float32) / 255.0)
        self._network.invoke()
        raw = {name: self._network.get_tensor(index)[0] for name, index in self._outputs.items()}
        landmarks = raw["landmarks"].reshape(39, 5).astype(np.float64)
        places = _to_heat(landmarks[:, :2], raw["heatmap"])
        matrix = region.to_picture(NETWORK_SIZE_PX)
        points = places @ matrix[:, :2].T + matrix[:, 2]
        confidence = expit(landmarks[:, 3]) * expit(landmarks[:, 4])
        world = raw["world"].reshape(39, 3).astype(np.float64)
        world[:, :2] = world[:, :2] @ region.turn.T
        coco = list(COCO_LANDMARKS)
        outward = points[CIRCLE] - points[HIP_CENTRE]
        return BlazePoseResult(
            keypoints=np.column_stack([points, confidence])[coco],
            landmarks_m=np.column_stack([world, confidence])[coco],
            presence=float(raw["presence"][0]),
            upright_rad=float(np.arctan2(outward[0], -outward[1])),
            segmentation=raw["segmentation"][..., 0],
            region=region,
        )


def _window(
    box_xyxy: Float[np.ndarray, "4"], size_wh: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The visible part of the picture for a box: left, top, right, bottom."""
    margin = WINDOW_MARGIN * float(max(box_xyxy[2:] - box_xyxy[:2]))
    low = np.floor(box_xyxy[:2] - margin).clip(0, np.array(size_wh) - 1)
    high = np.ceil(box_xyxy[2:] + margin).clip(low + 1, np.array(size_wh))
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _to_heat(
    points: Float[np.ndarray, "39 2"], heatmap: Float[np.ndarray, "64 64 39"]
) -> Float[np.ndarray, "39 2"]:
    """Move landmarks (in crop pixels) to the centre of the heat in the cells around them."""
    side = heatmap.shape[0]
    cells_per_px = side / NETWORK_SIZE_PX
    cell = np.floor(points * cells_per_px).astype(np.int64)
    near = np.arange(-HEATMAP_REACH, HEATMAP_REACH + 1)
    column = cell[:, None, None, 0] + near[None, None, :]
    row = cell[:, None, None, 1] + near[None, :, None]
    landmark = np.arange(len(points))[:, None, None]
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    logits = heatmap[row.clip(0, side - 1), column.clip(0, side - 1), landmark]
    heat = np.where(inside, expit(logits), 0.0)
    total = np.maximum(heat.sum(axis=(1, 2)), 1e-9)
    centre = np.stack([(heat * axis).sum(axis=(1, 2)) for axis in (column, row)], axis=-1)
    strong = heat.max(axis=(1, 2)) >= MIN_HEAT
    inner = ((cell >= 0) & (cell < side)).all(axis=-1)
    moved = centre / total[:, None] / cells_per_px
    return np.where((strong & inner)[:, None], moved, points)
