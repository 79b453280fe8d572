"""Blender imports scene and BVH with every joint where `motion.npz` has it.

Needs `bpy` (a package of Blender's makers for one version of Python): in this Python, or in another
one that the environment variable CLOSEFIT_BLENDER_PYTHON names.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.body.skeleton import JOINT_NAMES
from closefit.exporters.motion import read_motion
from closefit.exporters.motion_files import Footage, write_motion_files
from closefit.geometry.camera import intrinsics
from closefit.records import Motion
from closefit.storage.workspace import Workspace
from tests.samples import make_motion

FRAMES, FPS, SIZE_WH = 12, 24000 / 1001, (320, 240)
SCRIPT = Path(__file__).with_name("blender_joints.py")
WITHIN_M = 1e-5
"""What rounding leaves is 0.003 mm."""
Y_UP_FROM_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@pytest.fixture(scope="module")
def python() -> str:
    named = os.environ.get("CLOSEFIT_BLENDER_PYTHON")
    if named is None and find_spec("bpy") is None:
        pytest.skip("needs `bpy`; CLOSEFIT_BLENDER_PYTHON may name a Python that has it")
    return named or sys.executable


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two people of different shape who turn, walk and bend every joint, on a tilted floor."""
    body = Body.load(Path(__file__).resolve().parents[3] / "weights" / "closefit_body.npz")
    generator = np.random.default_rng(0)
    ends = torch.tensor(generator.normal(0.0, 0.5, (2, 2, 24, 3)), dtype=torch.float32)
    way = torch.linspace(0.0, 1.0, FRAMES)[:, None, None, None]
    axis_angle = torch.lerp(ends[0], ends[1], way)
    axis_angle[:, :, 0] += torch.tensor([torch.pi, 0.0, 0.0])
    rotations = roma.rotvec_to_rotmat(axis_angle)
    betas = torch.tensor(generator.normal(size=(2, 10)), dtype=torch.float32)
    transl = torch.tensor([[-0.4, 0.0, 4.0], [0.4, 0.1, 4.5]]).repeat(FRAMES, 1, 1)
    transl[:, 0, 0] += torch.linspace(0.0, 1.0, FRAMES)
    up = np.array([0.1, -0.95, -0.3])
    own = {
        "rotations": rotations.numpy(),
        "betas": betas.numpy(),
        "transl": transl.numpy(),
        "joints": body.joints(rotations, betas, transl).numpy(),
        "K": np.tile(intrinsics(*SIZE_WH, 300.0).astype(np.float32), (FRAMES, 1, 1)),
        "floor": np.array([*(up / np.linalg.norm(up)), 0.9], np.float32),
    }
    workspace = Workspace(tmp_path_factory.mktemp("blender"))
    motion = Motion(**vars(make_motion(FRAMES)) | own)
    write_motion_files(workspace, body, motion, Footage(np.arange(FRAMES) / FPS, FPS, SIZE_WH))
    return workspace


@pytest.fixture(scope="module")
def imported(python: str, results: Workspace) -> dict[str, Any]:
    """What Blender has after the import."""
    written = results.root / "blender.json"
    command = [python, SCRIPT, results.root, repr(FPS), str(FRAMES), written]
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=plain, timeout=200)
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(written.read_text())
    return found


@pytest.fixture(scope="module")
def joints(results: Workspace) -> np.ndarray:
    """(frame, person, joint, 3) in the frame of the scene."""
    motion = read_motion(results.motion)
    move = motion.T_scene_camera
    assert move is not None
    return motion.joints @ move[:3, :3].T + move[:3, 3]


@pytest.mark.parametrize("kind", ["glb", "bvh"])
@pytest.mark.parametrize("person", [0, 1])
def test_joints_are_where_the_motion_has_them(
    imported: dict[str, Any], joints: np.ndarray, kind: str, person: int
) -> None:
    found = imported[kind][person]
    prefix = f"person_{person}_" if kind == "glb" else ""
    order = [found["names"].index(prefix + name) for name in JOINT_NAMES]
    heads = np.array(found["heads"])[:, order] @ Y_UP_FROM_Z_UP.T
    assert heads.shape == (FRAMES, 24, 3)
    error_m = np.linalg.norm(heads - joints[:, person], axis=-1)
    assert error_m.max() < WITHIN_M, f"{1e3 * error_m.max():.4f} mm at most"


@pytest.mark.parametrize(("kind", "first"), [("glb", 0), ("bvh", 1)])
def test_keys_fall_on_whole_frames(imported: dict[str, Any], kind: str, first: int) -> None:
    for person in imported[kind]:
        np.testing.assert_allclose(person["keys"], [first, first + FRAMES - 1], atol=1e-3)


def test_each_person_is_an_armature_with_its_own_body(imported: dict[str, Any]) -> None:
    parents = imported["parents"]
    for person in ("person_0", "person_1"):
        assert parents[person] is None
        assert parents[f"{person}_body"] == person
    assert parents["camera"] is None


def test_the_camera_has_the_view_of_the_video(imported: dict[str, Any]) -> None:
    expected = 2.0 * np.arctan(0.5 * SIZE_WH[1] / 300.0)
    np.testing.assert_allclose(imported["lens_rad"], [expected], rtol=1e-3)
