"""Passes the classes of pixels from frame to frame along the optical flow."""

import cv2
import numpy as np
from jaxtyping import UInt8

from closefit.tracking.pixel_classes import Shares

KEPT = 0.95
"""Share of a pixel's classes that the next frame takes over where the flow is right."""

DIFFERENCE = 18.0
"""Grey levels by which a pixel differs from the one it came from where the flow is wrong."""

Grey = UInt8[np.ndarray, "height width"]


def passed_on(shares: Shares, before: Grey, now: Grey) -> Shares:
    """Move the classes of pixels of one picture to the next one or the one before.

    Args:
        shares: Probabilities in `before`.
        before: The picture that they are of.
        now: The picture to which they are moved.

    Returns:
        Probabilities in `now`: equal ones where the flow between the two pictures is wrong.
    """
    # Dense inverse search; an object of its own each time, since it keeps the last flow.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = search.calc(now, before, np.zeros((*now.shape, 2), np.float32))
    rows, columns = np.indices(now.shape, dtype=np.float32)
    place = columns + flow[..., 0], rows + flow[..., 1]
    moved, was = (
        cv2.remap(picture, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for picture in (shares.astype(np.float32), before.astype(np.float32))
    )
    off = cv2.GaussianBlur(np.abs(was - now), (0, 0), 1.5)
    kept = KEPT * np.exp(-((off / DIFFERENCE) ** 2))[..., None]
    return np.asarray(kept * moved + (1.0 - kept) / shares.shape[-1], np.float32)
