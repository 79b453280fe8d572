"""State of an unfinished computation: tensors behind the SHA-256 of their bytes."""

import hashlib
import io
import logging
import os
import pickle
from pathlib import Path
from typing import Any

from closefit.boundary.files import UNREADABLE, read_bytes
from closefit.boundary.refusals import RefusedError, refuse
from closefit.errors import ArtifactDamagedError
from closefit.storage.artifacts import atomic_write

DIGEST_BYTES = 32
BAD_STATE = (*UNREADABLE, pickle.UnpicklingError, AssertionError)
"""What libraries raise for bytes, or a state made from them, that does not fit."""

logger = logging.getLogger(__name__)


def save(path: Path, key: Any, state: Any) -> None:
    """Write a state of tensors, numbers and containers, all or nothing.

    Args:
        path: The file.
        key: What the state belongs to; another key makes it void.
        state: What `load` returns.

    Raises:
        DiskFullError: The disk is full; the previous content of `path` is untouched.
    """
    import torch

    buffer = io.BytesIO()  # torch hides why it cannot write to a file
    torch.save({"key": key, "state": state}, buffer)
    content = buffer.getbuffer()
    with atomic_write(path) as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)


def load(path: Path, device: str = "cpu") -> tuple[Any, Any]:
    """Return the key and the state of a checkpoint; nothing in it is executed.

    Raises:
        ArtifactDamagedError: It is cut short, has changed since it was written, or is none.
    """
    import torch

    try:
        content = read_bytes(path)
        if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
            refuse("its bytes are not those that were written")
        stored = io.BytesIO(content[DIGEST_BYTES:])
        saved = torch.load(stored, map_location=device, weights_only=True)
        return saved["key"], saved["state"]
    except RefusedError as refused:
        reason = refused.problem
    except BAD_STATE as error:
        reason = f"it is not a checkpoint ({type(error).__name__})"
    raise ArtifactDamagedError(f"`{path}` cannot be used: {reason}", hint=f"delete `{path}`")


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint, so that nothing reads it again."""
    place = path.with_name(f"{path.name}.damaged")
    os.replace(path, place)
    return place
