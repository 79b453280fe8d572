"""The part of the pictures around two people, shrunk to a size at which pixels are compared."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from closefit.tracking.masks import PairMask
from closefit.tracking.pixel_classes import NOBODY, Shares

HEIGHT_PX = 240
"""Pictures are shrunk until people are this tall."""

MARGIN = 0.25
"""Room around all boxes of the clip, in heights of a person."""

SMOOTHING_PX = 1.0
"""Blur of the probabilities before they are enlarged."""


@dataclass(frozen=True, eq=False)
class PairView:
    """A part of the pictures of a clip, and its scale.

    Attributes:
        corners: Left, top, right, bottom in the pictures.
        scale: Its pixels per pixel of the pictures.
        height_px: Height of a person in its pixels.
    """

    corners: tuple[int, int, int, int]
    scale: float
    height_px: float

    @classmethod
    def of(
        cls,
        boxes_xyxy: Float[np.ndarray, "frame person 4"],
        height_px: Float[np.ndarray, " person"],
        size_wh: tuple[int, int],
    ) -> "PairView":
        """The part that holds all boxes of a clip; NaN where a person has none."""
        boxes, tall = boxes_xyxy[np.isfinite(boxes_xyxy).all(axis=-1)], float(height_px.max())
        limit = np.array(size_wh)
        low = np.floor(boxes[:, :2].min(axis=0) - MARGIN * tall).clip(0, limit - 1).astype(int)
        high = np.ceil(boxes[:, 2:].max(axis=0) + MARGIN * tall).clip(low + 1, limit).astype(int)
        scale = min(1.0, HEIGHT_PX / tall)
        return cls((int(low[0]), int(low[1]), int(high[0]), int(high[1])), scale, scale * tall)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the shrunk part."""
        left, top, right, bottom = self.corners
        width, height = self.scale * (right - left), self.scale * (bottom - top)
        return max(8, round(width)), max(8, round(height))

    def row(self, y: float) -> float:
        """Row of the shrunk part at which a row of the pictures is."""
        return self.scale * (y - self.corners[1])

    def places(self, xy: Float[np.ndarray, "*place 2"]) -> Float[np.ndarray, "*place 2"]:
        """Places of the shrunk part at which places of the pictures are."""
        return np.asarray(self.scale * (xy - self.corners[:2]))

    def picture(self, image: UInt8[np.ndarray, "rows columns 3"]) -> UInt8[np.ndarray, "y x 3"]:
        """Cut out and shrink."""
        left, top, right, bottom = self.corners
        part = np.ascontiguousarray(image[top:bottom, left:right])
        return np.asarray(cv2.resize(part, self.size_wh, interpolation=cv2.INTER_AREA))

    def masks(self, pair: Bool[np.ndarray, "2 rows columns"]) -> Bool[np.ndarray, "2 y x"]:
        """The same for masks."""
        left, top, right, bottom = self.corners
        parts = pair[:, top:bottom, left:right].astype(np.float32)
        return np.stack([cv2.resize(part, self.size_wh) > 0.5 for part in parts])

    def whole(self, shares: Shares, size_wh: tuple[int, int]) -> PairMask:
        """Masks in the pictures: where each person is the most probable class."""
        left, top, right, bottom = self.corners
        smooth = cv2.GaussianBlur(shares, (0, 0), SMOOTHING_PX)
        owner = cv2.resize(smooth, (right - left, bottom - top)).argmax(axis=-1)
        masks = np.zeros((NOBODY, size_wh[1], size_wh[0]), dtype=bool)
        masks[:, top:bottom, left:right] = owner == np.arange(NOBODY)[:, None, None]
        return masks
