"""Score and time the perception backends on clips with exact truth.

    python benchmarks/perception.py CLIPS --weights DIR [--backends lite yolo]

CLIPS is a folder of clips (`NAME/video.mp4`, `truth.npz`). Backends take turns on each clip, so
that other work on the machine disturbs them alike.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from measuring import publish, table

from closefit import video
from closefit.config import Config, TrackConfig
from closefit.events import Event, Step
from closefit.records import Track
from closefit.stages import track as stage
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace

COLUMNS = {
    "median_error": "median keypoint error (% of box height)",
    "p90_error": "90 % of keypoints within (%)",
    "union_iou": "union mask IoU",
    "union_known": "frames with a union mask",
    "person_iou": "person mask IoU",
    "seen": "person-frames found",
    "identity": "identity correct",
    "wall_ms": "ms a frame",
    "cpu_ms": "CPU ms a frame",
}


@dataclass
class Clock:
    """Wall and CPU time at each picture; loading networks happens before the first one."""

    wall_s: list[float]
    cpu_s: list[float]

    def __call__(self, event: Event) -> None:
        """Take the time after each picture of the first pass."""
        if isinstance(event, Step) and event.task == "people":
            self.wall_s.append(time.perf_counter())
            self.cpu_s.append(time.process_time())


def main() -> None:
    """Run every backend on every clip, score, publish."""
    options = _options()
    rows, means = [], []
    clips = sorted(truth.parent for truth in options.clips.glob("*/truth.npz"))
    scores: dict[str, list[dict[str, float]]] = {backend: [] for backend in options.backends}
    for clip in clips:
        for backend in options.backends:
            found, clock = _run(clip / "video.mp4", backend, options.weights)
            with np.load(clip / "truth.npz") as truth:
                score = {**_score(found, dict(truth)), **_times(clock)}
            scores[backend].append(score)
            rows.append([clip.name, backend, *(score[name] for name in COLUMNS)])
    for backend in options.backends:
        mean = {name: float(np.mean([s[name] for s in scores[backend]])) for name in COLUMNS}
        means.append(["mean", backend, *mean.values()])
    tables = [table(["clip", "backend", *COLUMNS.values()], [*rows, *means])]
    publish("perception", {"clips": [clip.name for clip in clips], "scores": scores}, tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of clips")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backends", nargs="+", default=["lite", "yolo"])
    return parser.parse_args()


def _run(path: Path, backend: Any, weights: Path) -> tuple[Track, Clock]:
    """Run the stage in this process."""
    clock = Clock([], [])
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        workspace.create()
        job = Job(
            workspace=workspace,
            config=Config(track=TrackConfig(perception=backend), weights_dir=str(weights)),
            video=video.probe(path),
            device="cpu",
            emit=clock,
            provenance=Provenance(stage="track", fingerprint="0"),
        )
        stage.run(job)
        return artifacts.read(workspace.artifact("track"), Track), clock


def _times(clock: Clock) -> dict[str, float]:
    """Milliseconds between two pictures, decoding included (the decoder is another process)."""
    frames = len(clock.wall_s) - 1
    return {
        "wall_ms": 1e3 * (clock.wall_s[-1] - clock.wall_s[0]) / frames,
        "cpu_ms": 1e3 * (clock.cpu_s[-1] - clock.cpu_s[0]) / frames,
    }


def _score(found: Track, truth: dict[str, Any]) -> dict[str, float]:
    """Compare with the truth; people are matched frame by frame, identity is scored apart."""
    shape = truth["masks_shape"]
    masks = np.unpackbits(truth["masks"])[: np.prod(shape)].reshape(shape).astype(bool)
    height = truth["boxes"][..., 3] - truth["boxes"][..., 1]
    # error[f, i, j]: keypoints of found person i against those of true person j.
    error = (
        np.linalg.norm(found.keypoints[:, :, None, :, :2] - truth["keypoints2d"][:, None], axis=-1)
        / (height[:, None, :, None])
    )
    typical = np.median(error, axis=-1)
    owner = _owners(typical, found.seen)
    visible = _visible(truth["keypoints2d"], masks)
    frame, person = np.nonzero(owner >= 0)
    matched = owner[frame, person]
    errors = error[frame, person, matched][visible[frame, matched]]
    found_masks, union = found.person_masks[:], found.union_masks[:]
    known = union.any(axis=(1, 2))
    return {
        "median_error": 100.0 * float(np.median(errors)),
        "p90_error": 100.0 * float(np.percentile(errors, 90)),
        "union_iou": float(_iou(union[known], masks[known].any(axis=1)).mean()),
        "union_known": float(known.mean()),
        "person_iou": float(_iou(found_masks[frame, person], masks[frame, matched]).mean()),
        "seen": float(found.seen.mean()),
        "identity": _identity(typical, found.seen),
    }


def _owners(typical: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """True person whom each found one is, frame by frame; -1 where nobody was found."""
    straight = np.where(seen, typical[:, [0, 1], [0, 1]], 0.0).sum(axis=1)
    crossed = np.where(seen, typical[:, [0, 1], [1, 0]], 0.0).sum(axis=1)
    order = np.where((straight <= crossed)[:, None], [0, 1], [1, 0])
    return np.where(seen, order, -1)


def _identity(typical: np.ndarray, seen: np.ndarray) -> float:
    """Share of found person-frames that lie nearest to their true person, best order of the two."""
    nearest = typical.argmin(axis=-1)
    return max(float((nearest == order)[seen].mean()) for order in permutations((0, 1)))


def _visible(keypoints: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Keypoints that lie on their own person's visible pixels."""
    height, width = masks.shape[2:]
    column, row = (np.floor(keypoints[..., axis]).astype(int) for axis in (0, 1))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    frame, person = np.ogrid[: len(masks), :2]
    own = masks[
        frame[..., None], person[..., None], row.clip(0, height - 1), column.clip(0, width - 1)
    ]
    return own & inside


def _iou(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    shared = (masks & others).sum(axis=(1, 2))
    return shared / np.maximum((masks | others).sum(axis=(1, 2)), 1)


if __name__ == "__main__":
    main()
