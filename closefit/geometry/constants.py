"""Numbers of the code as tensors, copied to a device once.

A tensor made from Python numbers on a GPU is a copy that the host waits for; steps of an
optimisation must not make any.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor


def constant(values: tuple[Any, ...], like: Tensor) -> Tensor:
    """Return `values` with the type and device of `like`; do not change the tensor in place."""
    return _kept(values, like.dtype, like.device)


def indices(values: tuple[int, ...], device: torch.device) -> Tensor:
    """Return `values` for indexing on `device`; do not change the tensor in place."""
    return _kept(values, torch.int64, device)


@cache
def _kept(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # autograd may not keep tensors made in inference mode
        return torch.tensor(values, dtype=dtype, device=device)
