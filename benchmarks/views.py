"""Calibrated views of one scene: lenses, robust triangulation of keypoints, who is who in each."""

import itertools
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SUBPIXELS = 64.0
"""A Qualisys calibration counts in such parts of a pixel."""
MM_PER_M = 1000.0
FLIP = np.diag([1.0, -1.0, -1.0])
"""Qualisys cameras look along -z with y up, ours along +z with y down."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera: intrinsics (3, 3) in pixels, distortion k1 k2 p1 p2, world to camera in metres."""

    name: str
    K: np.ndarray
    distortion: np.ndarray
    R: np.ndarray
    t: np.ndarray

    @property
    def P(self) -> np.ndarray:
        """Projection (3, 4) from the world to normalised image coordinates."""
        return np.concatenate([self.R, self.t[:, None]], axis=1)

    def undistorted(self, points_px: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) as pixels of the same camera without distortion."""
        distorted = (points_px - self.K[:2, 2]) / np.diag(self.K)[:2]
        ideal = distorted.copy()
        k1, k2, p1, p2 = self.distortion
        for _ in range(8):  # fixed point; the lenses of a lab bend lines by a few pixels only
            x, y = ideal[..., 0], ideal[..., 1]
            square = x * x + y * y
            radial = 1.0 + k1 * square + k2 * square * square
            shift = np.stack(
                [
                    2.0 * p1 * x * y + p2 * (square + 2.0 * x * x),
                    p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y,
                ],
                axis=-1,
            )
            ideal = (distorted - shift) / radial[..., None]
        return ideal * np.diag(self.K)[:2] + self.K[:2, 2]

    def in_camera(self, points_m: np.ndarray) -> np.ndarray:
        """World points (..., 3) in this camera's frame."""
        return points_m @ self.R.T + self.t

    def project(self, points_m: np.ndarray) -> np.ndarray:
        """World points (..., 3) as undistorted pixels (..., 2)."""
        seen = self.in_camera(points_m) @ self.K.T
        return seen[..., :2] / seen[..., 2:]


def read_qualisys(path: Path) -> list[View]:
    """Read the cameras of a Qualisys calibration (`.qca.txt`)."""
    views = []
    for camera in ElementTree.parse(path).getroot().iter("camera"):
        lens, place = camera.find("intrinsic"), camera.find("transform")
        video = camera.find("fov_video")
        if lens is None or place is None or video is None:
            raise SystemExit(f"`{path}` has a camera without intrinsics, place or field of view")

        def inner(name: str, lens: ElementTree.Element = lens) -> float:
            return float(lens.attrib[name])

        def outer(name: str, place: ElementTree.Element = place) -> float:
            return float(place.attrib[name])

        K = np.eye(3)
        K[0, 0], K[1, 1] = inner("focalLengthU") / SUBPIXELS, inner("focalLengthV") / SUBPIXELS
        K[0, 2] = inner("centerPointU") / SUBPIXELS - float(video.attrib["left"])
        K[1, 2] = inner("centerPointV") / SUBPIXELS - float(video.attrib["top"])
        # The file lists the columns of camera to world.
        to_camera = np.array([[outer(f"r{i}{j}") for j in (1, 2, 3)] for i in (1, 2, 3)])
        R = FLIP @ to_camera
        names = ("radialDistortion1", "radialDistortion2")
        names += ("tangentalDistortion1", "tangentalDistortion2")
        position_m = np.array([outer(axis) for axis in "xyz"]) / MM_PER_M
        views.append(
            View(
                camera.attrib["serial"], K, np.array([inner(n) for n in names]), R, -R @ position_m
            )
        )
    return views


@dataclass(frozen=True, eq=False)
class Triangulated:
    """Points (..., 3) in the world, NaN where too few views agree; views used; error in pixels."""

    points_m: np.ndarray
    num_views: np.ndarray
    error_px: np.ndarray


def triangulate(
    views: list[View], points_px: np.ndarray, known: np.ndarray, tolerance_px: float, least: int
) -> Triangulated:
    """Triangulate each point from the most views that agree on it.

    Args:
        views: The cameras.
        points_px: Undistorted pixels (view, point, 2).
        known: Which of them were seen (view, point).
        tolerance_px: In all views that are used the point must be reprojected this well.
        least: Views that must agree; with two, nothing shows whether they are right.

    Returns:
        One result per point.
    """
    count = points_px.shape[1]
    best = np.full((count, 3), np.nan)
    used, error = np.zeros(count, int), np.full(count, np.inf)
    projected_px = np.stack([view.K[:2, 2] for view in views])[:, None]
    focal = np.stack([np.diag(view.K)[:2] for view in views])[:, None]
    normalised = (points_px - projected_px) / focal
    for size in range(len(views), least - 1, -1):
        for chosen in itertools.combinations(range(len(views)), size):
            possible = known[list(chosen)].all(axis=0) & (used <= size)
            if not possible.any():
                continue
            some, pixels = [views[i] for i in chosen], points_px[list(chosen)][:, possible]
            points = _linear([view.P for view in some], normalised[list(chosen)][:, possible])
            worst, mean = _reprojection(some, points, pixels)
            rows = np.flatnonzero(possible)
            better = (worst < tolerance_px) & ((used[rows] < size) | (mean < error[rows]))
            best[rows[better]], used[rows[better]] = points[better], size
            error[rows[better]] = mean[better]
    return Triangulated(best, used, np.where(used > 0, error, np.nan))


def same_people(
    views: list[View], points_px: np.ndarray, known: np.ndarray
) -> tuple[list[tuple[int, int]], float]:
    """Determine which person of each view is which, by how well their keypoints meet in space.

    Args:
        views: The cameras; the first one's order of people is kept.
        points_px: Undistorted pixels (view, frame, person, keypoint, 2).
        known: Which of them were seen.

    Returns:
        Order of the people in each view, and the median reprojection error (pixels) of that choice.
    """
    best: tuple[list[tuple[int, int]], float] = ([], np.inf)
    for flips in itertools.product((False, True), repeat=len(views) - 1):
        orders = [(0, 1), *((1, 0) if flip else (0, 1) for flip in flips)]
        pixels = np.stack([points_px[i][:, list(o)] for i, o in enumerate(orders)])
        seen = np.stack([known[i][:, list(o)] for i, o in enumerate(orders)])
        flat, mask = pixels.reshape(len(views), -1, 2), seen.reshape(len(views), -1)
        chosen = mask.all(axis=0)
        normalised = np.stack(
            [(flat[i] - v.K[:2, 2]) / np.diag(v.K)[:2] for i, v in enumerate(views)]
        )[:, chosen]
        points = _linear([view.P for view in views], normalised)
        _, mean = _reprojection(views, points, flat[:, chosen])
        error = float(np.median(mean)) if len(mean) else np.inf
        if error < best[1]:
            best = (orders, error)
    return best


def _linear(cameras: list[np.ndarray], normalised: np.ndarray) -> np.ndarray:
    """Least squares points (point, 3) from normalised image points (view, point, 2)."""
    rows = [
        point[:, axis, None] * P[2] - P[axis]
        for P, point in zip(cameras, normalised, strict=True)
        for axis in (0, 1)
    ]
    system = np.stack(rows, axis=1)
    _, _, vt = np.linalg.svd(system)
    solution = vt[:, -1]
    points: np.ndarray = solution[:, :3] / solution[:, 3:]
    return points


def _reprojection(
    views: list[View], points_m: np.ndarray, points_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Worst and mean distance (pixels) over the views; infinite behind a camera."""
    errors = []
    for view, pixels in zip(views, points_px, strict=True):
        distance = np.linalg.norm(view.project(points_m) - pixels, axis=-1)
        errors.append(np.where(view.in_camera(points_m)[:, 2] > 0, distance, np.inf))
    return np.max(errors, axis=0), np.mean(errors, axis=0)
