"""Fits the turns and zooms of a camera to points of the background that were found again.

Each frame is compared with one key frame. A point of a key frame becomes a ray of the reference
camera, and each frame's turn is fitted to rays: errors add up over key frames, not over frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from closefit.config import DEFAULT_FOV_DEG
from closefit.geometry.camera import focal_from_fov, intrinsics
from closefit.geometry.camera_path import CameraPath

STEPS = 8
FIRST_TOLERANCE = 256.0
"""The first step takes errors for usual that are so many times as large."""

SMALL_STEP = 1e-6
NOISE_SHARE, LEAST_NOISE_PX = 1e-3, 0.25
"""Usual error of a point that was found again, over the picture's height, and in pixels at least;
larger ones count less (Cauchy)."""

NEAR_NOISE = 4.0
"""A point fits if it is within so many of these."""

LEAST_POINTS = 8
MAX_CORNER_NOISES = 1.5
"""A turn is known where its error moves no corner of the picture by more."""

WIDEST_STEP, REFINEMENTS = 1.6, 4
"""The search for the focal length starts with this factor, whose root is taken in each round."""

BETTER = 0.97
"""A focal length other than the usual one has to fit better by this factor."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Points of a frame that were found in a key frame, in pixels of the working size.

    Attributes:
        key: Number of the key frame.
        there: Where they are in the key frame.
        here: Where they are in this frame.
        agree: Points that move together.
    """

    key: int
    there: Float[np.ndarray, "point 2"]
    here: Float[np.ndarray, "point 2"]
    agree: Bool[np.ndarray, " point"]


@dataclass(frozen=True, eq=False)
class TurningFit:
    """What was found.

    Attributes:
        path: Direction and lens of the camera, in pixels of the working size; frames that are not
            `known` have that of the last known frame before.
        known: Frames whose turn is well determined.
        fitting: Share of the found points that the turn explains; NaN where there are none.
        error_px: Mean distance of these points from where they should be.
        cost: Mean robust cost of a point.
    """

    path: CameraPath
    known: Bool[np.ndarray, " frame"]
    fitting: Float[np.ndarray, " frame"]
    error_px: Float[np.ndarray, " frame"]
    cost: float


def fit_usual_view(
    matches: Sequence[Matches | None], size_wh: tuple[int, int], zooms: bool
) -> TurningFit:
    """Fit all frames with a usual field of view."""
    return fit_turns(matches, size_wh, focal_from_fov(*size_wh, DEFAULT_FOV_DEG), zooms)


def fit_best_view(
    matches: Sequence[Matches | None], size_wh: tuple[int, int], zooms: bool, usual: TurningFit
) -> TurningFit:
    """Fit all frames with other focal lengths too; `usual` is best unless another is clearly."""
    best, best_px, step = usual, float(usual.path.K[0, 0, 0]), WIDEST_STEP
    for _ in range(REFINEMENTS):
        for focal_px in (best_px / step, best_px * step):
            fit = fit_turns(matches, size_wh, focal_px, zooms)
            if fit.cost < best.cost:
                best, best_px = fit, focal_px
        step = step**0.5
    return best if best.cost < BETTER * usual.cost else usual


def fit_turns(
    matches: Sequence[Matches | None], size_wh: tuple[int, int], focal_px: float, zooms: bool
) -> TurningFit:
    """Fit every frame's turn, and zoom if `zooms`, with the focal length of the first frame."""
    width, height = size_wh
    noise_px = max(LEAST_NOISE_PX, NOISE_SHARE * height)
    frames = len(matches)
    focals, turns = np.full(frames, focal_px), np.tile(np.eye(3), (frames, 1, 1))
    known, fitting, errors = np.zeros(frames, bool), np.full(frames, np.nan), np.zeros(frames)
    costs: list[float] = []
    middle = np.array([width, height]) / 2.0
    last = 0
    for frame, found in enumerate(matches):
        focals[frame], turns[frame] = focals[last], turns[last]
        if found is None:
            continue
        flat = (found.there - middle) / focals[found.key]
        rays = np.concatenate([flat, np.ones_like(flat[:, :1])], axis=-1) @ turns[found.key]
        here = found.here - middle
        fit = _Turn(turns[frame], focals[frame])
        sure = fit.improve(rays[found.agree], here[found.agree], noise_px, middle, zooms)
        distance = np.linalg.norm(fit.project(rays) - here, axis=-1)
        fits = distance < NEAR_NOISE * noise_px
        fitting[frame] = fits.mean()
        known[frame] = sure < MAX_CORNER_NOISES and fits.sum() >= LEAST_POINTS
        if known[frame]:
            focals[frame], turns[frame], last = fit.focal_px, fit.R, frame
            errors[frame] = distance[fits].mean()
            costs.append(float(np.log1p((distance[found.agree] / noise_px) ** 2).mean()))
    K = np.tile(intrinsics(width, height, focal_px), (frames, 1, 1))
    K[:, (0, 1), (0, 1)] = focals[:, None]
    cost = float(np.mean(costs)) if costs else np.inf
    return TurningFit(CameraPath(K, turns), known, fitting, errors, cost)


@dataclass(eq=False)
class _Turn:
    """Direction and focal length of one frame; pixels are counted from the picture's middle."""

    R: Float[np.ndarray, "3 3"]
    focal_px: float

    def project(self, rays: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 2"]:
        ahead = rays @ self.R.T
        pixels: Float[np.ndarray, "point 2"] = self.focal_px * ahead[:, :2] / ahead[:, 2:]
        return pixels

    def improve(
        self,
        rays: Float[np.ndarray, "point 3"],
        here: Float[np.ndarray, "point 2"],
        noise_px: float,
        corner: Float[np.ndarray, "2"],
        zooms: bool,
    ) -> float:
        """Fit by Gauss-Newton steps with Cauchy weights.

        Returns:
            Expected error at the corner that it moves most, in units of `noise_px`.
        """
        if len(rays) < LEAST_POINTS:
            return np.inf
        for step_number in range(STEPS):
            away = here - self.project(rays)
            # Points of a frame start far from where they should be, all of them; they are those
            # that move together, so that the first steps may trust each.
            tolerance_px = noise_px * max(1.0, FIRST_TOLERANCE / 4.0**step_number)
            weight = 1.0 / (1.0 + (away**2).sum(-1) / tolerance_px**2)
            J = self._jacobian(rays, zooms)
            normal = np.einsum("nik,n,nil->kl", J, weight, J)
            right = np.einsum("nik,n,ni->k", J, weight, away)
            try:
                step = np.linalg.solve(normal, right)
            except np.linalg.LinAlgError:
                return np.inf
            self.R = cv2.Rodrigues(step[:3])[0] @ self.R
            self.focal_px *= float(np.exp(step[3])) if zooms else 1.0
            if tolerance_px == noise_px and np.abs(step).max() < SMALL_STEP:
                break
        corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * corner
        ahead = np.concatenate([corners / self.focal_px, np.ones((4, 1))], axis=-1)
        at_corners = self._jacobian(ahead @ self.R, zooms)
        spread = at_corners @ np.linalg.inv(normal) @ at_corners.swapaxes(-1, -2)
        return float(np.sqrt(np.trace(spread, axis1=-2, axis2=-1).max()))

    def _jacobian(
        self, rays: Float[np.ndarray, "point 3"], zooms: bool
    ) -> Float[np.ndarray, "point 2 parameter"]:
        """Derivatives of pixels by a small turn, and by the logarithm of the focal length."""
        x, y, z = (rays @ self.R.T).T
        u, v = x / z, y / z
        one = np.ones_like(u)
        columns = [(-u * v, -(one + v * v)), (one + u * u, u * v), (-v, u)]
        if zooms:
            columns.append((u, v))
        J: Float[np.ndarray, "point 2 parameter"] = self.focal_px * np.moveaxis(
            np.array(columns), -1, 0
        ).swapaxes(-1, -2)
        return J
