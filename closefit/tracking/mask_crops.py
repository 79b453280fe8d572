"""One person's mask in compressed form, and the overlap of two masks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from closefit.mask_stack import deflate, inflate, split
from closefit.records import DetectedPeople


@dataclass(frozen=True, eq=False)
class MaskCrop:
    """One person's mask, cut to its bounding box and deflated.

    Attributes:
        corners: Left, top, right, bottom of the box, in whole pixels.
        deflated: Pixels of the box; no bytes where the mask is empty.
    """

    corners: tuple[int, int, int, int]
    deflated: bytes

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "height width"]) -> "MaskCrop":
        """Cut and deflate a mask."""
        (top, bottom), (left, right) = (_extent(np.any(mask, axis=axis)) for axis in (1, 0))
        return cls((left, top, right, bottom), deflate(mask[top:bottom, left:right]))

    @classmethod
    def empty(cls) -> "MaskCrop":
        """Return a mask without pixels."""
        return cls((0, 0, 0, 0), b"")

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is set."""
        return not self.deflated

    def covers(self, x: float, y: float) -> bool:
        """Whether the point lies on the mask."""
        left, top, right, bottom = self.corners
        row, column = int(np.floor(y)), int(np.floor(x))
        inside = top <= row < bottom and left <= column < right
        return inside and bool(self.pixels[row - top, column - left])

    @property
    def pixels(self) -> Bool[np.ndarray, "rows columns"]:
        """The mask inside its box."""
        left, top, right, bottom = self.corners
        return inflate(self.deflated, (bottom - top, right - left))

    def add_to(self, mask: Bool[np.ndarray, "height width"]) -> None:
        """Set this mask's pixels in a mask of the whole image."""
        left, top, right, bottom = self.corners
        mask[top:bottom, left:right] |= self.pixels

    def iou(self, other: "MaskCrop", shift_px: Float[np.ndarray, "2"]) -> float:
        """Pixels shared with another mask, as a share of those in either; NaN if one has none.

        Args:
            other: Mask in the same picture or in a later one.
            shift_px: How far (x, y) this mask is moved first, in whole pixels after rounding.
        """
        if self.is_empty or other.is_empty:
            return float("nan")
        boxes = np.array([self.corners, other.corners])
        boxes[0] += np.tile(np.rint(shift_px).astype(np.int64), 2)
        if (boxes[:, :2].max(axis=0) >= boxes[:, 2:].min(axis=0)).any():
            return 0.0
        corner = boxes[:, :2].min(axis=0)
        boxes -= np.tile(corner, 2)
        width, height = boxes[:, 2:].max(axis=0)
        both = np.zeros((2, height, width), dtype=bool)
        for picture, (x0, y0, x1, y1), mask in zip(both, boxes, (self, other), strict=True):
            picture[y0:y1, x0:x1] = mask.pixels
        return float(both.all(axis=0).sum() / both.any(axis=0).sum())


def mask_crops(people: DetectedPeople) -> list[MaskCrop]:
    """Return the mask of each detection."""
    masks = split(people.mask_bytes, people.mask_ends)
    return [
        MaskCrop((left, top, right, bottom), mask)
        for (left, top, right, bottom), mask in zip(
            people.mask_corners.tolist(), masks, strict=True
        )
    ]


def _extent(used: Bool[np.ndarray, " side"]) -> tuple[int, int]:
    """From the first to the last position that is used; 0 and 0 if none is."""
    if not used.any():
        return 0, 0
    return int(used.argmax()), len(used) - int(used[::-1].argmax())
