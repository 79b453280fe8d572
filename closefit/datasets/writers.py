"""The layouts of a dataset: a file per clip, WebDataset shards, or shards for `train-prior`."""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image as Pictures

from closefit.boundary.files import to_json
from closefit.datasets.arrays import ClipArrays
from closefit.errors import InputError
from closefit.geometry.rotations import matrix_from_6d
from closefit.learning.motions.shards import write_shards
from closefit.records import PairMotion
from closefit.video import Image

Layout = Literal["npz", "wds", "prior"]

Facts = dict[str, Any]
"""A line of `clips.jsonl`."""

JPEG_QUALITY = 95
SHARD_BYTES = 1_000_000_000
"""A shard ends with the first clip that makes it larger."""

LEAST_FRAMES = 16
"""Shorter stretches teach the prior nothing: its windows are as long."""


@dataclass(frozen=True)
class Entry:
    """A clip on its way into a dataset; pictures are taken one at a time.

    Attributes:
        facts: Its line of `clips.jsonl`; a writer adds where the clip is.
        arrays: Its arrays.
        pictures: The kept frames, RGB; None in a dataset without pixels.
    """

    facts: Facts
    arrays: ClipArrays
    pictures: Iterable[Image] | None


class Writer(Protocol):
    """Puts clips into a folder, one at a time."""

    def add(self, entry: Entry) -> None:
        """Write a clip, and add to its facts where it is."""

    def close(self) -> None:
        """End the last file."""


class FolderWriter:
    """`clips/NAME.npz`, and `frames/NAME/000012.jpg` for each frame."""

    def __init__(self, root: Path) -> None:
        """Write below this folder."""
        self._root = root
        (root / "clips").mkdir()

    def add(self, entry: Entry) -> None:
        """Write a clip."""
        facts, name = entry.facts, entry.facts["id"]
        facts["file"] = f"clips/{name}.npz"
        facts["pictures"] = None
        (self._root / facts["file"]).write_bytes(npz_bytes(entry.arrays))
        if entry.pictures is None:
            return
        facts["pictures"] = f"frames/{name}"
        folder = self._root / facts["pictures"]
        folder.mkdir(parents=True)
        for number, content in _numbered(entry):
            (folder / f"{number:06}.jpg").write_bytes(content)

    def close(self) -> None:
        """Nothing is open."""


class ShardWriter:
    """WebDataset: `SPLIT-000000.tar`; a sample is a clip, `KEY.npz`, `KEY.json`, `KEY.000012.jpg`.

    Keys hold no dot, where WebDataset ends them; the clip's name is in `KEY.json`.
    """

    def __init__(self, root: Path, shard_bytes: int = SHARD_BYTES) -> None:
        """Write into this folder."""
        self._root, self._most = root, shard_bytes
        self._open: dict[str, tarfile.TarFile] = {}
        self._numbers: dict[str, int] = {}
        self._clips = 0

    def add(self, entry: Entry) -> None:
        """Write a clip into the last shard of its split."""
        facts, split = entry.facts, entry.facts["split"]
        key = f"{self._clips:06}"
        self._clips += 1
        shard = self._shard(split)
        facts["file"], facts["key"] = Path(str(shard.name)).name, key
        facts["pictures"] = None if entry.pictures is None else facts["file"]
        _put(shard, f"{key}.json", to_json(facts, sort_keys=True).encode())
        _put(shard, f"{key}.npz", npz_bytes(entry.arrays))
        if entry.pictures is not None:
            for number, content in _numbered(entry):
                _put(shard, f"{key}.{number:06}.jpg", content)
        if shard.offset > self._most:
            self._open.pop(split).close()

    def close(self) -> None:
        """End the last shard of each split."""
        for shard in self._open.values():
            shard.close()
        self._open.clear()

    def _shard(self, split: str) -> tarfile.TarFile:
        if split not in self._open:
            number = self._numbers[split] = self._numbers.get(split, -1) + 1
            path = self._root / f"{split}-{number:06}.tar"
            self._open[split] = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        return self._open[split]


def write_prior_shards(folder: Path, entries: Iterable[Entry]) -> list[Facts]:
    """Write the motion of one split as shards for `closefit train-prior`; return the clips' facts.

    Stretches in which both people's poses rest on observations: elsewhere the prior would learn
    its own guesses. Clips without such a stretch have `motions` 0; without any, nothing is written.
    """
    facts: list[Facts] = []

    def motions() -> Iterator[PairMotion]:
        for entry in entries:
            entry.facts.update(file=folder.name, pictures=None, motions=0)
            facts.append(entry.facts)
            for motion in observed_motions(entry):
                entry.facts["motions"] += 1
                yield motion

    found = motions()
    first = next(found, None)
    if first is not None:
        write_shards(folder, chain([first], found))
    return facts


def observed_motions(entry: Entry) -> Iterator[PairMotion]:
    """Yield the motion of a clip in the world (y up, floor at 0), a piece per observed stretch."""
    import torch

    from closefit.exporters.scene import scene_from_camera

    arrays, frames = entry.arrays, entry.arrays.frame
    move = scene_from_camera(arrays.floor)
    rotations = matrix_from_6d(torch.from_numpy(arrays.rotations_6d.astype(np.float64))).numpy()
    rotations[:, :, 0] = move[:3, :3] @ rotations[:, :, 0]
    pelvis = arrays.joints[:, :, 0].astype(np.float64) @ move[:3, :3].T + move[:3, 3]
    observed = np.concatenate([[False], arrays.valid.all(axis=1), [False]])
    edges = np.flatnonzero(observed[1:] != observed[:-1]).reshape(-1, 2)
    for start, stop in edges.tolist():
        if stop - start >= LEAST_FRAMES:
            yield PairMotion(
                rotations=rotations[start:stop].astype(np.float32),
                pelvis_m=pelvis[start:stop].astype(np.float32),
                betas=arrays.betas.astype(np.float32),
                fps=np.array(float(arrays.fps)),
                body_name=arrays.body,
                name=np.array(f"{entry.facts['id']}:{frames[start]}-{frames[stop - 1]}"),
            )


def npz_bytes(arrays: ClipArrays) -> bytes:
    """Return an .npz, the same bytes for the same arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays.as_dict())
    return buffer.getvalue()


def _numbered(entry: Entry) -> Iterator[tuple[int, bytes]]:
    """Each kept frame's number in the clip, and its picture as JPEG.

    Raises:
        InputError: There are fewer pictures than frames.
    """
    numbers = iter(entry.arrays.frame.tolist())
    for picture, number in zip(entry.pictures or (), numbers, strict=False):
        buffer = io.BytesIO()
        Pictures.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
        yield number, buffer.getvalue()
    if next(numbers, None) is not None:
        raise InputError(
            "its video has fewer frames than its result",
            hint="put the whole video back, or export with --no-pixels",
        )


def _put(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without a time and an owner: the same clips make the same shard."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    shard.addfile(entry, io.BytesIO(content))


def write_lines(path: Path, lines: Iterable[Facts]) -> None:
    """Write `clips.jsonl`."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(json.loads(to_json(line)), sort_keys=True, ensure_ascii=True))
            file.write("\n")
