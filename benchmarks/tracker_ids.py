"""Compare YOLO's own tracker with the association over the whole clip, on the same detections.

    closefit stage track CLIPS/NAME/video.mp4 --out RUNS/NAME --perception yolo   # for each clip
    python benchmarks/tracker_ids.py CLIPS RUNS

Detections are those that `track` kept; ByteTrack (Ultralytics, its own settings) gives each an id.
Its ids are scored as if somebody had named them afterwards as well as possible. A bonus is taken
off the cost of linking two detections of one id, to see whether the ids help.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from measuring import publish, table
from ultralytics.engine.results import Boxes
from ultralytics.trackers.byte_tracker import BYTETracker
from ultralytics.utils import YAML, IterableSimpleNamespace
from ultralytics.utils.checks import check_yaml

from closefit.records import DetectedPeople
from closefit.storage import artifacts
from closefit.tracking import association
from closefit.tracking.crowd import gather
from closefit.tracking.identify import identify

BONUSES = (0.0, 0.1, 0.2, 0.4)
MAX_GAP_S = 0.5
SAME_PERSON = 0.25
"""Median keypoint error, in box heights, up to which a detection is of a true person."""


def main() -> None:
    """Score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of clips")
    parser.add_argument("runs", type=Path, help="results folders of the same names")
    options = parser.parse_args()
    rows = []
    for truth_file in sorted(options.clips.glob("*/truth.npz")):
        name = truth_file.parent.name
        kept = options.runs / name / "artifacts" / "detections.npz"
        with np.load(truth_file) as truth:
            rows.append([name, *_scores(artifacts.read(kept, DetectedPeople), dict(truth))])
    header = ["clip", "ids", "tracker", *(f"closefit, bonus {bonus:g}" for bonus in BONUSES)]
    publish("tracker_ids", {"rows": rows}, [table(header, rows)])


def _scores(record: DetectedPeople, truth: dict[str, Any]) -> list[Any]:
    ids = _ids(record, (int(record.size_wh[1]), int(record.size_wh[0])))
    owner = _owners(record, truth)
    named = [owner[(owner >= 0) & (ids == number)] for number in np.unique(ids[ids >= 0])]
    right = sum(max((own == 0).sum(), (own == 1).sum()) for own in named)
    scores: list[Any] = [len(named), f"{right}/{sum(map(len, named))}"]
    for bonus in BONUSES:
        with _bonus(ids, bonus):
            fps = 1.0 / np.diff(record.time_s).mean()
            pair = identify(record, gather(record, fps), fps, MAX_GAP_S)
        nearest = _errors(pair.keypoints, truth["keypoints2d"], truth["boxes"]).argmin(axis=-1)
        best = max(int((nearest == order)[pair.seen].sum()) for order in permutations((0, 1)))
        scores.append(f"{best}/{int(pair.seen.sum())}")
    return scores


def _ids(people: DetectedPeople, size: tuple[int, int]) -> np.ndarray:
    """Number of each detection's track; -1 where the tracker follows nobody."""
    tracker = BYTETracker(IterableSimpleNamespace(**YAML.load(check_yaml("bytetrack.yaml"))))
    ids = np.full(len(people.frame), -1)
    for frame in range(people.num_frames):
        found = np.flatnonzero(people.frame == frame)
        scores = people.scores[found, None]
        rows = np.concatenate([people.boxes_xyxy[found], scores, np.zeros_like(scores)], axis=1)
        for track in tracker.update(Boxes(rows.astype(np.float32), size), None):
            ids[found[int(track[-1])]] = int(track[4])
    return ids


def _owners(people: DetectedPeople, truth: dict[str, Any]) -> np.ndarray:
    """True person of each detection, -1 for nobody."""
    frame = people.frame
    errors = _errors(people.keypoints[:, None], truth["keypoints2d"][frame], truth["boxes"][frame])
    return np.where(errors[:, 0].min(axis=-1) < SAME_PERSON, errors[:, 0].argmin(axis=-1), -1)


def _errors(found: np.ndarray, true: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Median distance of found people's keypoints from true people's, in box heights."""
    distance = np.linalg.norm(found[:, :, None, :, :2] - true[:, None], axis=-1)
    return np.median(distance, axis=-1) / (boxes[..., 3] - boxes[..., 1])[:, None]


@contextmanager
def _bonus(ids: np.ndarray, bonus: float) -> Iterator[None]:
    """Make links within one id cheaper."""
    plain = association._costs

    def costs(
        people: DetectedPeople, masks: Any, tracks: list[list[int]], found: list[int], frame: int
    ) -> Any:
        cost, changed = plain(people, masks, tracks, found, frame)
        before = ids[np.array([track[-1] for track in tracks], dtype=int)]
        now = ids[np.array(found, dtype=int)]
        same = (before[:, None] == now[None]) & (now >= 0)
        return cost - bonus * same, changed

    association._costs = costs
    try:
        yield
    finally:
        association._costs = plain


if __name__ == "__main__":
    main()
