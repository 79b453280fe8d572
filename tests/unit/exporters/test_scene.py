import numpy as np
import pytest

from closefit.exporters.scene import Z_UP_FROM_Y_UP, motion_in, scene_from_camera


def test_a_level_camera_needs_only_a_flip_of_axes() -> None:
    transform = scene_from_camera(np.array([0.0, -1.0, 0.0, 1.4]))
    np.testing.assert_allclose(transform[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-12)
    np.testing.assert_allclose(transform[:3, 3], [0.0, 1.4, 0.0])


@pytest.mark.parametrize(
    "up", [[0.1, -0.9, -0.4], [0.0, 0.0, -1.0], [0.0, -0.02, -1.0], [0.5, -0.5, 0.2]]
)
def test_the_floor_lies_level_at_height_zero(up: list[float]) -> None:
    normal = np.array(up) / np.linalg.norm(up)
    transform = scene_from_camera(np.array([*normal, 1.7]))
    turn = transform[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    np.testing.assert_allclose(turn @ normal, [0.0, 1.0, 0.0], atol=1e-12)
    points = np.random.default_rng(0).normal(size=(9, 3))
    on_floor = points - (points @ normal + 1.7)[:, None] * normal
    np.testing.assert_allclose((on_floor @ turn.T + transform[:3, 3])[:, 1], 0.0, atol=1e-12)


def test_z_up_is_a_rotation_that_keeps_up_up() -> None:
    assert np.linalg.det(Z_UP_FROM_Y_UP) == pytest.approx(1.0)
    np.testing.assert_array_equal(Z_UP_FROM_Y_UP @ [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(Z_UP_FROM_Y_UP @ [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])


def test_a_moved_motion_has_moved_roots_and_the_same_limbs(motion) -> None:
    transform = scene_from_camera(motion.floor)
    moved = motion_in(motion, transform)
    np.testing.assert_array_equal(moved.rotations[:, :, 1:], motion.rotations[:, :, 1:])
    back = np.linalg.inv(transform)
    np.testing.assert_allclose(
        moved.pelvis @ back[:3, :3].T + back[:3, 3], motion.joints[:, :, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        back[:3, :3] @ moved.rotations[:, :, 0], motion.rotations[:, :, 0], atol=1e-6
    )
