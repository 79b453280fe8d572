"""Loads models from folders laid out as the model hub does, and never from the network."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from transformers.utils import logging

from closefit.errors import WeightsDamagedError

T = TypeVar("T")


def from_snapshot(load: Callable[..., T], folder: Path) -> T:
    """Call a class's `from_pretrained` on a local folder.

    Raises:
        WeightsDamagedError: The folder does not hold that kind of model.
    """
    # Progress is shown by the console, not by the library.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return load(str(folder), local_files_only=True)
    except (
        *(OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError),
        SafetensorError,
    ) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsDamagedError(
            f"the model in `{folder}` cannot be loaded: {reason[0]}",
            hint=f"delete that folder and run `closefit download-weights {folder.name}`",
        ) from error
