"""`--init-from` through the real command line, on a short clip with simulated detections."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from typer.testing import CliRunner

from closefit.cli.app import app
from closefit.evaluation.runs import evaluate_run
from closefit.fit.reprojection import KeypointProjector
from closefit.geometry.rotations import matrix_to_6d
from closefit.storage.workspace import Workspace
from tests import estimate_files
from tests.clips import make_video
from tests.estimate_files import HEIGHT, WIDTH, make_people, write_hostile, write_prompthmr
from tests.known_motion import FRAMES, KnownMotion, make_known_motion

FOCAL = estimate_files.FOCAL_PX["PromptHMR"]


@pytest.fixture(scope="module")
def motion() -> KnownMotion:
    """Two people with an arm in the air and a bent trunk, whom a detector sees well."""
    known = make_known_motion()
    bend = torch.zeros(24, 3)
    bend[16, 2], bend[17, 2], bend[18, 1], bend[3, 0], bend[6, 0] = 1.6, 0.8, -0.7, 0.3, 0.3
    rotations = known.variables.rotations() @ roma.rotvec_to_rotmat(bend)
    variables = dataclasses.replace(known.variables, pose_6d=matrix_to_6d(rotations))
    joints, points = KeypointProjector(known.body, "coco17")(
        rotations, variables.betas, variables.transl(known.body), known.targets.K
    )
    targets = dataclasses.replace(known.targets, points_px=points)
    return dataclasses.replace(known, variables=variables, joints=joints, targets=targets)


@pytest.fixture(scope="module")
def truth(motion: KnownMotion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The motion in the layout that `evaluate` reads."""
    path = tmp_path_factory.mktemp("truth") / "truth.npz"
    np.savez(
        path,
        K=motion.targets.K[0].numpy(),
        rotations=motion.variables.rotations().numpy(),
        betas=np.zeros((2, 10), np.float32),
        transl=motion.variables.pelvis().numpy(),
        joints3d=motion.joints.numpy(),
        order=np.zeros(FRAMES, dtype=int),
        contact=np.zeros(FRAMES, dtype=bool),
    )
    return path


@pytest.fixture(scope="module")
def tracked(motion: KnownMotion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `track` has run on trembling keypoints of that motion."""
    folder = tmp_path_factory.mktemp("clip")
    keypoints = motion.targets.points_px.numpy()
    keypoints = keypoints + np.random.default_rng(0).normal(0.0, 2.0, keypoints.shape)
    boxes = np.concatenate([keypoints.min(2) - 8.0, keypoints.max(2) + 8.0], axis=-1)
    masks = np.zeros((FRAMES, HEIGHT // 4, WIDTH // 4), dtype=bool)
    np.savez(
        folder / "observations.npz",
        boxes=boxes,
        keypoints=np.concatenate([keypoints, np.full((FRAMES, 2, 17, 1), 0.9)], axis=-1),
        union_masks=np.packbits(masks),
        union_masks_shape=np.array(masks.shape),
        width=WIDTH,
        height=HEIGHT,
        fps=30.0,
    )
    video = make_video(folder / "clip.mp4", FRAMES, (WIDTH, HEIGHT))
    result = call(
        "stage", "track", video, "--out", folder / "out", "--observations",
        folder / "observations.npz", "--focal", FOCAL, "--device", "cpu", "--set", "init.steps=60",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder / "out"


@pytest.fixture
def estimate_file(motion: KnownMotion, tmp_path: Path) -> Path:
    """A result of PromptHMR: every joint some degrees off, the two in the other order."""
    variables = motion.variables
    noise = 0.04 * torch.randn(1, 2, 24, 3, generator=torch.Generator().manual_seed(0))
    rotations = variables.rotations() @ roma.rotvec_to_rotmat(noise)
    return write_prompthmr(tmp_path, make_people(rotations, variables.pelvis()).pick([1, 0]))


def call(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_good_estimate_makes_init_better(truth: Path, tracked: Path, estimate_file: Path) -> None:
    without = ("--set", "init.init_from=none", "--set", "init.prior=false")
    assert call("stage", "init", tracked, *without).exit_code == 0
    plain = evaluate_run(tracked, truth)["init"]
    result = call("stage", "init", tracked, "--init-from", estimate_file)
    assert result.exit_code == 0, result.stderr
    assert "settings changed: `init.init_from` None -> sha256" in result.stderr
    better = evaluate_run(tracked, truth)["init"]
    assert better.mpjpe_mm < 0.9 * plain.mpjpe_mm
    assert better.pa_mpjpe_mm < 0.9 * plain.pa_mpjpe_mm
    quality = Workspace(tracked).read_run()["quality"]["init"]
    assert (quality["init_from"], quality["init_from_share"]) == ("PromptHMR", [1.0, 1.0])

    # The content counts, not the path; a folder remembers its setting.
    moved = estimate_file.rename(estimate_file.with_name("elsewhere.pkl"))
    assert "up to date" in call("stage", "init", tracked, "--init-from", moved).stderr
    assert "up to date" in call("stage", "init", tracked).stderr
    moved.unlink()
    rows = json.loads(call("status", tracked, "--json").stdout)
    assert "there is no estimate" in json.dumps(rows)


def test_a_missing_person_is_reported(tracked: Path, estimate_file: Path) -> None:
    estimate_files.with_people(estimate_file, lambda content: content["people"].pop(1))
    result = call("stage", "init", tracked, "--init-from", estimate_file, "--set", "init.steps=2")
    assert result.exit_code == 0, result.stderr
    assert "person 1 is not in the estimate" in " ".join(result.stderr.split())


def test_what_cannot_be_used_is_refused_in_a_sentence(
    tracked: Path, tmp_path: Path, estimate_file: Path
) -> None:
    def refused(path: Path) -> str:
        result = call("stage", "init", tracked, "--init-from", path)
        assert result.exit_code == 3, result.stderr
        assert "Traceback" not in result.stderr
        return " ".join(result.stderr.split())

    mark = tmp_path / "executed"
    assert "closefit never runs" in refused(write_hostile(tmp_path / "evil.pkl", mark))
    assert not mark.exists()
    assert "there is no estimate" in refused(tmp_path / "nothing.pkl")

    def seventeen_metres(content: dict) -> None:
        for person in content["people"].values():
            person["smplx_cam"]["trans"] *= 10.0

    assert "m tall" in refused(estimate_files.with_people(estimate_file, seventeen_metres))
