from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from closefit.body.skeleton import JOINT_INDEX, JOINT_NAMES
from closefit.exporters.motion import write_motion
from closefit.exporters.reprojection import reprojected_keypoints

SHAPES = {
    "fps": (), "width": (), "height": (), "K": (3, 3), "valid": (6, 2), "confidence": (6, 2),
    "global_orient": (6, 2, 3), "body_pose": (6, 2, 69), "betas": (2, 10), "transl": (6, 2, 3),
    "rotations": (6, 2, 24, 3, 3), "joints": (6, 2, 24, 3),
    "keypoints2d_reprojected": (6, 2, 17, 2), "body": (), "joint_names": (24,), "floor": (4,),
}  # fmt: skip


@pytest.fixture
def path(motion, body, tmp_path: Path) -> Path:
    path = tmp_path / "motion.npz"
    keypoints = reprojected_keypoints(body, motion, "coco17")
    write_motion(path, motion, keypoints, 29.97, (320, 240), {"K": motion.K[0]})
    return path


def test_the_documented_keys_shapes_and_types(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        assert {name: file[name].shape for name in file.files} == SHAPES
        kinds = {name: file[name].dtype for name in file.files}
        assert str(file["body"]) == "closefit"
        assert tuple(file["joint_names"]) == JOINT_NAMES
        assert (int(file["width"]), int(file["height"])) == (320, 240)
    assert kinds.pop("valid").kind == "b"
    assert {str(kinds.pop(name)) for name in ("width", "height")} == {"int32"}
    assert all(kinds.pop(name).kind == "U" for name in ("body", "joint_names"))
    assert set(map(str, kinds.values())) == {"float32"}


def test_the_parameters_alone_give_the_joints(path: Path, body) -> None:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in ("betas", "transl", "joints")}
        axis_angle = np.concatenate([file["global_orient"], file["body_pose"]], axis=-1)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(axis_angle).reshape(6, 2, 24, 3))
    joints = body.joints(rotations, arrays["betas"], arrays["transl"])
    torch.testing.assert_close(joints, arrays["joints"], atol=1e-5, rtol=0)
    pelvis = arrays["transl"] + body.rest(arrays["betas"]).joints[:, 0]
    torch.testing.assert_close(arrays["joints"][:, :, 0], pelvis)


def test_keypoints_are_where_the_camera_sees_the_joints(motion, body) -> None:
    keypoints = reprojected_keypoints(body, motion, "coco17")
    wrist = motion.joints[:, :, JOINT_INDEX["left_wrist"]]
    expected = 300.0 * wrist[..., :2] / wrist[..., 2:] + [160.0, 120.0]
    np.testing.assert_allclose(keypoints[:, :, 9], expected, atol=1e-2)


def test_the_same_motion_is_the_same_file(path: Path, motion, body, tmp_path: Path) -> None:
    again = tmp_path / "again.npz"
    keypoints = reprojected_keypoints(body, motion, "coco17")
    write_motion(again, motion, keypoints, 29.97, (320, 240), {"K": motion.K[0]})
    assert again.read_bytes() == path.read_bytes()
