"""What gsplat's kernels are compiled with: nvcc, a C++ compiler, and PyTorch for the same CUDA."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

TESTED = "gsplat 1.5.3, PyTorch 2.14 for CUDA 13.0, nvcc 13.0, g++ 12.2"
"""Versions that compiled together; docs/gpu.md has the log's essentials."""

DEFAULT_HOME = Path("/usr/local/cuda")
PROGRAM_TIMEOUT_S = 20


@dataclass(frozen=True)
class Toolchain:
    """The compilers of this machine and what PyTorch requires of them.

    Attributes:
        nvcc: Where PyTorch finds it: in CUDA_HOME, then in PATH; None where it is missing.
        nvcc_version: `13.0` for example; empty where nvcc is missing or does not run.
        host: The C++ compiler, or None.
        host_version: `12.2.0` for example; empty where it is unknown.
        built_for: CUDA version of PyTorch; None for PyTorch without CUDA.
    """

    nvcc: Path | None
    nvcc_version: str
    host: str | None
    host_version: str
    built_for: str | None

    @classmethod
    def find(cls) -> "Toolchain":
        """Look at this machine."""
        home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
        found = home and shutil.which("nvcc", path=str(Path(home) / "bin"))
        nvcc = found or shutil.which("nvcc")
        host = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
        release = re.search(r"release (\d+\.\d+)", _output(nvcc, "--version"))
        version = re.search(r"^\d+(\.\d+)*", _output(host, "-dumpfullversion"))
        return cls(
            nvcc=Path(nvcc) if nvcc else None,
            nvcc_version=release.group(1) if release else "",
            host=host,
            host_version=version.group() if version else "",
            built_for=torch.version.cuda,
        )

    def fixes(self) -> list[str]:
        """What has to be installed or set before gsplat can be compiled; empty if nothing."""
        wanted = []
        if self.built_for is None:
            wanted.append("install the CUDA build of PyTorch (pytorch.org names the command)")
        elif not self.nvcc_version:
            wanted.append(f"install the CUDA toolkit {self.built_for} and put its nvcc into PATH")
        elif self.nvcc_version.split(".")[0] != self.built_for.split(".")[0]:
            # PyTorch refuses to compile across major versions; minor ones go together.
            wanted.append(
                f"install the CUDA toolkit {self.built_for}: PyTorch does not compile with nvcc "
                f"{self.nvcc_version}"
            )
        elif self.home is None:
            wanted.append(
                f"set CUDA_HOME to the folder of the CUDA toolkit: `{self.nvcc}` has no "
                "include/cuda_runtime.h beside it"
            )
        if self.host is None:
            wanted.append("install a C++ compiler (g++), or name one in CXX")
        return wanted

    @property
    def home(self) -> Path | None:
        """Folder of the CUDA toolkit, for CUDA_HOME.

        PyTorch takes nvcc's grandparent, which is wrong where nvcc is a wrapper script.
        """
        if self.nvcc is None:
            return None
        places = (self.nvcc.parents[1], self.nvcc.resolve().parents[1], DEFAULT_HOME)
        return next((p for p in places if (p / "include" / "cuda_runtime.h").is_file()), None)


def build_folder() -> Path:
    """Where PyTorch compiles gsplat to: one folder per version of Python and CUDA."""
    from torch.utils.cpp_extension import get_default_build_root

    root = os.environ.get("TORCH_EXTENSIONS_DIR")
    if root:
        return Path(root) / "gsplat_cuda"
    cuda = "cpu" if torch.version.cuda is None else f"cu{torch.version.cuda.replace('.', '')}"
    python = f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
    return Path(get_default_build_root()) / f"{python}_{cuda}" / "gsplat_cuda"


def compiled_library(package: Path) -> Path | None:
    """Find gsplat's kernels: shipped in its package folder, or compiled earlier."""
    return next(iter([*package.glob("csrc*.so"), *build_folder().glob("*.so")]), None)


def _output(program: str | None, option: str) -> str:
    if program is None:
        return ""
    try:
        result = subprocess.run(
            [program, option], capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout
