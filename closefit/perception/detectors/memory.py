"""Batches of a network on a GPU, halved once where they do not fit into its memory."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from closefit.errors import DeviceError

logger = logging.getLogger(__name__)

Found = TypeVar("Found")


class Batches:
    """Applies a network to batches; the first time memory runs out, batches get half as large.

    Attributes:
        size: Largest number of rows that the network gets at once.
    """

    def __init__(self, what: str, size: int) -> None:
        """Start with batches of `size`; `what` names the network and its rows in messages."""
        self.size = size
        self._what = what
        self._may_halve = size > 1

    def apply(self, network: Callable[[Tensor], Found], rows: Tensor) -> list[Found]:
        """Apply `network` to all `rows` (first axis), at most `size` at once.

        Raises:
            DeviceError: Half of a batch does not fit either.
        """
        found = self._try(network, rows)
        if found is None and self._may_halve:
            # After the handler: it keeps the tensors of the failed attempt alive.
            self._may_halve = False
            self.size //= 2
            torch.cuda.empty_cache()
            logger.warning("out of memory: %s from here on, %d at once", self._what, self.size)
            found = self._try(network, rows)
        if found is None:
            raise DeviceError(
                f"the GPU ran out of memory: {self._what}, {self.size} at once",
                hint="end other programs that use the GPU, or take smaller networks "
                "(--set track.sam2=tiny, --perception yolo), or --device cpu",
            )
        return found

    def _try(self, network: Callable[[Tensor], Found], rows: Tensor) -> list[Found] | None:
        """The results, or None if memory runs out."""
        try:
            return [network(part) for part in rows.split(self.size)]
        except torch.OutOfMemoryError:
            return None
