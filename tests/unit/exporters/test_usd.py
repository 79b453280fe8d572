"""`scene.usdc`, read back and skinned by USD itself."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from closefit.config import Config, ExportConfig
from closefit.errors import ConfigError
from closefit.exporters.contacts import Touch
from closefit.exporters.motion_files import Footage, write_motion_files
from closefit.exporters.scene import scene_from_camera
from closefit.pipeline import runner
from closefit.storage.workspace import Workspace

pxr = pytest.importorskip("pxr", reason="needs usd-core: pip install 'closefit[usd]'")
FPS, SIZE_WH = 25.0, (320, 240)


@pytest.fixture(scope="module")
def stage(motion, body, tmp_path_factory):
    from pxr import Usd

    workspace = Workspace(tmp_path_factory.mktemp("usd"))
    footage = Footage(np.arange(6) / FPS, FPS, SIZE_WH)
    touch = Touch(1, 3, "head", "torso", 2.5, 0.0, 0.5, 0.6)
    write_motion_files(workspace, body, motion, footage, markers=[touch], usd=True)
    return Usd.Stage.Open(str(workspace.usd))


def skinned(stage, person: int, frame: int) -> np.ndarray:
    from pxr import UsdGeom, UsdSkel

    cache, root = UsdSkel.Cache(), UsdSkel.Root.Get(stage, f"/scene/person_{person}")
    cache.Populate(root, pxr.Usd.PrimDefaultPredicate)
    mesh = UsdGeom.Mesh.Get(stage, f"/scene/person_{person}/body")
    query = cache.GetSkinningQuery(mesh.GetPrim())
    skeleton = cache.GetSkelQuery(UsdSkel.Skeleton.Get(stage, f"/scene/person_{person}/skeleton"))
    points = mesh.GetPointsAttr().Get()
    transforms = skeleton.ComputeSkinningTransforms(frame)
    assert query.ComputeSkinnedPoints(transforms, points, frame)
    return np.array(points)


@pytest.mark.parametrize("frame", [0, 2, 5])
@pytest.mark.parametrize("person", [0, 1])
def test_usd_skins_as_the_body_does(stage, body, motion, frame: int, person: int) -> None:
    arrays = (motion.rotations, motion.betas, motion.transl)
    posed = body.pose(*map(torch.from_numpy, arrays)).vertices[frame, person].numpy()
    move = scene_from_camera(motion.floor)
    expected = posed @ move[:3, :3].T + move[:3, 3]
    assert np.linalg.norm(skinned(stage, person, frame) - expected, axis=-1).max() < 1e-4


def test_usd_finds_no_error(stage) -> None:
    from pxr import UsdValidation

    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    found = UsdValidation.ValidationContext(validators).Validate(stage)
    assert [error.GetErrorAsString() for error in found] == []


def test_time_units_and_contacts(stage) -> None:
    from pxr import UsdGeom

    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == (FPS, 5)
    contacts = stage.GetDefaultPrim().GetCustomDataByKey("contacts")
    assert {key: list(values) for key, values in contacts.items()} == {
        "first_frame": [1],
        "last_frame": [3],
        "person_0": ["head"],
        "person_1": ["torso"],
        "distance_mm": [2.5],
        "penetration_mm": [0.0],
    }


def test_the_camera_projects_as_the_video_does(stage, motion) -> None:
    from pxr import Gf, UsdGeom

    camera = UsdGeom.Camera.Get(stage, "/scene/camera").GetCamera(0)
    frustum = camera.frustum
    project = frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()
    move = scene_from_camera(motion.floor)
    K = motion.K[0]
    for joint in motion.joints[0, 0, (0, 15)].astype(float):
        seen = project.Transform(Gf.Vec3d(*(move[:3, :3] @ joint + move[:3, 3])))
        centred = K[:2] @ joint / joint[2] - K[:2, 2]
        size = np.array([SIZE_WH[0] * K[0, 0] / K[1, 1], SIZE_WH[1]])
        np.testing.assert_allclose([seen[0], -seen[1]], 2.0 * centred / size, atol=1e-4)


@pytest.mark.parametrize("style", ["mixamo", "unreal"])
def test_other_names_of_joints_are_valid_too(style, motion, body, tmp_path) -> None:
    from pxr import Sdf, Usd, UsdSkel

    workspace = Workspace(tmp_path)
    footage = Footage(np.arange(6) / FPS, FPS, SIZE_WH)
    write_motion_files(workspace, body, motion, footage, style=style, usd=True)
    stage = Usd.Stage.Open(str(workspace.usd))
    joints = UsdSkel.Skeleton.Get(stage, "/scene/person_0/skeleton").GetJointsAttr().Get()
    assert len(joints) == 24
    assert all(Sdf.Path.IsValidPathString(joint) for joint in joints)


def test_without_usd_a_run_is_refused_before_it_begins(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    config = Config(export=ExportConfig(usd=True))
    with pytest.raises(ConfigError, match="usd-core"):
        runner.run(tmp_path / "clip.mp4", tmp_path / "out", config, lambda _: None)
    assert not (tmp_path / "out").exists()


def test_the_principal_point_is_where_it_was(motion, body, tmp_path) -> None:
    from pxr import Usd, UsdGeom

    moved = motion.K.copy()
    moved[:, :2, 2] = [110.0, 150.0]
    workspace = Workspace(tmp_path)
    footage = Footage(np.arange(6) / FPS, FPS, SIZE_WH)
    write_motion_files(workspace, body, replace(motion, K=moved), footage, usd=True)
    written = Usd.Stage.Open(str(workspace.usd))
    lens = UsdGeom.Camera.Get(written, "/scene/camera").GetCamera(0)
    window = lens.frustum.GetWindow()
    low, high = np.array(window.GetMin()), np.array(window.GetMax())
    width, height = SIZE_WH
    # What is straight ahead lies at the origin of the window, whose y points up.
    ahead = np.array([0.0 - low[0], high[1] - 0.0]) / (high - low) * [width, height]
    np.testing.assert_allclose(ahead, [110.0, 150.0], atol=1e-2)
