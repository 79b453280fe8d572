from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from closefit.body.skeleton import JOINT_NAMES, PARENTS
from closefit.exporters.bvh import euler_zyx, write_bvh
from closefit.exporters.scene import motion_in, scene_from_camera


def read_bvh(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """Joint positions by name and frame time, by the rules of the format and nothing else."""
    tokens = iter(path.read_text().split())
    assert next(tokens) == "HIERARCHY"
    stack, joints = [], []
    for token in tokens:
        if token in ("ROOT", "JOINT"):
            parent = stack[-1] if stack else None
            joints.append({"name": next(tokens), "parent": parent})
            assert next(tokens) == "{"
            stack.append(len(joints) - 1)
        elif token == "End":
            assert [next(tokens) for _ in range(3)] == ["Site", "{", "OFFSET"]
            assert any([float(next(tokens)) for _ in range(3)])
            next(tokens)
        elif token == "OFFSET":
            joints[stack[-1]]["offset"] = np.array([float(next(tokens)) for _ in range(3)])
        elif token == "CHANNELS":
            joints[stack[-1]]["channels"] = [next(tokens) for _ in range(int(next(tokens)))]
        elif token == "}":
            stack.pop()
        elif token == "MOTION":
            break
    assert next(tokens) == "Frames:"
    frames = int(next(tokens))
    assert [next(tokens), next(tokens)] == ["Frame", "Time:"]
    frame_time = float(next(tokens))
    values = np.array([float(token) for token in tokens]).reshape(frames, -1)
    column, world, positions = 0, [], {}
    for joint in joints:
        place, turn = np.tile(joint["offset"], (frames, 1)), Rotation.identity(frames)
        for channel in joint["channels"]:
            axis, kind = channel[0], channel[1:]
            if kind == "position":
                place[:, "XYZ".index(axis)] += values[:, column]
            else:
                turn = turn * Rotation.from_euler(axis, values[:, [column]], degrees=True)
            column += 1
        if joint["parent"] is not None:
            above_turn, above_place = world[joint["parent"]]
            place, turn = above_place + above_turn.apply(place), above_turn * turn
        world.append((turn, place))
        positions[joint["name"]] = place
    assert column == values.shape[1]
    return positions, frame_time


@pytest.mark.parametrize("person", [0, 1])
def test_another_reader_finds_the_same_joints(motion, body, tmp_path: Path, person: int) -> None:
    transform = scene_from_camera(motion.floor)
    moved = motion_in(motion, transform)
    rest = body.rest(torch.from_numpy(motion.betas[person])).joints.numpy()
    path = tmp_path / "person.bvh"
    write_bvh(path, rest, moved.rotations[:, person], moved.pelvis[:, person], 30.0)
    positions, frame_time = read_bvh(path)
    assert frame_time == pytest.approx(1 / 30.0)
    assert set(positions) == set(JOINT_NAMES)
    expected = motion.joints[:, person] @ transform[:3, :3].T + transform[:3, 3]
    read = np.stack([positions[name] for name in JOINT_NAMES], axis=1)
    np.testing.assert_allclose(read, expected, atol=1e-4)


def rotations_from(angles: np.ndarray) -> np.ndarray:
    flat = Rotation.from_euler("ZYX", angles.reshape(-1, 3)).as_matrix()
    return flat.reshape(*angles.shape[:-1], 3, 3)


def test_angles_give_the_rotation_back_and_never_jump() -> None:
    start, step = np.random.default_rng(0).normal(size=(2, 24, 3))
    angles = start + 0.1 * np.arange(100)[:, None, None] * step
    found = euler_zyx(rotations_from(angles))
    np.testing.assert_allclose(rotations_from(found), rotations_from(angles), atol=1e-9)
    assert np.abs(np.diff(found, axis=0)).max() < 0.5


def test_gimbal_lock_is_no_special_case_for_the_reader() -> None:
    angles = np.array([[[0.4, np.pi / 2, 0.3], [1.0, -np.pi / 2, -0.2]]])
    found = euler_zyx(rotations_from(angles))
    np.testing.assert_allclose(rotations_from(found), rotations_from(angles), atol=1e-7)


def test_the_hierarchy_is_the_skeleton(motion, body, tmp_path: Path) -> None:
    path = tmp_path / "person.bvh"
    rest = body.joints_template.numpy()
    write_bvh(path, rest, motion.rotations[:, 0].astype(float), motion.joints[:, 0, 0], 25.0)
    text = path.read_text()
    assert text.count("JOINT") == len(PARENTS) - 1
    assert text.count("ROOT pelvis") == 1
    assert text.count("End Site") == sum(joint not in PARENTS for joint in range(len(PARENTS)))
