"""Pictures that hold masks: one number per pixel, 0 where there is nobody."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from closefit.boundary.values import refuse, within
from closefit.imports.detections.frame_range import FrameRange

LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
"""One number per pixel; other modes are compared as red, green, blue."""

MAX_LABELS = 16
"""Pictures with more values than this have soft edges instead of labels."""


def read_labels(path: Path, frames: FrameRange) -> Int[np.ndarray, "height width"]:
    """Return the value of each pixel: a grey value, an index into the palette, or a colour.

    Raises:
        RefusedError: The file is no PNG, is damaged, or does not have the shape of the video.
    """
    try:
        with warnings.catch_warnings(), within(path):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as picture:
                frames.check_shape(*picture.size)
                plain = picture if picture.mode in LABEL_MODES else picture.convert("RGB")
                values = np.array(plain, np.int64)
    except Image.DecompressionBombWarning:
        refuse("it is far larger than any video", path=path)
    except (OSError, SyntaxError, ValueError, ImportError, Image.DecompressionBombError):
        # ImportError: once ultralytics is loaded, it looks for a package of its own wherever
        # Pillow does not recognise a file.
        refuse("it is not a picture that can be read", "write the masks again, as PNG", path)
    if values.ndim == 3:
        red, green, blue = np.moveaxis(values, -1, 0)
        is_grey = (red == green).all() and (green == blue).all()
        values = red if is_grey else (red << 16) + (green << 8) + blue
    return values


def threshold(labels: Int[np.ndarray, "height width"]) -> int:
    """Smallest value that belongs to the mask: half of white where edges are soft, else 1."""
    return 128 if len(np.unique(labels)) > MAX_LABELS + 1 else 1


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
