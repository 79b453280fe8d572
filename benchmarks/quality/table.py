"""The features and errors of all finished runs, as one table."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from benchmarks.quality.truths import severity
from closefit.body.model import Body
from closefit.exporters import contacts
from closefit.exporters.contacts import Contacts
from closefit.models import weights
from closefit.quality import silhouettes
from closefit.quality.features import Result, frame_features
from closefit.quality.measuring import measure, result_of
from closefit.quality.silhouettes import Silhouettes
from closefit.quality.windows import of_clip
from closefit.records import OptimizedMotion, Track
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from closefit.tracking.steadying import camera_path

CHEAP_SETTINGS = ("fast", "quick")
"""Settings with a first fit so short that errors are larger than those of whole runs."""


@dataclass(frozen=True, eq=False)
class Table:
    """One row for each run.

    Attributes:
        records: What was recorded of each.
        features: Of the whole pieces.
        severity: How bad each is; it is to be kept below 1.
        frames: Features of each run's frames.
        fps: Frame rate of each.
    """

    records: list[dict[str, Any]]
    features: Float[np.ndarray, "run feature"]
    severity: Float[np.ndarray, " run"]
    frames: list[Float[np.ndarray, "frame feature"]]
    fps: list[float]

    @property
    def kept(self) -> Bool[np.ndarray, " run"]:
        """Whether each is to be kept."""
        return np.asarray(self.severity < 1.0)

    @property
    def cheap(self) -> Bool[np.ndarray, " run"]:
        """Whether each was run with cheap settings."""
        return np.isin(self.column("settings"), CHEAP_SETTINGS)

    def column(self, name: str) -> np.ndarray:
        """Return an entry of each run's `spec`, or of the record itself."""
        return np.array([record["spec"].get(name, record.get(name)) for record in self.records])


def joined(first: Table, second: Table) -> Table:
    """Return the rows of both."""
    return Table(
        [*first.records, *second.records],
        np.concatenate([first.features, second.features]),
        np.concatenate([first.severity, second.severity]),
        [*first.frames, *second.frames],
        [*first.fps, *second.fps],
    )


def read_table(out: Path) -> tuple[Table, list[dict[str, Any]]]:
    """Return the finished runs of a folder, and the records of those that ended with an error."""
    body = Body.load(weights.locate("closefit_body"))
    records, failed, frames, fps = [], [], [], []
    for path in sorted(out.glob("runs/*/run.json")):
        record = json.loads(path.read_text())
        if "error" in record:
            failed.append(record)
            continue
        of_frames, rate = features_of(path.parent, body)
        records.append(record)
        frames.append(of_frames)
        fps.append(rate)
        if len(records) % 20 == 0:
            print(f"{len(records)} runs read", file=sys.stderr, flush=True)
    table = Table(
        records,
        np.stack([of_clip(values, rate) for values, rate in zip(frames, fps, strict=True)]),
        np.array([severity(record["errors"]) for record in records]),
        frames,
        fps,
    )
    return table, failed


def features_of(folder: Path, body: Body) -> tuple[Float[np.ndarray, "frame feature"], float]:
    """Features of a run's frames."""
    result = measured(folder, body)
    with torch.no_grad():
        return frame_features(result, body), float(result.track.fps)


def measured(folder: Path, body: Body) -> Result:
    """Measure a run's result; contacts and silhouettes, which take long, are kept in its folder.

    They are made again when the code that makes them has changed.
    """
    workspace = Workspace(folder)
    track = artifacts.read(workspace.artifact("track"), Track)
    motion = artifacts.read(workspace.artifact("optimize"), OptimizedMotion)
    camera = camera_path(track, motion.K)
    kept, code = folder / "measured.npz", _code()
    if kept.is_file():
        with np.load(kept) as arrays:
            if str(arrays["code"]) == code:
                known = {kind: _part(arrays, kind) for kind in (Contacts, Silhouettes)}
                return result_of(body, track, motion, camera, known[Contacts], known[Silhouettes])
    with torch.no_grad():
        result = measure(body, track, motion, camera, lambda *_: None)
    parts = vars(result.contacts) | vars(result.silhouettes)
    np.savez_compressed(kept, code=np.array(code), **parts)
    return result


def _part(arrays: Any, kind: type) -> Any:
    return kind(**{name: arrays[name] for name in kind.__annotations__})


def _code() -> str:
    """Hash of the modules that contacts and silhouettes come from."""
    modules = (silhouettes, contacts)
    texts = [Path(str(module.__file__)).read_bytes() for module in modules]
    return hashlib.sha256(b"".join(texts)).hexdigest()
