"""Does it help to compare masks from frame to frame? Real detections, made harder in known ways.

    python benchmarks/identity.py CLIPS --out RUNS --detectors lite yolo --weights DIR
    python benchmarks/mask_cue.py CLIPS RUNS [--detectors lite yolo] [--seeds 0 1 2]

Detections are those that `track` kept for a clip, the few of the wrong person left out. They are
swapped, lost and blurred as in `identity.py`; then who is who is decided with and without their
masks.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from identity import STRESSES, Rng, Score, Simulated, score_simulated, total
from measuring import publish, table

from closefit.demo.detections import VisiblePeople
from closefit.records import DetectedPeople
from closefit.storage import artifacts
from closefit.tracking.crowd import gather
from closefit.tracking.identify import identify

MAX_GAP_S = 0.5
UNKNOWN_SHARE = 0.7
COLUMNS = ["person-frames", "wrong, no masks", "doubtful (%)", "wrong, with masks", "doubtful (%)"]


def _hardly_any_keypoints(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
    """Swaps, switches and misses; most keypoints and all clothes unknown."""
    simulated = STRESSES["the same, clothes unknown"](simulated, people, rng)
    keypoints = simulated.pair.keypoints.copy()
    keypoints[rng.random(keypoints.shape[:3]) < UNKNOWN_SHARE] = 0.0
    return replace(simulated, pair=replace(simulated.pair, keypoints=keypoints))


KINDS = {**STRESSES, "swaps, switches, misses, 7 of 10 keypoints unknown": _hardly_any_keypoints}


def main() -> None:
    """Make harder, decide, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of clips")
    parser.add_argument("runs", type=Path, help="results folders NAME-DETECTOR")
    parser.add_argument("--detectors", nargs="+", default=["lite", "yolo"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    data, tables = {}, []
    for detector in options.detectors:
        clips = [_clip(path, options.runs, detector) for path in _truths(options.clips)]
        scores = {name: _scores(name, clips, options.seeds) for name in KINDS}
        rows = [[name, *_cells(*of_kind)] for name, of_kind in scores.items()]
        tables.append(table([f"detections of {detector}", *COLUMNS], rows))
        data[detector] = {name: [score.row for score in both] for name, both in scores.items()}
    publish("mask_cue", {"seeds": options.seeds, "scores": data}, tables)


def _truths(clips: Path) -> list[Path]:
    return sorted(clips.glob("*/truth.npz"))


def _cells(blind: Score, seeing: Score) -> list[Any]:
    doubtful = [100.0 * score.doubtful / score.detected for score in (blind, seeing)]
    wrong = [score.detected - score.right for score in (blind, seeing)]
    return [blind.detected, wrong[0], doubtful[0], wrong[1], doubtful[1]]


def _clip(truth_file: Path, runs: Path, detector: str) -> tuple[Simulated, VisiblePeople]:
    """Two people as they were detected, each in the column of the true one."""
    folder = runs / f"{truth_file.parent.name}-{detector}"
    record = artifacts.read(folder / "artifacts" / "detections.npz", DetectedPeople)
    truth = dict(np.load(truth_file))
    people = VisiblePeople.from_truth(truth)
    pair = identify(record, gather(record, people.fps), people.fps, MAX_GAP_S).detected
    apart = np.linalg.norm(
        pair.keypoints[:, :, None, :, :2] - truth["keypoints2d"][:, None], axis=-1
    )
    nearest = np.median(apart, axis=-1).argmin(axis=-1)
    if (nearest == np.arange(2))[pair.seen].mean() < 0.5:
        pair, nearest = pair.swapped(np.ones(len(nearest), dtype=bool)), nearest[:, ::-1]
    pair = pair.without(nearest != np.arange(2))
    return Simulated(pair, np.zeros(len(nearest), dtype=bool)), people


def _scores(
    kind: str, clips: list[tuple[Simulated, VisiblePeople]], seeds: list[int]
) -> tuple[Score, Score]:
    """Without and with masks."""
    cases = [
        (KINDS[kind](simulated, people, np.random.default_rng(seed)), people.fps)
        for simulated, people in clips
        for seed in seeds
    ]
    blind = [
        score_simulated(replace(case, pair=replace(case.pair, masks=None)), fps)
        for case, fps in cases
    ]
    return total(blind), total([score_simulated(case, fps) for case, fps in cases])


if __name__ == "__main__":
    main()
