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

from benchmarks.quality.truths import is_kept
from closefit.body.model import Body
from closefit.models import weights
from closefit.quality import features as features_module
from closefit.quality import measuring, silhouettes
from closefit.quality.features import frame_features
from closefit.quality.measuring import measure
from closefit.quality.windows import of_clip
from closefit.records import OptimizedMotion, Track
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from closefit.tracking.steadying import camera_path


@dataclass(frozen=True, eq=False)
class Table:
    """One row for each run.

    Attributes:
        records: What was recorded of each.
        features: Of the whole pieces.
        kept: Whether each is to be kept.
        frames: Features of each run's frames.
        fps: Frame rate of each.
    """

    records: list[dict[str, Any]]
    features: Float[np.ndarray, "run feature"]
    kept: Bool[np.ndarray, " run"]
    frames: list[Float[np.ndarray, "frame feature"]]
    fps: list[float]

    def column(self, name: str) -> np.ndarray:
        """Return an entry of each run's `spec`, or of the record itself."""
        return np.array([record["spec"].get(name, record.get(name)) for record in self.records])


def read_table(out: Path) -> tuple[Table, list[dict[str, Any]]]:
    """Return the finished runs of a folder, and the records of those that ended with an error."""
    body = Body.load(weights.locate("closefit_body"))
    records, failed, frames, fps = [], [], [], []
    for path in sorted(out.glob("runs/*/run.json")):
        record = json.loads(path.read_text())
        if "error" in record:
            failed.append(record)
            continue
        of_frames, rate = _features(path.parent, body)
        records.append(record)
        frames.append(of_frames)
        fps.append(rate)
        if len(records) % 20 == 0:
            print(f"{len(records)} runs read", file=sys.stderr, flush=True)
    table = Table(
        records,
        np.stack([of_clip(values, rate) for values, rate in zip(frames, fps, strict=True)]),
        np.array([is_kept(record["errors"]) for record in records]),
        frames,
        fps,
    )
    return table, failed


def _features(folder: Path, body: Body) -> tuple[Float[np.ndarray, "frame feature"], float]:
    """Features of a run's frames; kept in its folder while the code that makes them is the same."""
    kept, code = folder / "features.npz", _code()
    if kept.is_file():
        with np.load(kept) as arrays:
            if str(arrays["code"]) == code:
                return arrays["features"], float(arrays["fps"])
    workspace = Workspace(folder)
    track = artifacts.read(workspace.artifact("track"), Track)
    motion = artifacts.read(workspace.artifact("optimize"), OptimizedMotion)
    with torch.no_grad():
        result = measure(body, track, motion, camera_path(track, motion.K), lambda *_: None)
        found = frame_features(result, body)
    np.savez(kept, code=np.array(code), features=found, fps=np.array(float(track.fps)))
    return found, float(track.fps)


def _code() -> str:
    """Hash of the modules that the features come from."""
    modules = (features_module, silhouettes, measuring)
    texts = [Path(str(module.__file__)).read_bytes() for module in modules]
    return hashlib.sha256(b"".join(texts)).hexdigest()
