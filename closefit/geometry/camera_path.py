"""A camera that turns and zooms at one place, and the still camera that sees the same world.

The still camera is that of one frame, the reference. At one place, what a camera sees depends on
its direction and its lens alone: a homography maps the pixels of the reference frame to those of
any other frame, whatever the distances in the scene are (Hartley and Zisserman, section 8.4).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

MIN_AHEAD = 0.1
"""Points of a picture are this far ahead of the camera at least, over the distance to its plane."""

GRID = np.linspace(0.0, 1.0, 5)


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Direction and lens of the camera in every frame.

    Attributes:
        K: Intrinsics of each frame, in pixels of the video.
        R: From the axes of the still camera to those of each frame's.
    """

    K: Float[np.ndarray, "frame 3 3"]
    R: Float[np.ndarray, "frame 3 3"]

    @classmethod
    def still(cls, K: Float[np.ndarray, "frame 3 3"]) -> "CameraPath":
        """A camera that does not move."""
        return cls(K, np.tile(np.eye(3), (len(K), 1, 1)))

    @classmethod
    def of_homographies(
        cls,
        homographies: Float[np.ndarray, "frame 3 3"],
        K: Float[np.ndarray, "3 3"],
        size_wh: tuple[int, int],
    ) -> "CameraPath":
        """The path that explains homographies best.

        They are explained fully if they were made with the intrinsics `K`, and closely where only
        the focal length is another.

        Args:
            homographies: From pixels of the reference frame to those of each frame.
            K: Intrinsics of the reference frame.
            size_wh: Picture in pixels.
        """
        M = np.linalg.inv(K) @ homographies @ K
        norms = np.linalg.norm(M, axis=-1)
        zoom = np.sqrt(norms[:, 0] * norms[:, 1]) / norms[:, 2]
        lens = np.tile(K, (len(M), 1, 1))
        lens[:, (0, 1), (0, 1)] *= zoom[:, None]
        grid = np.stack(np.meshgrid(GRID, GRID), axis=-1).reshape(-1, 2) * size_wh
        ahead = _rays(np.linalg.inv(K), grid)
        seen = _rays(np.linalg.inv(lens), moved(homographies, np.tile(grid, (len(M), 1, 1))))
        # The rotation between two bundles of rays (Kabsch); it is never near a reflection.
        u, _, v = np.linalg.svd(seen.swapaxes(-1, -2) @ ahead)
        return cls(lens, u @ v)

    def as_seen_from(self, reference: int) -> "CameraPath":
        """The same path, where the still camera is that of a frame."""
        return CameraPath(self.K, self.R @ self.R[reference].T)

    @property
    def middle_frame(self) -> int:
        """The frame from which the farthest direction is nearest: its picture is bent the least."""
        ahead = self.R[:, 2]  # where each camera looks, in axes of the still one
        return int((ahead @ ahead.T).min(axis=1).argmax())

    @property
    def moves(self) -> bool:
        """Whether the camera does."""
        return bool((np.eye(3) != self.R).any())

    @property
    def turned_deg(self) -> Float[np.ndarray, " frame"]:
        """Angle between each frame's camera and the still one."""
        angles: Float[np.ndarray, " frame"] = np.degrees(Rotation.from_matrix(self.R).magnitude())
        return angles


def moved(
    homographies: Float[np.ndarray, "*batch 3 3"], points: Float[np.ndarray, "*batch point 2"]
) -> Float[np.ndarray, "*batch point 2"]:
    """Pixels after homographies; those that are behind the other camera go far away."""
    # With a determinant of 1, whatever its sign was, the third number tells what is ahead.
    scaled = homographies / np.cbrt(np.linalg.det(homographies))[..., None, None]
    mapped = points @ scaled[..., :2].swapaxes(-1, -2) + scaled[..., None, :, 2]
    ahead = np.maximum(mapped[..., 2:], MIN_AHEAD)
    flat: Float[np.ndarray, "*batch point 2"] = mapped[..., :2] / ahead
    return flat


def homographies_of(path: CameraPath, reference: int = 0) -> Float[np.ndarray, "frame 3 3"]:
    """From pixels of a frame to those of each frame, scaled so that the last number is 1."""
    turns = path.as_seen_from(reference).R
    found = path.K @ turns @ np.linalg.inv(path.K[reference])
    scaled: Float[np.ndarray, "frame 3 3"] = found / found[:, 2:, 2:]
    return scaled


def _rays(
    K_inverse: Float[np.ndarray, "*batch 3 3"], points: Float[np.ndarray, "*batch point 2"]
) -> Float[np.ndarray, "*batch point 3"]:
    """Unit directions to pixels."""
    whole = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    rays = whole @ K_inverse.swapaxes(-1, -2)
    unit: Float[np.ndarray, "*batch point 3"] = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return unit
