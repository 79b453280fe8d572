"""The pinhole camera: OpenCV axes, metres, pixel centres at +0.5."""

import math

import numpy as np
from jaxtyping import Float
from torch import Tensor

DEFAULT_FOV_DEG = 55.0
"""Diagonal field of view that the paper assumes for every video (section 3.2)."""

MIN_DEPTH_M = 0.1
"""Projection clamps depth here so that points behind the camera stay finite."""


def focal_from_fov(width: int, height: int, fov_deg: float = DEFAULT_FOV_DEG) -> float:
    """Focal length in pixels of a camera with this diagonal field of view."""
    return math.hypot(width, height) / (2.0 * math.tan(math.radians(fov_deg) / 2.0))


def intrinsics(width: int, height: int, focal_px: float) -> Float[np.ndarray, "3 3"]:
    """Intrinsics with square pixels and the principal point at the image centre."""
    return np.array(
        [[focal_px, 0.0, width / 2.0], [0.0, focal_px, height / 2.0], [0.0, 0.0, 1.0]],
        dtype=np.float64,
    )


def project(
    points: Float[Tensor, "*batch 3"], K: Float[Tensor, "*camera 3 3"]
) -> Float[Tensor, "*batch 2"]:
    """Project camera-space points to pixels.

    Args:
        points: Points in metres.
        K: Intrinsics without skew; the leading axes broadcast against those of `points`.
    """
    depth = points[..., 2:].clamp_min(MIN_DEPTH_M)
    # Slices: a list of indices would be copied to the device at every call.
    focal = K.diagonal(dim1=-2, dim2=-1)[..., :2]
    centre = K[..., :2, 2]
    return points[..., :2] / depth * focal + centre


def crop_intrinsics(
    K: Float[Tensor, "*camera 3 3"],
    left_px: float,
    top_px: float,
    x_scale: float,
    y_scale: float,
) -> Float[Tensor, "*camera 3 3"]:
    """Intrinsics after cutting away `left_px`, `top_px` and then scaling both axes."""
    cropped = K.clone()
    cropped[..., 0, 2] -= left_px
    cropped[..., 1, 2] -= top_px
    cropped[..., 0, :] *= x_scale
    cropped[..., 1, :] *= y_scale
    return cropped
