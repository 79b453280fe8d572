"""Scores of one stage of one sequence, and their mean over sequences."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from closefit.benchmark.sequences import JointSet, Recording, Truth
from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.boundary.refusals import refuse
from closefit.evaluation import metrics
from closefit.evaluation.grid_penetration import grid_a_pd_mm
from closefit.geometry.camera import project
from closefit.geometry.penetration import average_penetration_depth_mm
from closefit.models import weights
from closefit.records import Motion, OptimizedMotion
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace

COLUMNS = {
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "mpvpe": "MPVPE",
    "interaction": "interaction",
    "pair_pa_mpjpe": "pair PA-MPJPE",
    "a_pd_grid": "A-PD (grid)",
    "a_pd": "A-PD (exact)",
    "acceleration": "acceleration",
}
"""Names of the scores and their columns; all in mm, acceleration in mm per squared frame."""

STAGES: Mapping[str, type[Motion]] = {"init": Motion, "optimize": OptimizedMotion}
FRAMES_AT_ONCE = 32
LSP_HIPS = (2, 3)


@dataclass(frozen=True)
class Scores:
    """Scores of a sequence, each with how much it counts in a mean over sequences.

    Attributes:
        values: Scores by name; NaN where there was nothing to score.
        weights: Number of frames or person-frames that each is the mean of.
        frames: Frames in which somebody counts.
        guessed: Share of the person-frames whose pose does not rest on observations near in time:
            they count like all others.
    """

    values: Mapping[str, float]
    weights: Mapping[str, int]
    frames: int
    guessed: float


def score(
    folder: Path,
    stage: str,
    recording: Recording,
    joints: JointSet,
    weights_dir: str | None = None,
) -> Scores:
    """Score a stage of a results folder.

    All frames count that the data set has a truth for, those that closefit guessed as well.

    Raises:
        RefusedError: The results are of other frames, or nothing is to be scored.
        ClosefitError: They are missing or damaged, or a body model is missing.
    """
    motion = artifacts.read(Workspace(folder).artifact(stage), STAGES[stage])
    truth = recording.truth
    if len(motion.valid) != len(truth.valid):
        refuse(f"its result has {len(motion.valid)} frames, the data set {len(truth.valid)}")
    counted = truth.valid & recording.scored[:, None]
    if not counted.any():
        refuse("no frame of it counts")
    body = Body.load(weights.locate(weights.BODIES[str(motion.body_name)], weights_dir))
    posed = _Posed(body, motion)
    points, true_points, hips = _points(posed, truth, joints, weights_dir)
    people = _people(points, true_points, motion, recording, counted)
    points = points[:, people]
    both = counted.all(axis=1)
    values = {
        "mpjpe": metrics.mpjpe(points, true_points, counted, hips),
        "pa_mpjpe": metrics.pa_mpjpe(points, true_points, counted),
        "mpvpe": _vertex_error(posed, people, truth, points, true_points, hips, counted),
        "interaction": metrics.interaction_error(points, true_points, counted),
        "pair_pa_mpjpe": metrics.pair_pa_mpjpe(points, true_points, counted),
        "a_pd": metrics.mean_over(posed.a_pd, both),
        "a_pd_grid": metrics.mean_over(posed.grid_a_pd(both), both),
        "acceleration": metrics.acceleration_error(points, true_points, counted),
    }
    of_people, of_pairs = int(counted.sum()), int(both.sum())
    alone = {"mpjpe", "pa_mpjpe", "mpvpe", "acceleration"}
    return Scores(
        values=values,
        weights={name: of_people if name in alone else of_pairs for name in values},
        frames=int(counted.any(axis=1).sum()),
        guessed=float((~motion.valid[:, people] & counted).sum() / counted.sum()),
    )


def mean_of(scores: Iterable[Scores]) -> dict[str, float | None]:
    """Return the mean of each score over all frames of all sequences; None of nothing."""
    every = list(scores)
    found: dict[str, float | None] = {}
    for name in COLUMNS:
        known = [s for s in every if s.weights[name] and math.isfinite(s.values[name])]
        total = sum(s.weights[name] for s in known)
        found[name] = (
            sum(s.values[name] * s.weights[name] for s in known) / total if total else None
        )
    return found


class _Posed:
    """A motion and its bodies, posed some frames at a time."""

    def __init__(self, body: Body, motion: Motion) -> None:
        self.body, self.joints = body, motion.joints
        poses = (motion.rotations, motion.betas, motion.transl)
        turned, shapes, places = (torch.from_numpy(np.ascontiguousarray(a)) for a in poses)
        parts = [
            body.pose(turned[part], shapes, places[part]).vertices
            for part in (
                slice(start, start + FRAMES_AT_ONCE)
                for start in range(0, len(turned), FRAMES_AT_ONCE)
            )
        ]
        self.vertices = torch.cat(parts)

    @property
    def a_pd(self) -> Float[np.ndarray, " frame"]:
        parts = self.vertices.split(FRAMES_AT_ONCE)
        found = [average_penetration_depth_mm(part, self.body.faces).numpy() for part in parts]
        return np.concatenate(found).astype(np.float64)

    def grid_a_pd(self, frames: Bool[np.ndarray, " frame"]) -> Float[np.ndarray, " frame"]:
        found = np.full(len(frames), np.nan)
        found[frames] = grid_a_pd_mm(self.vertices[torch.from_numpy(frames)], self.body.faces)
        return found


def _points(
    posed: _Posed, truth: Truth, joints: JointSet, weights_dir: str | None
) -> tuple[
    Float[np.ndarray, "frame 2 joint 3"], Float[np.ndarray, "frame 2 joint 3"], tuple[int, int]
]:
    """The joints that are compared, ours and true ones, and which of them are the hips."""
    if joints == "smpl":
        chosen = [JOINT_INDEX[name] for name in truth.names]
        hips = truth.names.index("left_hip"), truth.names.index("right_hip")
        return posed.joints[:, :, chosen].astype(np.float64), truth.joints, hips
    if truth.vertices is None or truth.all_joints is None:
        refuse("`--joints lsp` needs vertices of the truth, which this data set lacks")
    smpl = Body.load(weights.locate(weights.BODIES["smpl"], weights_dir))
    ours = _lsp(posed.body, torch.from_numpy(posed.joints), posed.vertices)
    true = _lsp(smpl, torch.from_numpy(truth.all_joints).float(), torch.from_numpy(truth.vertices))
    return ours, true, LSP_HIPS


def _lsp(
    body: Body, joints: torch.Tensor, vertices: torch.Tensor
) -> Float[np.ndarray, "frame 2 14 3"]:
    regressor = KeypointRegressor(body, "lsp14")
    found: np.ndarray = regressor(joints, vertices[:, :, regressor.vertex_indices]).numpy()
    return found.astype(np.float64)


def _people(
    points: Float[np.ndarray, "frame 2 joint 3"],
    true_points: Float[np.ndarray, "frame 2 joint 3"],
    motion: Motion,
    recording: Recording,
    counted: Bool[np.ndarray, "frame 2"],
) -> list[int]:
    """Which of our people is which true one: by the image, over the whole sequence."""
    frames = counted.all(axis=1) if counted.all(axis=1).any() else counted.any(axis=1)
    K = np.broadcast_to(recording.K, (len(points), 3, 3))[frames]
    pixels = _pixels(points[frames], motion.K[frames])
    true_pixels = _pixels(true_points[frames], K)
    everybody = np.ones((int(frames.sum()), 2), bool)
    return list(metrics.assign_people(pixels, true_pixels, everybody).people)


def _pixels(
    points: Float[np.ndarray, "frame 2 joint 3"], K: Float[np.ndarray, "frame 3 3"]
) -> Float[np.ndarray, "frame 2 joint 2"]:
    found: np.ndarray = project(
        torch.from_numpy(points), torch.from_numpy(K.astype(np.float64)[:, None, None])
    ).numpy()
    return found


def _vertex_error(
    posed: _Posed,
    people: list[int],
    truth: Truth,
    points: Float[np.ndarray, "frame 2 joint 3"],
    true_points: Float[np.ndarray, "frame 2 joint 3"],
    hips: tuple[int, int],
    counted: Bool[np.ndarray, "frame 2"],
) -> float:
    """MPVPE about the hip midpoint; NaN for different meshes."""
    if truth.vertices is None or truth.vertices.shape[2] != posed.vertices.shape[2]:
        return math.nan
    root, true_root = (found[:, :, list(hips)].mean(axis=2) for found in (points, true_points))
    ours = posed.vertices[:, people].double().numpy()
    return metrics.mpvpe(ours, truth.vertices.astype(np.float64), root, true_root, counted)
