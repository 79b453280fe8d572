"""Rotated squares of a picture, cut out for networks that process one person."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as Pillow


@dataclass(frozen=True)
class Region:
    """A square of a picture, in its pixels; it may reach beyond the edges.

    Attributes:
        centre_x: Its middle.
        centre_y: Its middle.
        side: Length of its sides.
        angle_rad: Clockwise rotation of its upper side on the screen.
    """

    centre_x: float
    centre_y: float
    side: float
    angle_rad: float = 0.0

    @classmethod
    def around(
        cls, box_xyxy: Float[np.ndarray, "4"], margin: float, angle_rad: float = 0.0
    ) -> "Region":
        """Put a square around a box, `margin` times as large as the longer side of it."""
        left, top, right, bottom = (float(value) for value in box_xyxy)
        side = margin * max(right - left, bottom - top, 1.0)
        return cls((left + right) / 2.0, (top + bottom) / 2.0, side, angle_rad)

    @property
    def turn(self) -> Float[np.ndarray, "2 2"]:
        """Rotation from the square's axes to the picture's."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        return np.array([[cos, -sin], [sin, cos]])

    def to_picture(self, size: int) -> Float[np.ndarray, "2 3"]:
        """Affine map from a crop of `size` x `size` pixels to the picture."""
        linear = self.turn * (self.side / size)
        centre = np.array([self.centre_x, self.centre_y])
        return np.column_stack([linear, centre - linear @ np.full(2, size / 2.0)])

    def cut(
        self, image: Pillow.Image, size: int, window_xyxy: tuple[int, int, int, int]
    ) -> UInt8[np.ndarray, "size size 3"]:
        """Return the square as a crop of `size` x `size` pixels, black outside the window."""
        source = self.to_picture(size)
        source[:, 2] -= window_xyxy[:2]
        return np.asarray(_warp(image.crop(window_xyxy), (size, size), source, fill=0.0))

    def paste_back(
        self, crop: Float[np.ndarray, "size size"], size_wh: tuple[int, int], fill: float
    ) -> Float[np.ndarray, "height width"]:
        """Return the picture that has `crop` in the place of the square, and `fill` elsewhere."""
        forward = np.vstack([self.to_picture(crop.shape[0]), [0.0, 0.0, 1.0]])
        values = Pillow.fromarray(crop.astype(np.float32))
        return np.asarray(_warp(values, size_wh, np.linalg.inv(forward)[:2], fill))


def _warp(
    image: Pillow.Image,
    size_wh: tuple[int, int],
    source: Float[np.ndarray, "2 3"],
    fill: float,
) -> Pillow.Image:
    """Resample bilinearly; `source` maps a place in the result to its place in `image`.

    Pillow counts from the corner of the first pixel, as closefit does.
    """
    return image.transform(
        size_wh,
        Pillow.Transform.AFFINE,
        tuple(source.ravel()),
        resample=Pillow.Resampling.BILINEAR,
        fillcolor=fill if image.mode == "F" else None,
    )
