from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from closefit.exporters.amass import write_amass
from closefit.exporters.scene import motion_in, scene_from_camera

KEYS = {
    "poses", "root_orient", "pose_body", "trans", "betas", "gender", "mocap_framerate",
    "mocap_frame_rate", "stature_m", "note",
}  # fmt: skip


@pytest.fixture
def moved(motion):
    return motion_in(motion, scene_from_camera(motion.floor))


def test_the_free_body_posed_from_the_file_has_the_joints_of_the_motion(
    motion, moved, body, tmp_path: Path
) -> None:
    path = tmp_path / "person_0_amass.npz"
    rest_pelvis = body.joints_template[0].numpy()
    write_amass(path, moved.rotations[:, 0], moved.pelvis[:, 0], rest_pelvis, None, 30.0, 1.7)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    assert set(arrays) == KEYS
    assert arrays["poses"].shape == (6, 156)
    assert arrays["mocap_framerate"] == arrays["mocap_frame_rate"] == 30.0
    assert arrays["stature_m"] == 1.7
    together = np.concatenate([arrays["root_orient"], arrays["pose_body"]], axis=1)
    np.testing.assert_array_equal(together, arrays["poses"][:, :66])
    assert str(arrays["gender"]) == "neutral"
    assert not arrays["betas"].any()
    assert "zero" in str(arrays["note"])
    assert not arrays["poses"][:, 66:].any()
    pose = torch.from_numpy(arrays["poses"][:, :66].reshape(6, 22, 3)).float()
    hands = torch.from_numpy(motion.rotations[:, 0, 22:])
    rotations = torch.cat([roma.rotvec_to_rotmat(pose), hands], dim=1)
    # The pose is read with the person's own shape: bones are as long as in the motion.
    betas = torch.from_numpy(motion.betas[0])
    trans = torch.from_numpy(arrays["trans"]).float() - body.rest(betas).joints[0]
    joints = body.joints(rotations, betas, trans).numpy()
    ours, theirs = motion.joints[:, 0], joints
    # Turned from the camera to z up: distances agree, and the third axis is the height.
    np.testing.assert_allclose(
        np.linalg.norm(ours[:, :, None] - ours[:, None], axis=-1),
        np.linalg.norm(theirs[:, :, None] - theirs[:, None], axis=-1),
        atol=1e-5,
    )
    height = ours @ motion.floor[:3] + motion.floor[3]
    np.testing.assert_allclose(theirs[..., 2], height, atol=1e-5)


def test_smpl_keeps_its_shape(motion, moved, tmp_path: Path) -> None:
    path = tmp_path / "person_0_amass.npz"
    pelvis = np.array([0.0, -0.22, 0.03])
    write_amass(path, moved.rotations[:, 0], moved.pelvis[:, 0], pelvis, motion.betas[0], 24.0, 1.6)
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_allclose(file["betas"][:10], motion.betas[0])
        assert file["betas"].shape == (16,)
        height = moved.pelvis[:, 0, 1]
        np.testing.assert_allclose(file["trans"][:, 2] + pelvis[2], height, atol=1e-9)
