"""Where to compute, how many threads, and from which seed."""

import logging
import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from closefit.errors import DeviceError
from closefit.system import num_threads

logger = logging.getLogger(__name__)

Device = Literal["cpu", "cuda"]

GPU_FAILURES = (
    "CUDA error", "CUDA driver", "CUDA unknown error", "cuDNN error", "NVML_SUCCESS",
    "Found no NVIDIA driver", "No CUDA GPUs",
)  # fmt: skip
"""How PyTorch's messages begin when the driver or the device fails."""


def choose(requested: Literal["auto", "cpu", "cuda"]) -> Device:
    """Return the device to use.

    Raises:
        DeviceError: A GPU was requested, and none works.
    """
    if requested == "cpu":
        return "cpu"
    import torch

    obstacle = "PyTorch finds no CUDA device"
    if torch.cuda.is_available():
        with memory_guard("cuda"):
            obstacle = too_old()
        if not obstacle:
            return "cuda"
        if requested == "auto":
            logger.warning("%s; everything runs on the CPU", obstacle)
    if requested == "cuda":
        raise DeviceError(
            f"`--device cuda` was given, but {obstacle}",
            hint="leave out --device to use the CPU; `closefit doctor` shows what is missing",
        )
    return "cpu"


def too_old() -> str:
    """Why PyTorch's kernels do not run on this card, as one clause; empty where they do."""
    import torch

    capability = torch.cuda.get_device_capability()
    names = re.findall(r"sm_(\d+)", " ".join(torch.cuda.get_arch_list()))
    oldest = min(((int(name[:-1]), int(name[-1])) for name in names), default=capability)
    if capability >= oldest:
        return ""
    found, least = (".".join(map(str, pair)) for pair in (capability, oldest))
    return (
        f"the GPU is too old for PyTorch {torch.__version__}: compute capability {found}, "
        f"it needs {least}"
    )


def describe(device: str) -> str:
    """Return the device's name for people."""
    import torch

    if device == "cuda":
        with memory_guard(device):
            return f"cuda ({torch.cuda.get_device_name()})"
    return f"cpu ({torch.get_num_threads()} threads)"


def prepare(seed: int) -> None:
    """Seed every generator and make PyTorch repeat itself bit for bit on this machine.

    The thread count decides the order of sums, so it is fixed to the cores this process may use
    (or to `OMP_NUM_THREADS`).
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - third parties draw from the global generator
    torch.manual_seed(seed)
    torch.set_num_threads(num_threads())
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
            "of the video with --start and --end; end other programs that use the memory",
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
