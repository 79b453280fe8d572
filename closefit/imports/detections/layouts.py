"""From the keypoint sets of other tools to COCO-17, in which people are followed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from closefit.body.keypoints import COCO17, KEYPOINT_SETS
from closefit.boundary.values import refuse

NUM_KEYPOINTS = len(COCO17.names)

LONGER = {133: "coco17", 136: "halpe26"}
"""Whole-body sets begin with the points of a smaller set; hands and face are left out."""

BY_COUNT = {
    len(known.names): name for name, known in KEYPOINT_SETS.items() if not known.offsets_m
} | LONGER

MIN_NAMED = 8
"""A set is recognised by its names if at least this many of them are COCO's."""


def to_coco17(
    keypoints: Float[np.ndarray, "detection keypoint 3"],
    names: Sequence[str] | None = None,
) -> Float[np.ndarray, "detection 17 3"]:
    """Return the points of COCO-17, zeros where the set has none.

    Args:
        keypoints: x, y and confidence, in the set that `names` or else their number determines.
        names: What the file calls them.

    Raises:
        RefusedError: The set is unknown.
    """
    count = keypoints.shape[1]
    named = [_plain(name) for name in names or ()]
    if len(named) != count or len(set(named) & set(COCO17.names)) < MIN_NAMED:
        if count not in BY_COUNT:
            known = ", ".join(f"{number} ({name})" for number, name in BY_COUNT.items())
            refuse(
                f"it has {count} keypoints per person, but the known layouts have {known}",
                "convert the keypoints to one of these",
            )
        named = list(KEYPOINT_SETS[BY_COUNT[count]].names)
    converted = np.zeros((len(keypoints), NUM_KEYPOINTS, 3))
    for column, name in enumerate(COCO17.names):
        if name in named:
            converted[:, column] = keypoints[:, named.index(name)]
    return converted


def _plain(name: str) -> str:
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")
