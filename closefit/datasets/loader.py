"""Reads a dataset that `closefit dataset export` wrote. It needs numpy only: copy it freely.

Use: `for clip in load("DATASET", "train"): ...`
"""

import json
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Clip:
    """One clip: `facts` is its line of clips.jsonl; arrays are read at their first use."""

    folder: Path
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the clip."""
        return str(self.facts["name"])

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name; docs/dataset.md describes them."""
        with np.load(self.folder / self.facts["file"], allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def mask(self, index: int, person: int) -> np.ndarray:
        """Pixels (height, width) of a person in the frame at `index`; none where not known."""
        ends, number = self.arrays["mask_ends"].ravel(), 2 * index + person
        counts = self.arrays["mask_counts"][ends[number - 1] if number else 0 : ends[number]]
        width, height = self.arrays["mask_size_wh"].tolist()
        if not len(counts):
            return np.zeros((height, width), bool)
        return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T

    def picture(self, index: int) -> Path | None:
        """Path of the frame at `index`; None in a dataset without pixels."""
        pictures: str | None = self.facts["pictures"]
        name = f"{self.arrays['frame'][index]:06}.jpg"
        return None if pictures is None else self.folder / pictures / name


def load(folder: str | PathLike[str], split: str | None = None) -> list[Clip]:
    """List the clips of a dataset (`--format npz`), or those of one split."""
    lines = (Path(folder) / "clips.jsonl").read_text(encoding="utf-8").splitlines()
    clips = [Clip(Path(folder), json.loads(line)) for line in lines]
    if not all(clip.facts["file"].endswith(".npz") for clip in clips):
        raise ValueError(f"{folder} holds shards: `closefit dataset export --format npz`")
    return [clip for clip in clips if split in (None, clip.facts["split"])]
