"""Pictures that hold masks: one number per pixel, 0 where there is nobody."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from closefit.imports.detections.refusals import refuse

PLAIN_MODES = {"LA": "L", "PA": "P", "RGBA": "RGB", "CMYK": "RGB"}
"""Transparency says nothing; colours are compared as red, green, blue."""


def read_labels(path: Path) -> Int[np.ndarray, "height width"]:
    """Return the value of each pixel: a grey value, an index into the palette, or a colour.

    Raises:
        ObservationsError: The file is no picture, or is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                plain = PLAIN_MODES.get(picture.mode)
                values = np.array(picture if plain is None else picture.convert(plain), np.int64)
    except Image.DecompressionBombWarning:
        refuse(path, "is far larger than any video")
    except (OSError, SyntaxError, ValueError, ImportError, Image.DecompressionBombError):
        # ImportError: once ultralytics is loaded, it answers for what Pillow does not know with a
        # search for a package of its own.
        refuse(path, "is not a picture that can be read", "write the masks again, as PNG")
    if values.ndim == 3:
        red, green, blue = np.moveaxis(values[..., :3], -1, 0)
        grey = (red == green) & (green == blue)
        values = np.where(grey, red, 0) if grey.all() else (red << 16) + (green << 8) + blue
    return values


def resized(
    mask: Bool[np.ndarray, "height width"], size_wh: tuple[int, int]
) -> Bool[np.ndarray, "new_height new_width"]:
    """Take, for each pixel of the new size, the one at the same place."""
    height, width = mask.shape
    if (width, height) == size_wh:
        return mask
    rows = ((np.arange(size_wh[1]) + 0.5) * height / size_wh[1]).astype(np.int64)
    columns = ((np.arange(size_wh[0]) + 0.5) * width / size_wh[0]).astype(np.int64)
    new: Bool[np.ndarray, "new_height new_width"] = mask[rows[:, None], columns[None, :]]
    return new
