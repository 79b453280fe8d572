"""Finds points of the background again: in every frame those of a key frame, where nobody is.

The first frame with enough points is a key frame. Another one is added where the picture has moved
so far that too few are left; the oldest one that may still show enough is searched first, so that
errors do not add up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from closefit.geometry.camera_path import moved
from closefit.tracking.turning_fit import LEAST_POINTS, Matches

Grey = UInt8[np.ndarray, "height width"]

POINTS = 400
QUALITY = 0.003
"""Corners whose strength is below this share of the strongest one's are not points."""

APART = 0.02
WINDOW_SHARE, LEVELS = 0.045, 3
"""Distance of points, and windows of the search, over the picture's height."""

BACK_SHARE = 2e-3
"""A point that is searched for in the other direction comes back as near as this."""

AGREE_SHARE = 6e-3
"""Points within this distance of one homography move together."""

ENOUGH = 0.5
"""A frame in which a smaller share of a key frame's points is found again becomes a key frame."""

REACH = 0.4
"""Key frames that are farther away, in pictures, are not searched."""

SEARCHED = 3
"""At most so many key frames are searched for in a frame."""

SOME = LEAST_POINTS + 2


SEARCH: Any = {
    "maxLevel": LEVELS,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
    "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
}


class _Frame:
    """A picture and where its background is."""

    def __init__(self, picture: Grey, background: Bool[np.ndarray, "height width"]) -> None:
        self.picture, self.background = picture, background
        self.height, self.width = picture.shape
        side = max(9, round(WINDOW_SHARE * self.height) | 1)
        self.window = side, side

    def points(self) -> Float[np.ndarray, "point 2"]:
        """Corners of the background that can be found again."""
        apart, mask = max(3.0, APART * self.height), self.background.astype(np.uint8)
        found: Any = cv2.goodFeaturesToTrack(self.picture, POINTS, QUALITY, apart, mask=mask)
        return np.zeros((0, 2), np.float32) if found is None else found[:, 0].astype(np.float32)


@dataclass(frozen=True, eq=False)
class _KeyFrame:
    """A frame with points; `homography` maps pixels of the first key frame to its pixels."""

    number: int
    frame: _Frame
    points: Float[np.ndarray, "point 2"]
    homography: Float[np.ndarray, "3 3"]


def find_again(
    pictures: Iterable[tuple[Grey, Bool[np.ndarray, "height width"]]],
) -> Iterator[Matches | None]:
    """Yield what each frame shows of a key frame's points.

    Args:
        pictures: Of each frame the picture and where the background is.
    """
    keys: list[_KeyFrame] = []
    last = np.eye(3)
    for number, (picture, background) in enumerate(pictures):
        frame = _Frame(picture, background)
        if not keys and len(points := frame.points()) >= LEAST_POINTS:
            keys.append(_KeyFrame(number, frame, points, last))
        best: tuple[int, Matches, np.ndarray, _KeyFrame] | None = None
        for key in islice(_near(keys, last, frame), SEARCHED):
            found = _match(key, frame, last)
            count = 0 if found is None else int(found[0].agree.sum())
            if found is not None and (best is None or count > best[0]):
                best = count, *found, key
            if count >= ENOUGH * len(key.points):
                break
        if best is None:
            yield None
            continue
        count, matches, last, key = best
        if SOME <= count < ENOUGH * len(key.points):
            keys.append(_KeyFrame(number, frame, frame.points(), last))
        yield matches


def _near(
    keys: list[_KeyFrame], last: Float[np.ndarray, "3 3"], frame: _Frame
) -> Iterator[_KeyFrame]:
    """The oldest key frame that shows a good part of what the last frame shows, then the newest."""
    size = np.array([frame.width, frame.height], np.float64)
    for key in (*keys[:1], *reversed(keys[1:])):
        middle = moved(last @ np.linalg.inv(key.homography), size[None] / 2.0)[0]
        if key is keys[-1] or (np.abs(middle / size - 0.5) < REACH).all():
            yield key


def _match(
    key: _KeyFrame, frame: _Frame, last: Float[np.ndarray, "3 3"]
) -> tuple[Matches, Float[np.ndarray, "3 3"]] | None:
    """Search for the points of a key frame near where the last frame had them.

    Returns:
        None where too few move together; else the points, and the homography from the first key
        frame.
    """
    if len(key.points) < LEAST_POINTS:
        return None
    guess = moved(last @ np.linalg.inv(key.homography), key.points).astype(np.float32)
    there, options = key.points, SEARCH | {"winSize": frame.window}
    pictures = key.frame.picture, frame.picture
    here, ok, _ = cv2.calcOpticalFlowPyrLK(*pictures, there, guess, **options)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(*pictures[::-1], here, there.copy(), **options)
    kept = (ok[:, 0] > 0) & (ok_back[:, 0] > 0)
    kept &= np.linalg.norm(back - there, axis=1) < max(0.3, BACK_SHARE * frame.height)
    kept &= ((here >= 0) & (here < (frame.width, frame.height))).all(axis=1)
    columns, rows = here[kept].astype(int).T
    kept[kept] = frame.background[rows, columns]
    if kept.sum() < LEAST_POINTS:
        return None
    there, here = there[kept], here[kept]
    step, agree = cv2.findHomography(
        there, here, cv2.RANSAC, max(1.0, AGREE_SHARE * frame.height), maxIters=500
    )
    if step is None or agree.sum() < LEAST_POINTS:
        return None
    # Pixel centres of OpenCV are whole numbers; ours lie at +0.5.
    matches = Matches(key.number, there + 0.5, here + 0.5, agree[:, 0] > 0)
    return matches, step @ key.homography
