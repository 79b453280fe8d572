"""Whether arrays have the names, kinds and shapes that the fields of a record declare."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

import numpy as np
from jaxtyping import AbstractArray, jaxtyped

from closefit.boundary.refusals import named, refuse


def check_schema(arrays: Mapping[str, np.ndarray], record: type) -> None:
    """Check arrays against the fields of a record; those that may be None may be missing.

    Raises:
        RefusedError: One is missing or too much, or does not fit.
    """
    declared: dict[str, Any] = {f.name: f.type for f in fields(record)}
    needed = {f.name for f in fields(record) if f.default is not None}
    if missing := needed - arrays.keys():
        refuse(f"it lacks {named(sorted(missing))}")
    if extra := arrays.keys() - declared.keys():
        refuse(f"it has unexpected {named(sorted(extra))}")
    with jaxtyped("context"):  # within it, an axis name means one size for all fields
        for name in filter(arrays.__contains__, declared):
            array, kind = arrays[name], _array_type(declared[name])
            if (array.dtype.kind != "U") if kind is None else not isinstance(array, kind):
                found = f"`{name}` is {array.dtype} of shape {array.shape}"
                refuse(f"{found} instead of {_described(kind)}")


def _array_type(annotation: Any) -> type[AbstractArray] | None:
    """What a field must be; None for a plain array, which holds text."""
    kinds = (*get_args(annotation), annotation)
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, AbstractArray)), None)


def _described(kind: type[AbstractArray] | None) -> str:
    if kind is None:
        return "text"
    return f"{kind.__name__.split('[')[0]} `{kind.dim_str}` with the axes of the other fields"
