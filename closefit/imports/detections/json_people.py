"""What COCO's, AlphaPose's and OpenPose's JSON have in common: a list of entries, one a person."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from closefit.boundary.values import numbers, refuse, whole_number
from closefit.imports.detections.listed import boxes_from_xywh

Entry = Mapping[str, Any]

FLAGS = (0.0, 1.0, 2.0)
FLAG_CONFIDENCE = (0.0, 0.5, 1.0)
"""COCO's annotations flag a keypoint as unlabelled, hidden or visible."""


def entries_of(value: Any, what: str) -> list[Entry]:
    """Return a list of JSON objects."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        refuse(f"it has no list {what}")
    return value


def identities(entries: Sequence[Entry], key: str) -> Int[np.ndarray, " detection"]:
    """Numbers of the people under `key`; -1 where there is none or it is negative."""
    given = (entry.get(key) for entry in entries)
    lowest = -(2**53)
    values = [-1 if n is None else whole_number(n, key, low=lowest) for n in given]
    return np.array(values, dtype=np.int64).clip(min=-1)


def boxes(entries: Sequence[Entry], key: str) -> Float[np.ndarray, "detection 4"]:
    """Boxes as corners, under `key` as left, top, width, height; NaN where there is none."""
    nowhere = [None] * 4
    xywh = [entry.get(key) or nowhere for entry in entries]
    return boxes_from_xywh(numbers(xywh, key, None, 4, limit=math.inf, unknown=True))


def scores(entries: Sequence[Entry]) -> Float[np.ndarray, " detection"]:
    """Confidence that each entry is a person; NaN where it is not given."""
    return numbers([entry.get("score") for entry in entries], "score", None, unknown=True)


def keypoints(entries: Sequence[Entry], key: str) -> Float[np.ndarray, "detection keypoint 3"]:
    """Keypoints written as x1, y1, c1, x2, ... under `key`; NaN for entries without.

    Raises:
        RefusedError: They are of several lengths, or not three numbers per keypoint.
    """
    lists = [entry.get(key) for entry in entries]
    lengths = {len(points) if isinstance(points, list) else 1 for points in lists if points}
    if not lengths:
        return np.zeros((len(entries), 0, 3))
    if len(lengths) > 1:
        several = " and ".join(str(length) for length in sorted(lengths))
        refuse(f"it has people with {several} values in `{key}`")
    length = lengths.pop()
    if length % 3:
        refuse(f"it has {length} values in `{key}` instead of x, y, confidence per keypoint")
    filled = [points or [None] * length for points in lists]
    flat = numbers(filled, key, None, length, limit=math.inf, unknown=True)
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
