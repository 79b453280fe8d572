"""What COCO's, AlphaPose's and OpenPose's JSON have in common: a list of entries, one a person."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from closefit.imports.detections.imported import boxes_from_xywh
from closefit.imports.detections.refusals import numbers, refuse, whole_number

Entry = Mapping[str, Any]

FLAGS = (0.0, 1.0, 2.0)
FLAG_CONFIDENCE = (0.0, 0.5, 1.0)
"""COCO's annotations flag a keypoint as unlabelled, hidden or visible."""


def identities(path: Path, entries: Sequence[Entry], key: str) -> Int[np.ndarray, " detection"]:
    """Numbers of the people under `key`; -1 where there is none or it is negative.

    Raises:
        ObservationsError: One is no whole number.
    """
    values = [
        -1 if entry.get(key) is None else whole_number(path, entry[key], f"a `{key}`")
        for entry in entries
    ]
    return np.array(values, dtype=np.int64).clip(min=-1)


def boxes(path: Path, entries: Sequence[Entry], key: str) -> Float[np.ndarray, "detection 4"]:
    """Boxes as corners, written as left, top, width, height under `key`; NaN where there is none.

    Raises:
        ObservationsError: They are written otherwise.
    """
    nowhere = [np.nan] * 4
    xywh = numbers(path, [entry.get(key) or nowhere for entry in entries], f"`{key}`")
    if xywh.shape != (len(entries), 4):
        refuse(path, f"has a `{key}` that is not [left, top, width, height]")
    return boxes_from_xywh(path, xywh)


def scores(path: Path, entries: Sequence[Entry]) -> Float[np.ndarray, " detection"]:
    """Confidence that each entry is a person; 1 where it is not given.

    Raises:
        ObservationsError: One is no number.
    """
    given = numbers(path, [entry.get("score", 1.0) for entry in entries], "`score`")
    if given.shape != (len(entries),):
        refuse(path, "has a `score` that is not one number")
    return given


def keypoints(
    path: Path, entries: Sequence[Entry], key: str
) -> Float[np.ndarray, "detection keypoint 3"]:
    """Keypoints written as x1, y1, c1, x2, ... under `key`; NaN for entries without.

    Raises:
        ObservationsError: They are of several lengths, or not three numbers a keypoint.
    """
    lists = [entry.get(key) for entry in entries]
    lengths = {len(points) if isinstance(points, list) else 1 for points in lists if points}
    if not lengths:
        return np.zeros((len(entries), 0, 3))
    if len(lengths) > 1:
        several = " and ".join(str(length) for length in sorted(lengths))
        refuse(path, f"has people with {several} values in `{key}`")
    length = lengths.pop()
    if length % 3:
        refuse(path, f"has {length} values in `{key}` instead of x, y, confidence per keypoint")
    flat = numbers(path, [points or [np.nan] * length for points in lists], f"`{key}`")
    if flat.ndim != 2:
        refuse(path, f"has nested lists in `{key}` instead of one list x, y, confidence, x, ...")
    return flat.reshape(len(entries), -1, 3)


def flags_as_confidence(
    points: Float[np.ndarray, "detection keypoint 3"],
) -> Float[np.ndarray, "detection keypoint 3"]:
    """Turn visibility flags into confidences, where these are flags."""
    third = points[..., 2]
    known = third[np.isfinite(third)]
    if not (np.isin(known, FLAGS).all() and (known == FLAGS[-1]).any()):
        return points
    confidence = np.interp(third, FLAGS, FLAG_CONFIDENCE)
    return np.concatenate([points[..., :2], confidence[..., None]], axis=-1)
