"""Whether arrays can be what they stand for; records are checked when they are read."""

from typing import Any

import numpy as np

MAX_SKEW = 1e-3
"""A rotation times its transpose may differ this much from the identity."""


def require(fits: Any, problem: str) -> None:
    """Raise `ValueError` with the problem unless something holds."""
    if not fits:
        raise ValueError(problem)


def require_finite(record: object, *names: str) -> None:
    """Raise `ValueError` where one of these arrays of a record has NaN or infinity."""
    for name in names:
        finite = np.isfinite(getattr(record, name)).all()
        require(finite, f"`{name}` has a value that is not a number")


def require_rotations(rotations: np.ndarray) -> None:
    """Raise `ValueError` unless an array (..., 3, 3) holds rotation matrices."""
    turned = rotations.astype(np.float64)
    skew = np.abs(turned @ turned.swapaxes(-1, -2) - np.eye(3)).max(initial=0.0)
    require(
        skew < MAX_SKEW and (np.linalg.det(turned) > 0).all(),
        "`rotations` holds matrices that are not rotations",
    )
