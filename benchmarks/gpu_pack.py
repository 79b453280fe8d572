"""What the machine of the day lacks: wheels and this checkout, in parts, and their installation."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

MAX_PART_MB = 60
"""Largest file that may be carried to the machine."""

PART_MB = 46
"""A part of the wheels and the checkout together stay under 64 MB."""

NEEDED = (
    "backports.strenum", "beartype", "dataclasses-json", "Deprecated", "gsplat", "imageio-ffmpeg",
    "jaxtyping", "lap", "marshmallow", "pygltflib", "roma", "smplx", "trimesh", "typing-inspect",
    "ultralytics", "ultralytics-thop", "wadler-lindig", "warp-lang",
)  # fmt: skip
"""What a machine with PyTorch, transformers, lightning, numba, scipy, pytest and typer lacks."""

PLATFORMS = tuple(f"manylinux{n}_x86_64" for n in ("1", "2014", "_2_17", "_2_27", "_2_28", "_2_34"))
CONTENTS = "contents.json"


def pack(folder: Path, part_mb: int = PART_MB, python: str = "3.12") -> list[Path]:
    """Download the wheels for `python`, cut them into files of at most `part_mb`, and list them.

    Raises:
        ValueError: Such a part would be too large to carry.
    """
    if part_mb > MAX_PART_MB:
        raise ValueError(f"a part of {part_mb} MB is larger than {MAX_PART_MB} MB")
    folder.mkdir(parents=True, exist_ok=True)
    wheels = folder / "wheels"
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
         "--python-version", python, "--implementation", "cp", *platforms,
         "--dest", str(wheels), *NEEDED],
        check=True,
    )  # fmt: skip
    with tarfile.open(folder / "sources.tar.gz", "w:gz") as archive:
        for name in _sources():
            archive.add(ROOT / name, f"closefit/{name}")
    whole = folder / "wheels.tar"
    with tarfile.open(whole, "w") as archive:
        for wheel in sorted(wheels.glob("*.whl")):
            archive.add(wheel, wheel.name)
    parts = [*split(whole, part_mb * 10**6), folder / "sources.tar.gz"]
    whole.unlink()
    sums = {part.name: _sha256(part) for part in parts}
    (folder / CONTENTS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    return [*parts, folder / CONTENTS]


def _sources() -> list[str]:
    """Files of this checkout that git tracks: packages, weights, tests, benchmarks."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def split(file: Path, size: int) -> list[Path]:
    """Cut a file into numbered parts of at most `size` bytes."""
    parts = []
    with file.open("rb") as source:
        while block := source.read(size):
            parts.append(file.with_suffix(f".{len(parts):03d}"))
            parts[-1].write_bytes(block)
    return parts


def store(folder: Path, part: Path) -> None:
    """Keep one part on the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / part.name).write_bytes(part.read_bytes())


def missing(folder: Path) -> list[str]:
    """Parts that are not in `folder`, or are not what was packed."""
    contents: dict[str, str] = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
    return [
        name
        for name, expected in contents.items()
        # The checkout is there in another way where this program runs from one.
        if name.startswith("wheels")
        and not ((folder / name).is_file() and _sha256(folder / name) == expected)
    ]


def join(folder: Path) -> Path:
    """Put the parts in `folder` together again and unpack them; returns the folder of wheels."""
    whole = folder / "wheels.tar"
    with whole.open("wb") as target:
        for part in sorted(folder.glob("wheels.[0-9][0-9][0-9]")):
            target.write(part.read_bytes())
    with tarfile.open(whole) as archive:
        archive.extractall(folder / "wheels", filter="data")
    return folder / "wheels"


def install(folder: Path, work: Path, names: Sequence[str] = NEEDED) -> dict[str, Any]:
    """Install the wheels beside what the machine has; later processes find them.

    Without a network, by name from the folder of wheels: pip refuses one that does not fit this
    Python.
    """
    lost = missing(folder)
    if lost:
        sys.exit(
            f"parts are missing or damaged in `{folder}`: {', '.join(lost)}; --store them again"
        )
    site, started = work / "site", time.time()
    wheels = join(folder)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--find-links",
         str(wheels), "--no-deps", "--no-compile", "--target", str(site), *names],
        check=True,
    )  # fmt: skip
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
    sys.path[:0] = [str(site), str(ROOT)]
    return {"wheels": len([*wheels.glob("*.whl")]), "part_s": time.time() - started}
