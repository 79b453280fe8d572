"""Where points of the scene appear in the panels of the overlay video: camera, side and top."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

MARGIN_M = 0.35
"""Space around the joints: they lie inside the body."""

MIN_EXTENT_M = 2.2
"""A view shows at least this much, so that two people standing are not blown up."""

OUTLIER_PERCENT = 1.0
"""Frames in which someone is farther out than this share of all may be cut off by a fixed view."""

GRID_M = 0.5
BACKGROUND = (244, 244, 242)
GRID_COLOUR = (214, 214, 210)
FLOOR_COLOUR = (120, 120, 116)


@dataclass(frozen=True, eq=False)
class Projected:
    """Vertices in a panel.

    Attributes:
        pixels: Where they are.
        nearness: Larger for nearer ones, linear in the image.
        nearness_per_m: Difference of nearness that a metre of depth makes in their middle.
    """

    pixels: Float[np.ndarray, "body vertex 2"]
    nearness: Float[np.ndarray, "body vertex"]
    nearness_per_m: float


@dataclass(frozen=True, eq=False)
class ParallelView:
    """A view without perspective that stays the same for the whole clip.

    Attributes:
        axes: Rows: right, down and forward of the view, in the frame of the points.
        centre: Point of that frame in the middle of the panel.
        px_per_m: Scale.
        size_wh: Panel in pixels.
    """

    axes: Float[np.ndarray, "3 3"]
    centre: Float[np.ndarray, "3"]
    px_per_m: float
    size_wh: tuple[int, int]

    @classmethod
    def around(
        cls,
        joints: Float[np.ndarray, "*batch 3"],
        axes: Float[np.ndarray, "3 3"],
        size_wh: tuple[int, int],
    ) -> "ParallelView":
        """Choose scale and place so that the joints of the whole clip fit in."""
        along = joints.reshape(-1, 3) @ axes.T
        low = np.percentile(along, OUTLIER_PERCENT, axis=0)
        high = np.percentile(along, 100.0 - OUTLIER_PERCENT, axis=0)
        extent = np.maximum(high - low + 2.0 * MARGIN_M, MIN_EXTENT_M)
        scale = min(size_wh[0] / extent[0], size_wh[1] / extent[1])
        centre = 0.5 * (low + high) @ axes
        return cls(axes=axes, centre=centre, px_per_m=float(scale), size_wh=size_wh)

    def project(self, points: Float[np.ndarray, "body vertex 3"]) -> Projected:
        """Project points; the nearest of them has nearness 2, the farthest 1."""
        along = (points - self.centre) @ self.axes.T
        depth = along[..., 2]
        low, high = depth.min(), depth.max()
        extent_m = max(float(high - low), 1e-6)
        return Projected(
            pixels=along[..., :2] * self.px_per_m + 0.5 * np.array(self.size_wh),
            nearness=2.0 - (depth - low) / extent_m,
            nearness_per_m=1.0 / extent_m,
        )

    def empty_panel(self) -> UInt8[np.ndarray, "height width 3"]:
        """Background with grid lines every half metre; the floor, at height zero, is darker."""
        width, height = self.size_wh
        picture = Image.new("RGB", (width, height), BACKGROUND)
        draw = ImageDraw.Draw(picture)
        middle = self.axes @ self.centre
        for axis, length in enumerate((width, height)):
            reach = 0.5 * length / self.px_per_m
            first = math.ceil((middle[axis] - reach) / GRID_M)
            last = math.floor((middle[axis] + reach) / GRID_M)
            for step in range(first, last + 1):
                place = (step * GRID_M - middle[axis]) * self.px_per_m + 0.5 * length
                line = ((place, 0), (place, height)) if axis == 0 else ((0, place), (width, place))
                is_floor = step == 0 and abs(self.axes[axis, 1]) > 0.5
                colour, thickness = (FLOOR_COLOUR, 2) if is_floor else (GRID_COLOUR, 1)
                draw.line(line, fill=colour, width=thickness)
        return np.array(picture)


FRONT_AXES = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
"""As the camera looks, but level."""

SIDE_AXES = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])
"""From the camera's right: the camera is on the left and looks to the right."""

TOP_AXES = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""From above: the camera is at the bottom and looks up the panel."""


def project_perspective(
    points: Float[np.ndarray, "body vertex 3"], K: Float[np.ndarray, "3 3"], near_m: float
) -> Projected:
    """Project camera-space points; those nearer than `near_m` get nearness 0."""
    depth = np.maximum(points[..., 2], near_m)
    return Projected(
        pixels=points[..., :2] / depth[..., None] * K[(0, 1), (0, 1)] + K[:2, 2],
        nearness=np.where(points[..., 2] > near_m, 1.0 / depth, 0.0),
        nearness_per_m=float(np.median(depth)) ** -2,
    )
