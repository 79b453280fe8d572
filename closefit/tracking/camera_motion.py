"""How the camera of a clip moves, from its background.

It stands at one place and may turn and zoom, as one that is held in a hand or pans with the people
does. Whether it stands still is decided for the whole clip.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from closefit.geometry.camera_path import CameraPath, homographies_of, moved
from closefit.storage.run_record import CameraDoubt
from closefit.tracking.background import Grey, find_again
from closefit.tracking.turning_fit import TurningFit, fit_best_view, fit_usual_view

STILL_SHARE = 3e-3
"""A camera stands still if the corners of its pictures move by less, over the picture's height, in
nearly all frames. That is a third of the usual error of a keypoint (1 % of a person's height)."""

NEARLY_ALL = 95.0
ZOOMED = 2.0
"""Turns explain all of the motion unless zooms move the corners by so many times as much."""

FITTING = 0.7
"""A smaller share of points that a turn explains: something else moves, or the camera travels."""

UNKNOWN = 0.1
"""Doubtful: a larger share of frames without enough of the background."""

FAR_SHARE = 0.05
"""The field of view matters to pictures whose corners move farther, over the picture's height."""


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """What a clip's background shows.

    Attributes:
        homographies: From pixels of the reference frame to those of each frame, in pixels of the
            working size; the identity in all frames where the camera stands still.
        moves: The camera does not stand still.
        zooms: Its focal length changes.
        known: Frames that show enough of the background.
        fitting: Share of the background's points that turns explain, median over frames; None
            where nothing is known.
        error_px: Their mean distance from where they should be.
        shift_px: How far the picture's corners move from the reference frame at most.
        turned_deg: How far the camera turns from the reference frame at most, with the focal length
            that fitted best.
        doubt: Why nothing of this is trustworthy; then the camera is taken to stand still.
    """

    homographies: Float[np.ndarray, "frame 3 3"]
    moves: bool
    zooms: bool
    known: Bool[np.ndarray, " frame"]
    fitting: float | None
    error_px: float
    shift_px: float
    turned_deg: float
    doubt: CameraDoubt | None


def camera_motion(
    pictures: Iterable[tuple[Grey, Bool[np.ndarray, "height width"]]], size_wh: tuple[int, int]
) -> CameraMotion:
    """Find how the camera moves.

    Args:
        pictures: Of each frame the picture and where the background is.
        size_wh: Size of the pictures.
    """
    matches = list(find_again(pictures))
    least_px = STILL_SHARE * size_wh[1]
    fit = fit_usual_view(matches, size_wh, zooms=True)
    zooms = _zoom_shift_px(fit, size_wh) > ZOOMED * least_px
    if not zooms:
        fit = fit_usual_view(matches, size_wh, zooms=False)
    path = _filled(fit)
    if _corner_shift_px(homographies_of(path), size_wh).max() > FAR_SHARE * size_wh[1]:
        fit = fit_best_view(matches, size_wh, zooms, fit)
        path = _filled(fit)
    homographies = homographies_of(path, path.middle_frame)
    shift_px = _corner_shift_px(homographies, size_wh)
    fitting = fit.fitting[np.isfinite(fit.fitting)]
    explained = float(np.median(fitting)) if len(fitting) else None
    doubt = _doubt(fit.known, explained)
    moves = doubt is None and bool(np.percentile(shift_px, NEARLY_ALL) > least_px)
    if not moves:
        homographies = np.tile(np.eye(3), (len(matches), 1, 1))
    return CameraMotion(
        homographies=homographies,
        moves=moves,
        zooms=moves and zooms,
        known=fit.known,
        fitting=explained,
        error_px=float(fit.error_px[fit.known].mean()) if fit.known.any() else 0.0,
        shift_px=float(shift_px.max()),
        turned_deg=float(path.as_seen_from(path.middle_frame).turned_deg.max()),
        doubt=doubt,
    )


def _doubt(known: Bool[np.ndarray, " frame"], explained: float | None) -> CameraDoubt | None:
    """Why the camera's motion is not known, where it is not."""
    if (~known).mean() > UNKNOWN or explained is None:
        return "little background"
    return "other motion" if explained < FITTING else None


def _filled(fit: TurningFit) -> CameraPath:
    """The path with unknown frames between their known neighbours in time."""
    if not fit.known.any():
        return CameraPath.still(np.tile(fit.path.K[:1], (len(fit.known), 1, 1)))
    vectors = np.array([cv2.Rodrigues(R)[0][:, 0] for R in fit.path.R])
    frames, known = np.arange(len(vectors)), np.flatnonzero(fit.known)
    between = [np.interp(frames, known, vectors[known, axis]) for axis in range(3)]
    turns = np.array([cv2.Rodrigues(vector)[0] for vector in np.stack(between, axis=-1)])
    focals = np.interp(frames, known, fit.path.K[known, 0, 0])
    K = fit.path.K.copy()
    K[:, (0, 1), (0, 1)] = focals[:, None]
    return replace(fit.path, K=K, R=turns)


def _zoom_shift_px(fit: TurningFit, size_wh: tuple[int, int]) -> float:
    """How far zooming moves the corners of the picture in nearly all frames."""
    if not fit.known.any():
        return 0.0
    focals = fit.path.K[fit.known, 0, 0]
    growth = np.abs(np.log(focals / np.median(focals)))
    return float(np.percentile(growth, NEARLY_ALL) * np.hypot(*size_wh) / 2.0)


def _corner_shift_px(
    homographies: Float[np.ndarray, "frame 3 3"], size_wh: tuple[int, int]
) -> Float[np.ndarray, " frame"]:
    """How far the corner that moves most is from its place in the reference frame."""
    width, height = size_wh
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    there = moved(homographies, np.tile(corners, (len(homographies), 1, 1)))
    shift: Float[np.ndarray, " frame"] = np.linalg.norm(there - corners, axis=-1).max(axis=-1)
    return shift
