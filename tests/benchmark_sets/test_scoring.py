"""Scores: of a perfect result, of one whose error is known, and of what cannot be scored."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from closefit.benchmark.published import NOTES, TABLES
from closefit.benchmark.scoring import COLUMNS, Scores, mean_of, score
from closefit.benchmark.sequences import SMPL14, SMPL14_OF_24, Recording, Truth
from closefit.benchmark.tables import as_markdown
from closefit.body.model import Body
from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.boundary.refusals import RefusedError
from closefit.records import OptimizedMotion
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.workspace import Workspace
from tests.batch_folder import WEIGHTS
from tests.walking import walking_motion

FRAMES = 8


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load(WEIGHTS / "closefit_body.npz")


@pytest.fixture(scope="module")
def motion(body: Body) -> OptimizedMotion:
    whole = walking_motion(body, 24, (160, 120))
    per_frame = ("rotations", "transl", "joints", "K", "valid", "confidence")
    return replace(whole, **{name: getattr(whole, name)[-FRAMES:] for name in per_frame})


@pytest.fixture
def recording(body: Body, motion: OptimizedMotion) -> Recording:
    """The truth is the motion itself."""
    posed = body.pose(*map(torch.from_numpy, (motion.rotations, motion.betas, motion.transl)))
    joints = motion.joints.astype(np.float64)
    truth = Truth(
        joints=joints[:, :, SMPL14_OF_24],
        names=SMPL14,
        valid=np.ones((FRAMES, 2), bool),
        vertices=posed.vertices.numpy(),
        all_joints=joints,
    )
    K = motion.K[0].astype(np.float64)
    scored = np.ones(FRAMES, bool)
    return Recording(pictures=lambda: iter(()), fps=30.0, K=K, truth=truth, scored=scored)


def scores_of(
    folder: Path, motion: OptimizedMotion, recording: Recording, smpl: Path | None = None
) -> Scores:
    """Scores of a motion; of LSP-14 where a folder with SMPL is given."""
    workspace = Workspace(folder)
    workspace.artifacts.mkdir(exist_ok=True)
    origin = Provenance(stage="optimize", fingerprint="0")
    artifacts.write(workspace.artifact("optimize"), motion, origin)
    if smpl is None:
        return score(folder, "optimize", recording, "smpl")
    return score(folder, "optimize", recording, "lsp", str(smpl))


def swapped(motion: OptimizedMotion) -> OptimizedMotion:
    per_person = ("rotations", "transl", "joints", "valid", "confidence")
    crossed = {name: getattr(motion, name)[:, ::-1].copy() for name in per_person}
    return replace(motion, **crossed, betas=motion.betas[::-1].copy())


def moved(motion: OptimizedMotion, *metres: float) -> OptimizedMotion:
    """Person 1 stands elsewhere."""
    shift = np.zeros((1, 2, 3), np.float32)
    shift[0, 1] = metres
    return replace(motion, transl=motion.transl + shift, joints=motion.joints + shift[:, :, None])


def test_the_joints_are_those_of_all_measures() -> None:
    assert SMPL14_OF_24 == EVALUATION_JOINTS


@pytest.mark.parametrize("exchange", [False, True])
def test_a_perfect_result_has_no_error(
    tmp_path: Path, motion: OptimizedMotion, recording: Recording, exchange: bool
) -> None:
    """In whatever order its people are; its penetration is its own."""
    found = scores_of(tmp_path, swapped(motion) if exchange else motion, recording)
    for name in set(COLUMNS) - {"a_pd", "a_pd_grid"}:
        assert found.values[name] == pytest.approx(0.0, abs=1e-3), name
    assert found.values["a_pd"] > 0.1
    assert found.values["a_pd_grid"] > 0.1
    assert (found.frames, found.guessed) == (FRAMES, 0.0)


def test_a_person_who_stands_elsewhere(
    tmp_path: Path, motion: OptimizedMotion, recording: Recording
) -> None:
    """Measures of one person do not see it, those of the pair do."""
    found = scores_of(tmp_path, moved(motion, 0.0, 0.0, 0.2), recording).values
    for name in ("mpjpe", "pa_mpjpe", "mpvpe", "acceleration"):
        assert found[name] == pytest.approx(0.0, abs=0.05), name
    assert found["interaction"] > 20.0
    assert found["pair_pa_mpjpe"] > 20.0


def test_lsp_has_the_top_of_the_head_of_either_body(
    tmp_path: Path, body: Body, motion: OptimizedMotion, recording: Recording, smpl: Path
) -> None:
    """The other thirteen points are joints, which agree here."""
    true_body = Body.load(smpl / "smpl.npz")
    poses = [torch.from_numpy(a) for a in (motion.rotations, motion.betas, motion.transl)]
    ours, true = (
        one.pose(*poses).vertices[:, :, one.landmarks["head_top"]] for one in (body, true_body)
    )
    vertices = true_body.pose(*poses).vertices.numpy()
    truth = replace(recording, truth=replace(recording.truth, vertices=vertices))
    for exchange in (False, True):
        found = scores_of(tmp_path, swapped(motion) if exchange else motion, truth, smpl).values
        apart_mm = 1000.0 * float((ours - true).norm(dim=-1).mean())
        assert apart_mm > 10.0
        assert found["mpjpe"] == pytest.approx(apart_mm / 14, rel=1e-3)
        assert math.isnan(found["mpvpe"]), "the bodies have different meshes"
    bare = replace(recording, truth=replace(recording.truth, vertices=None))
    with pytest.raises(RefusedError, match="needs vertices"):
        scores_of(tmp_path, motion, bare, smpl)


def test_only_frames_with_a_truth_count(
    tmp_path: Path, motion: OptimizedMotion, recording: Recording
) -> None:
    joints = recording.truth.joints.copy()
    joints[2, 1] += 9.0  # of a frame without a truth
    valid = recording.truth.valid.copy()
    valid[2, 1] = False
    truth = replace(recording.truth, joints=joints, valid=valid)
    guessed = replace(motion, valid=np.zeros_like(motion.valid))
    part = np.arange(FRAMES) < 6
    found = scores_of(tmp_path, guessed, replace(recording, truth=truth, scored=part))
    assert found.values["mpjpe"] == pytest.approx(0.0, abs=1e-3)
    assert found.weights["mpjpe"] == 11
    assert found.weights["interaction"] == 5
    assert found.guessed == 1.0, "guesses count, and their share is known"
    nothing = replace(recording, scored=np.zeros(FRAMES, bool))
    with pytest.raises(RefusedError, match="no frame"):
        scores_of(tmp_path, motion, nothing)
    short = Truth(joints=joints[:-1], names=SMPL14, valid=valid[:-1])
    with pytest.raises(RefusedError, match="8 frames, the data set 7"):
        scores_of(tmp_path, motion, replace(recording, truth=short))


def test_means_weigh_sequences_by_their_frames() -> None:
    def one(value: float, weight: int) -> Scores:
        values = dict.fromkeys(COLUMNS, value) | {"mpvpe": math.nan}
        return Scores(values, dict.fromkeys(COLUMNS, weight), weight, 0.0)

    found = mean_of([one(10.0, 1), one(20.0, 3)])
    assert found["mpjpe"] == pytest.approx(17.5)
    assert found["mpvpe"] is None
    assert mean_of([])["mpjpe"] is None


@pytest.mark.parametrize("dataset", TABLES)
def test_every_published_number_has_its_protocol(dataset: str) -> None:
    rows = [row for table in TABLES[dataset].values() for row in table]
    assert all(row.note in NOTES and set(row.scores) <= COLUMNS.keys() for row in rows)
    means = dict.fromkeys(COLUMNS, 12.5) | {"frames": 3, "guessed": 0.25}
    sequences = {"scored": 1, "of": 2, "failed": {"b": "gone"}, "incomplete": {"a": ["a frame"]}}
    report = {
        "dataset": dataset,
        "rows": {"full": means},
        "sequences": sequences,
        "protocol": ["all"],
        "joints": "smpl",
    }
    text = as_markdown(report)
    assert "| closefit | 12.5 |" in text
    for word in ("scored: 1 of 2", "not scored: `b`: gone", "incomplete: `a`: a frame", "25.0%"):
        assert word in text
    assert all(f"- {row.note}: " in text for row in rows)
