"""Scoring of results folders against truth files."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.errors import ArtifactMissingError, FileMissingError, ObservationsError
from closefit.evaluation import runs
from closefit.evaluation.runs import Measures, evaluate_run
from closefit.geometry.camera import intrinsics
from closefit.models import weights
from closefit.records import Motion, OptimizedMotion
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance

FRAMES = 6
DISTANCE_M = 0.9
K = intrinsics(480, 360, 576.0)


@pytest.fixture(scope="module")
def body() -> Body:
    """The free body."""
    return Body.load(weights.locate("closefit_body"))


@pytest.fixture(scope="module")
def motion(body: Body) -> Motion:
    """Two people who stand side by side, one nearer to the camera, and sway."""
    vectors = torch.zeros(FRAMES, 2, 24, 3)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        vectors[:, :, JOINT_INDEX[f"{side}_shoulder"], 2] = -1.2 * sign
    rotations = roma.rotvec_to_rotmat(vectors)
    sway = torch.zeros(FRAMES, 2, 3)
    sway[..., 1] = 0.1 * torch.arange(FRAMES)[:, None]
    to_camera = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotations[:, :, 0] = to_camera @ roma.rotvec_to_rotmat(sway)
    betas = torch.tensor([[0.5] + [0.0] * 9, [-0.5] + [0.0] * 9])
    transl = torch.tensor([[-DISTANCE_M / 2, 0.0, 3.0], [DISTANCE_M / 2, 0.0, 3.3]])
    transl = transl.repeat(FRAMES, 1, 1)
    return Motion(
        rotations=rotations.numpy(),
        betas=betas.numpy(),
        transl=transl.numpy(),
        joints=body.joints(rotations, betas, transl).numpy(),
        K=np.tile(K.astype(np.float32), (FRAMES, 1, 1)),
        valid=np.ones((FRAMES, 2), dtype=bool),
        confidence=np.ones((FRAMES, 2), dtype=np.float32),
        body_name=np.array("closefit"),
        floor=np.array([0.0, -1.0, 0.0, 1.2]),
        notes=np.array(""),
    )


@pytest.fixture
def truth(tmp_path: Path, motion: Motion) -> Path:
    """The same motion as a truth file."""
    return _write_truth(tmp_path / "truth.npz", motion)


def _write_truth(path: Path, motion: Motion, **changes: np.ndarray | None) -> Path:
    arrays: dict[str, np.ndarray | None] = {
        "K": K,
        "rotations": motion.rotations,
        "betas": motion.betas,
        "transl": motion.joints[:, :, 0],
        "joints3d": motion.joints,
        "order": np.full(FRAMES, -1),
        "contact": np.zeros(FRAMES, dtype=bool),
        **changes,
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def _write_run(folder: Path, motion: Motion, stage: str = "init") -> Path:
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    provenance = Provenance(stage=stage, fingerprint="test")
    artifacts.write(folder / "artifacts" / f"{stage}.npz", motion, provenance)
    return folder


def _optimized(motion: Motion) -> OptimizedMotion:
    """The motion as `stage optimize` writes it, with two Gaussians per person."""
    three = np.zeros((2, 2, 3), dtype=np.float32)
    one = np.zeros((2, 2), dtype=np.float32)
    return OptimizedMotion(
        **{f.name: getattr(motion, f.name) for f in dataclasses.fields(Motion)},
        gaussian_face=np.zeros((2, 2), dtype=np.int64),
        gaussian_scale_m=np.full((2, 2, 3), 0.01, np.float32),
        **dict.fromkeys(("gaussian_opacity", "gaussian_identity"), one),
        **dict.fromkeys(
            (
                "gaussian_barycentric",
                "gaussian_offset_m",
                "gaussian_rotation",
                "gaussian_colour",
            ),
            three,
        ),
        status=np.array("converged"),
        curve_names=np.array(["total"]),
        curves=np.zeros((1, 1), dtype=np.float32),
        kept_keypoints=np.array(1.0, dtype=np.float32),
    )


def _moved(motion: Motion, offset_m: np.ndarray) -> Motion:
    """Move people; `offset_m` broadcasts against (frame, person, 3)."""
    offset = offset_m.astype(np.float32)
    return dataclasses.replace(
        motion,
        transl=motion.transl + offset,
        joints=motion.joints + offset[..., None, :],
    )


@pytest.mark.parametrize("joints", ["smpl", "lsp"])
def test_truth_against_itself_has_no_error(tmp_path, motion, truth, joints):
    """Every error is zero and every frame counts."""
    scores = evaluate_run(_write_run(tmp_path, motion), truth, joints=joints)["init"].as_dict()
    for name in ("mpjpe_mm", "pa_mpjpe_mm", "pair_pa_mpjpe_mm", "mpvpe_mm", "interaction_mm"):
        assert scores[name] == pytest.approx(0.0, abs=0.01), name
    assert scores["acceleration_mm"] == pytest.approx(0.0, abs=0.01)
    assert scores["wrong_depth_order"] == 0.0
    assert scores["depth_order_frames"] == FRAMES
    assert scores["identity_swaps"] == 0
    assert scores["valid_share"] == 1.0
    assert scores["a_pd_mm"] == 0.0


def test_both_stages_are_scored_in_order(tmp_path, motion, truth):
    """A finished run gives a column for each stage that wrote a motion."""
    _write_run(tmp_path, _moved(motion, np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]])))
    _write_run(tmp_path, _optimized(motion), "optimize")
    scores = evaluate_run(tmp_path, truth)
    assert list(scores) == ["init", "optimize"]
    assert scores["init"].interaction_mm > 50.0 > scores["optimize"].interaction_mm
    assert scores["init"].mpjpe_mm == pytest.approx(0.0, abs=0.01)


def test_people_may_be_named_the_other_way_round(tmp_path, motion, truth):
    """One assignment for the clip is found; frames that break it count as swaps."""
    other = dataclasses.replace(
        motion,
        rotations=motion.rotations[:, ::-1].copy(),
        betas=motion.betas[::-1].copy(),
        transl=motion.transl[:, ::-1].copy(),
        joints=motion.joints[:, ::-1].copy(),
    )
    other.transl[2] = other.transl[2, ::-1].copy()
    measures = evaluate_run(_write_run(tmp_path, other), truth)["init"]
    assert measures.identity_swaps == 1
    assert measures.mpjpe_mm < 60.0


def test_wrong_depth_order_and_contact_are_seen(tmp_path, motion):
    """Person 0 pushed behind person 1: wrong order; overlapping people: penetration, contact."""
    contact = np.array([True] * 3 + [False] * 3)
    truth = _write_truth(tmp_path / "truth.npz", motion, contact=contact)
    behind = _moved(motion, np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]))
    measures = evaluate_run(_write_run(tmp_path, behind), truth)["init"]
    assert measures.wrong_depth_order == 1.0
    assert math.isnan(measures.contact_precision)
    assert measures.as_dict()["contact_precision"] is None
    assert measures.contact_recall == 0.0
    assert measures.contact_gap_mm > 10.0
    merged = _moved(motion, np.array([[0.65, 0.0, 0.2], [0.0, 0.0, 0.0]]))
    measures = evaluate_run(_write_run(tmp_path, merged), truth)["init"]
    assert measures.a_pd_mm > 0.1
    assert measures.contact_precision == 0.5
    assert measures.contact_recall == 1.0


def test_invalid_frames_do_not_count(tmp_path, motion, truth):
    """Only frames that the run calls valid are scored, and their share is reported."""
    broken = dataclasses.replace(
        motion, rotations=motion.rotations.copy(), valid=motion.valid.copy()
    )
    broken.rotations[0, 0] = np.eye(3)
    broken.valid[0, 0] = False
    measures = evaluate_run(_write_run(tmp_path, broken), truth)["init"]
    assert measures.mpjpe_mm == pytest.approx(0.0, abs=0.01)
    assert measures.valid_share == pytest.approx(1 - 1 / (2 * FRAMES))


def test_labels_name_every_measure():
    """A table can be drawn from `labels` alone."""
    assert set(Measures.labels()) == {f.name for f in dataclasses.fields(Measures)}


def test_no_run_is_an_error(tmp_path, truth):
    """The error of an empty folder has a hint."""
    with pytest.raises(ArtifactMissingError, match="holds no motion"):
        evaluate_run(tmp_path, truth)


def test_missing_truth_is_an_error(tmp_path, motion):
    """A path that is not there is named."""
    with pytest.raises(FileMissingError, match=r"nowhere\.npz"):
        evaluate_run(_write_run(tmp_path, motion), tmp_path / "nowhere.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"betas": None}, "has no `betas`"),
        ({"betas": np.zeros((2, 16))}, r"`betas` has shape \(2, 16\)"),
        ({"order": np.zeros(FRAMES + 1, dtype=int)}, "`order` has shape"),
        ({"joints3d": np.zeros((FRAMES, 2, 24, 3))}, "posed body"),
    ],
)
def test_malformed_truth_is_an_error(tmp_path, motion, changes, message):
    """The array that is wrong is named."""
    truth = _write_truth(tmp_path / "truth.npz", motion, **changes)
    with pytest.raises(ObservationsError, match=message):
        evaluate_run(_write_run(tmp_path, motion), truth)


def test_a_file_that_is_no_npz_is_an_error(tmp_path, motion):
    """Damaged files get words, not a traceback."""
    truth = tmp_path / "truth.npz"
    truth.write_text("not an archive")
    with pytest.raises(ObservationsError, match="damaged"):
        evaluate_run(_write_run(tmp_path, motion), truth)


def test_another_clip_is_an_error(tmp_path, motion, truth):
    """Frame counts must agree: frames are matched by their index."""
    per_frame = ("rotations", "transl", "joints", "K", "valid", "confidence")
    shorter = dataclasses.replace(motion, **{n: getattr(motion, n)[:-1] for n in per_frame})
    with pytest.raises(ObservationsError, match=f"`{FRAMES - 1}` frames .* `{FRAMES}`"):
        evaluate_run(_write_run(tmp_path, shorter), truth)


def test_the_truth_of_another_clip_is_doubted(tmp_path, motion, truth):
    """As many frames, but the people stand elsewhere in the image."""
    run = _write_run(tmp_path / "right", motion)
    assert runs.doubts(run, evaluate_run(run, truth)) == []
    other = _write_run(tmp_path / "other", _moved(motion, np.array([1.0, 0.0, 0.0])))
    (doubt,) = runs.doubts(other, evaluate_run(other, truth))
    assert "truth of the same clip?" in doubt


def test_an_optimize_of_an_earlier_init_is_doubted(tmp_path, motion, truth):
    """What stands side by side in the table must belong together."""
    run = _write_run(tmp_path, motion)
    path = run / "artifacts" / "optimize.npz"
    for used, doubts in (("test", 0), ("earlier", 1)):
        origin = Provenance(stage="optimize", fingerprint="own", inputs={"init": used})
        artifacts.write(path, _optimized(motion), origin)
        assert len(runs.doubts(run, evaluate_run(run, truth))) == doubts


def test_shared_truth_scores_itself(shared):
    """The rendered clips' truth, posed as a run of its own body would be, has no error."""
    clip = shared / "clips" / "synth" / "dev_01"
    truth_body = shared / "clips" / "synth" / "body.npz"
    target = runs.read_truth(clip / "truth.npz")
    body = Body.load(truth_body)
    pelvis = body.rest(torch.from_numpy(target.betas)).joints[:, 0].numpy()
    frames = len(target.transl)
    run = Motion(
        rotations=target.rotations,
        betas=target.betas,
        transl=target.transl - pelvis,
        joints=target.joints3d,
        K=np.tile(target.K, (frames, 1, 1)),
        valid=np.ones((frames, 2), dtype=bool),
        confidence=np.ones((frames, 2), dtype=np.float32),
        body_name=np.array("closefit"),
        floor=np.array([0.0, -1.0, 0.0, 1.2]),
        notes=np.array(""),
    )
    measures = runs.evaluate_motion(run, body, target, body)
    assert measures.mpjpe_mm == pytest.approx(0.0, abs=0.01)
    assert measures.contact_precision == 1.0
    assert measures.contact_recall == 1.0
    assert measures.part_contact_f1 == 1.0
    assert measures.wrong_depth_order == 0.0
