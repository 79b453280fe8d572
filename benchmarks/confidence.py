"""How well the confidence of each pose predicts its error, and how it would be calibrated now.

    python benchmarks/confidence.py CLIPS [--cells results/bench-ablation]

Reads the finished cells of `benchmarks/ablation.py` (rows `initial` and `full`) and runs nothing.
The error of a pose is its joint error (hips aligned). The line that turns doubts into millimetres
is fitted again here, also with the clip left out on which it is judged; the constants are those of
`closefit/fit/confidence.py`, and are changed by hand.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cells import find_clips
from measuring import publish, table
from scipy.optimize import nnls
from scipy.stats import spearmanr

from closefit.body.model import Body
from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.evaluation.metrics import assign_people
from closefit.evaluation.runs import HIPS, STAGES, read_truth
from closefit.fit.confidence import doubts, error_of_confidence, pose_confidence
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import targets_from_track
from closefit.geometry.camera import project
from closefit.geometry.units import MM_PER_M
from closefit.models import weights
from closefit.records import Motion, Track
from closefit.storage import artifacts

ROWS = {"initial": "init", "full": "optimize"}
"""Rows of the ablation -> the stage that is judged."""
MIN_CONFIDENCE = 0.3
"""Keypoints below it were not used by the fits (`init.keypoint_confidence`)."""
BINS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 1.01)


@dataclass(frozen=True, eq=False)
class Judged:
    """Poses of one run: doubts (pose, 2), confidence (pose,), error in mm (pose,)."""

    clip: str
    doubts: np.ndarray
    confidence: np.ndarray
    error_mm: np.ndarray


def main() -> None:
    """Judge both stages, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--cells", type=Path, nargs="*", default=[Path("results/bench-ablation")])
    parser.add_argument("--name", default="confidence")
    options = parser.parse_args()
    clips = {clip.name: clip for clip in find_clips(options.clips)}
    cells = [
        (folder, json.loads(path.read_text(encoding="utf-8")))
        for folder in options.cells
        for path in sorted((folder / "cells").glob("*.json"))
    ]
    tables, data = [], {}
    for row, stage in ROWS.items():
        runs = [
            judge(folder / cell["folder"], stage, clips[cell["clip"]])
            for folder, cell in cells
            if cell["variant"] == row and cell["clip"] in clips
        ]
        if runs:
            data[stage] = summary(runs)
            tables += [f"## {stage}, {len(runs)} runs", *_tables(runs, data[stage])]
    if not data:
        raise SystemExit(f"no cells in {options.cells}: run benchmarks/ablation.py first")
    publish(options.name, data, tables)


def judge(folder: Path, stage: str, clip: Path) -> Judged:
    """Compare a run's poses with the truth, frame by frame."""
    motion: Motion = artifacts.read(folder / "artifacts" / f"{stage}.npz", STAGES[stage])
    track = artifacts.read(folder / "artifacts" / "track.npz", Track)
    targets = targets_from_track(track, motion.K, MIN_CONFIDENCE, "cpu")
    body = Body.load(weights.locate(weights.BODIES[str(motion.body_name)]))
    tensors = [torch.as_tensor(a) for a in (motion.rotations, motion.betas, motion.transl)]
    with torch.no_grad():
        _, projected = KeypointProjector(body, targets.set_name)(*tensors, targets.K)
        found = torch.stack(doubts(projected, targets), dim=-1).numpy()
        confidence = pose_confidence(projected, targets).numpy()
    truth = read_truth(clip / "truth.npz")
    joints = motion.joints[:, :, EVALUATION_JOINTS].astype(float)
    target = truth.joints3d[:, :, EVALUATION_JOINTS].astype(float)
    pixels, true_pixels = (
        project(torch.as_tensor(points), torch.as_tensor(K.astype(float))[:, None, None]).numpy()
        for points, K in ((joints, motion.K), (target, truth.K[None]))
    )
    people = list(assign_people(pixels, true_pixels, motion.valid).people)
    own = [
        x - x[:, :, list(HIPS["smpl"])].mean(2, keepdims=True) for x in (joints[:, people], target)
    ]
    error = MM_PER_M * np.linalg.norm(own[0] - own[1], axis=-1).mean(-1)
    valid = motion.valid[:, people]
    return Judged(clip.name, found[:, people][valid], confidence[:, people][valid], error[valid])


def summary(runs: Sequence[Judged]) -> dict[str, float]:
    """Rank correlation, worst fifth against the rest, and what a new fit would give."""
    confidence = np.concatenate([run.confidence for run in runs])
    error = np.concatenate([run.error_mm for run in runs])
    expected = np.array([error_of_confidence(c) for c in confidence])
    low = confidence <= np.quantile(confidence, 0.2)
    fresh = _fit(runs)
    return {
        "poses": len(error),
        "rank correlation": float(spearmanr(confidence, error)[0]),
        "mean within a run": float(np.nanmean([_rank(run) for run in runs])),
        "error, lowest fifth (mm)": float(error[low].mean()),
        "error, the rest (mm)": float(error[~low].mean()),
        "mean error (mm)": float(error.mean()),
        "expected (mm)": float(expected.mean()),
        "rank correlation, clip left out": _left_out(runs),
        "fit: least (mm)": float(fresh[0]),
        "fit: per sigma (mm)": float(fresh[1]),
        "fit: all missing (mm)": float(fresh[2]),
    }


def _rank(run: Judged) -> float:
    if np.ptp(run.confidence) == 0:
        return float("nan")
    return float(spearmanr(run.confidence, run.error_mm)[0])


def _fit(runs: Sequence[Judged]) -> np.ndarray:
    """Non-negative least squares of the error on 1, sigmas missed, share missing."""
    rows = np.concatenate([run.doubts for run in runs]).astype(float)
    error = np.concatenate([run.error_mm for run in runs])
    return nnls(np.c_[np.ones(len(rows)), rows], error)[0]


def _left_out(runs: Sequence[Judged]) -> float:
    """Rank correlation where each clip is judged by a fit to the others."""
    names = sorted({run.clip for run in runs})
    if len(names) < 2:
        return float("nan")
    predicted, error = [], []
    for name in names:
        line = _fit([run for run in runs if run.clip != name])
        for run in (run for run in runs if run.clip == name):
            predicted.append(line[0] + run.doubts @ line[1:])
            error.append(run.error_mm)
    return float(-spearmanr(np.concatenate(predicted), np.concatenate(error))[0])


def _tables(runs: Sequence[Judged], figures: dict[str, float]) -> list[str]:
    confidence = np.concatenate([run.confidence for run in runs])
    error = np.concatenate([run.error_mm for run in runs])
    rows: list[list[object]] = []
    for low, high in itertools.pairwise(BINS):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            expected = error_of_confidence(float(confidence[inside].mean()))
            measured = float(error[inside].mean())
            share = f"{low:.1f} to {min(high, 1.0):.1f}"
            rows.append([share, int(inside.sum()), expected, measured])
    header = ["confidence", "poses", "expected error (mm)", "measured (mm)"]
    return [table(["", ""], [[k, v] for k, v in figures.items()]), table(header, rows)]


if __name__ == "__main__":
    main()
