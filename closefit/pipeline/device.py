"""Where to compute, how many threads, and from which seed."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from closefit.errors import DeviceError

Device = Literal["cpu", "cuda"]

GPU_FAILURES = ("CUDA error", "CUDA driver", "Found no NVIDIA driver", "No CUDA GPUs")
"""How PyTorch's messages begin when the driver or the device fails."""


def choose(requested: Literal["auto", "cpu", "cuda"]) -> Device:
    """Return the device to use.

    Raises:
        DeviceError: A GPU was asked for, and there is none that works.
    """
    if requested == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if requested == "cuda":
        raise DeviceError(
            "`--device cuda` was asked for, but PyTorch finds no CUDA device",
            hint="leave out --device to use the CPU; `closefit doctor` says what is missing",
        )
    return "cpu"


def describe(device: str) -> str:
    """Return the device's name for people."""
    import torch

    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    return f"cpu ({torch.get_num_threads()} threads)"


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(seed: int) -> None:
    """Seed every generator and make PyTorch repeat itself bit for bit on this machine.

    The thread count decides the order of sums, so it is fixed to the cores this process may use
    (or to `OMP_NUM_THREADS`).
    """
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - third parties draw from the global generator
    torch.manual_seed(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", available_cores())))
    # Some CUDA operations have no repeatable form: PyTorch warns of those and goes on.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def memory_guard(device: str) -> Iterator[None]:
    """Turn running out of memory, or a GPU that fails, inside the block into a `DeviceError`."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DeviceError(
            f"`{device}` ran out of memory",
            hint="try --preset draft, a smaller --set optimize.image_size_px=N, or a shorter part "
            "of the video with --start and --end",
        ) from error
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0]
        if device != "cuda" or not first_line.startswith(GPU_FAILURES):
            raise
        raise DeviceError(
            f"the GPU stopped working: `{first_line}`",
            hint="see with `nvidia-smi` whether the driver answers, then run the same command "
            "again: it continues from its last checkpoint; --device cpu needs no GPU",
        ) from error
