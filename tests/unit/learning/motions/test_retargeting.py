import dataclasses
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from closefit.body.model import Body
from closefit.body.skeleton import EVALUATION_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from closefit.body.stature import Stature
from closefit.errors import InputError
from closefit.exporters.bvh import write_bvh
from closefit.learning.motions.bvh import read_bvh
from closefit.learning.motions.editing import join_people, resample
from closefit.learning.motions.floor import set_on_floor
from closefit.learning.motions.reading import read_motion
from closefit.learning.motions.retargeting import retarget
from closefit.learning.motions.skeletons import Z_UP_TO_Y_UP, SourceMotion
from closefit.records import PairMotion
from tests.unit.learning.motions.conftest import MakeMotion, joints_of


def source_of(motion: PairMotion, body: Body) -> SourceMotion:
    """The motion of the first person as a file with our own skeleton would give it."""
    world = [motion.rotations[:, 0, 0].astype(np.float64)]
    for joint in range(1, 24):
        world.append(world[PARENTS[joint]] @ motion.rotations[:, 0, joint])
    return SourceMotion(
        joint_names=JOINT_NAMES,
        rest_joints=body.joints_template.numpy().astype(np.float64),
        rotations_world=np.stack(world, axis=1),
        joints=joints_of(motion, body)[:, 0].astype(np.float64),
        unit_m=None,
        fps=30.0,
        name="known",
        origin="known.bvh",
    )


@pytest.fixture
def source(make_motion: MakeMotion, body: Body) -> SourceMotion:
    return source_of(make_motion(people=1), body)


def rotations_agree(first: PairMotion, second: PairMotion, tolerance: float = 1e-4) -> bool:
    return bool(np.abs(first.rotations - second.rotations).max() < tolerance)


def test_own_skeleton_comes_back_unchanged(
    make_motion: MakeMotion, source: SourceMotion, body: Body
) -> None:
    truth = make_motion(people=1)
    result = retarget(source, body)
    assert rotations_agree(result, truth)
    assert np.abs(result.betas).max() < 1e-3
    moved = result.pelvis_m - truth.pelvis_m
    assert np.abs(moved[..., [0, 2]]).max() < 1e-4
    assert np.abs(moved[..., 1]).max() < 1e-4


def test_what_we_export_as_bvh_is_read_back(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    truth = make_motion(people=1, fps=25.0)
    path = tmp_path / "person_0.bvh"
    rest = body.joints_template.numpy()
    write_bvh(path, rest, truth.rotations[:, 0], truth.pelvis_m[:, 0], 25.0)
    (result,) = read_motion(path, body)
    assert float(result.fps) == 25.0
    assert rotations_agree(result, truth)


def test_people_of_one_folder_are_joined_by_name(
    tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    truth = make_motion()
    rest = body.joints_template.numpy()
    for person, name in enumerate(("60_05", "61_05")):
        rotations, pelvis = truth.rotations[:, person], truth.pelvis_m[:, person]
        write_bvh(tmp_path / f"{name}.bvh", rest, rotations, pelvis, 30.0)
    write_bvh(tmp_path / "61_06.bvh", rest, truth.rotations[:, 0], truth.pelvis_m[:, 0], 30.0)
    pair, single = read_motion(tmp_path, body)
    assert str(pair.name) == "60_05+61_05"
    assert rotations_agree(pair, truth)
    apart = np.diff(pair.pelvis_m, axis=1) - np.diff(truth.pelvis_m, axis=1)
    assert np.abs(apart[..., [0, 2]]).max() < 1e-4
    assert single.rotations.shape[1] == 1


def test_rest_pose_of_the_file_does_not_matter(source: SourceMotion, body: Body) -> None:
    """Rotations are relative to the rest pose, so another one changes the numbers only."""
    turns = np.repeat(np.eye(3)[None], 24, axis=0)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        arm = Rotation.from_euler("z", sign * 50, degrees=True).as_matrix()
        for part in ("shoulder", "elbow", "wrist", "hand"):
            turns[JOINT_INDEX[f"{side}_{part}"]] = arm
        leg = Rotation.from_euler("z", -sign * 20, degrees=True).as_matrix()
        for part in ("hip", "knee"):
            turns[JOINT_INDEX[f"{side}_{part}"]] = leg
    rest = source.rest_joints.copy()
    for joint in range(1, 24):
        parent = PARENTS[joint]
        bone = source.rest_joints[joint] - source.rest_joints[parent]
        rest[joint] = rest[parent] + turns[parent] @ bone
    other = dataclasses.replace(
        source, rest_joints=rest, rotations_world=source.rotations_world @ turns.swapaxes(1, 2)
    )
    assert rotations_agree(retarget(other, body), retarget(source, body))


def test_direction_of_the_rest_pose_does_not_matter(source: SourceMotion, body: Body) -> None:
    yaw = Rotation.from_euler("y", 110, degrees=True).as_matrix()
    other = dataclasses.replace(
        source,
        rest_joints=source.rest_joints @ yaw.T,
        rotations_world=source.rotations_world @ yaw.T,
    )
    assert rotations_agree(retarget(other, body), retarget(source, body))


def test_turning_the_world_turns_the_result(source: SourceMotion, body: Body) -> None:
    yaw = Rotation.from_euler("y", 70, degrees=True).as_matrix()
    turned = retarget(source.turned(yaw), body)
    straight = retarget(source, body)
    assert np.abs(turned.pelvis_m - straight.pelvis_m @ yaw.T).max() < 1e-5
    assert np.abs(joints_of(turned, body) - joints_of(straight, body) @ yaw.T).max() < 1e-5


def test_axes_with_z_up_become_y_up(source: SourceMotion, body: Body) -> None:
    z_up = source.turned(Z_UP_TO_Y_UP.T)
    assert z_up.joints[..., 2].max() > 1.4
    result, expected = retarget(z_up, body), retarget(source, body)
    assert rotations_agree(result, expected)
    np.testing.assert_allclose(result.pelvis_m, expected.pelvis_m, atol=1e-5)


def test_rest_pose_that_does_not_stand_is_refused(source: SourceMotion, body: Body) -> None:
    lying = source.turned(Rotation.from_euler("z", 90, degrees=True).as_matrix())
    with pytest.raises(InputError, match=r"rest pose of `known.bvh` does not stand"):
        retarget(lying, body)


@pytest.mark.parametrize("units_per_m", [1.0, 100.0, 1000.0])
def test_usual_units_are_recognised(source: SourceMotion, body: Body, units_per_m: float) -> None:
    scaled = dataclasses.replace(
        source, rest_joints=units_per_m * source.rest_joints, joints=units_per_m * source.joints
    )
    result, expected = retarget(scaled, body), retarget(source, body)
    np.testing.assert_allclose(result.pelvis_m, expected.pelvis_m, atol=1e-5)
    np.testing.assert_allclose(result.betas, expected.betas, atol=1e-4)


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_people_of_17_m_or_17_cm_are_refused(
    source: SourceMotion, body: Body, factor: float
) -> None:
    scaled = dataclasses.replace(
        source, rest_joints=factor * source.rest_joints, joints=factor * source.joints
    )
    with pytest.raises(InputError, match=r"`known.bvh` is about (17|0.17)[.\d]* m tall") as caught:
        retarget(scaled, body)
    assert "--unit" in caught.value.hint
    right = retarget(scaled, body, unit_m=1.0 / factor)
    np.testing.assert_allclose(right.pelvis_m, retarget(source, body).pelvis_m, atol=1e-5)


def test_a_taller_source_gives_a_taller_body(source: SourceMotion, body: Body) -> None:
    taller = dataclasses.replace(
        source, rest_joints=1.1 * source.rest_joints, joints=1.1 * source.joints, unit_m=1.0
    )
    heights = [
        float(Stature(body)(torch.from_numpy(retarget(motion, body).betas)))
        for motion in (source, taller)
    ]
    assert heights[1] / heights[0] == pytest.approx(1.1, abs=0.03)


@pytest.mark.parametrize("lift_m", [0.0, 0.7, -2.0])
def test_whoever_stands_stands_on_the_floor(
    make_motion: MakeMotion, body: Body, lift_m: float
) -> None:
    standing = make_motion(people=1)
    standing.rotations[:] = np.eye(3)
    standing.pelvis_m[..., 1] = 0.9 + lift_m
    pelvis = set_on_floor(standing, body).pelvis_m
    sole = body.v_template[:, 1].min() - body.joints_template[0, 1]
    np.testing.assert_allclose(pelvis[..., 1], -float(sole), atol=1e-4)


def test_who_is_lifted_stays_above_the_floor(make_motion: MakeMotion, body: Body) -> None:
    motion = make_motion()
    motion.rotations[:] = np.eye(3)
    motion.pelvis_m[:, :, 1] = 1.0
    motion.pelvis_m[:, 1, 1] += 0.05  # a longer leg than the body's
    floored = set_on_floor(motion, body).pelvis_m
    np.testing.assert_allclose(floored[:, 0, 1], floored[:, 1, 1], atol=1e-5)
    motion.pelvis_m[:, 1, 1] += 0.5  # carried
    floored = set_on_floor(motion, body).pelvis_m
    np.testing.assert_allclose(floored[:, 1, 1] - floored[:, 0, 1], 0.55, atol=1e-5)


def test_missing_spine_joints_get_their_share(source: SourceMotion, body: Body) -> None:
    keep = [i for i, name in enumerate(JOINT_NAMES) if name not in ("spine2", "left_collar")]
    fewer = dataclasses.replace(
        source,
        joint_names=tuple(JOINT_NAMES[i] for i in keep),
        rest_joints=source.rest_joints[keep],
        rotations_world=source.rotations_world[:, keep],
        joints=source.joints[:, keep],
    )
    result, full = retarget(fewer, body), retarget(source, body)
    half = result.rotations[:, 0, JOINT_INDEX["spine2"]]
    np.testing.assert_allclose(half, result.rotations[:, 0, JOINT_INDEX["spine3"]], atol=1e-5)
    np.testing.assert_allclose(
        joints_of(result, body)[:, :, JOINT_INDEX["left_knee"]],
        joints_of(full, body)[:, :, JOINT_INDEX["left_knee"]],
        atol=1e-5,
    )
    collar = result.rotations[:, 0, JOINT_INDEX["left_collar"]]
    np.testing.assert_allclose(collar, np.broadcast_to(np.eye(3), collar.shape), atol=1e-5)


def test_unknown_skeleton_is_refused(source: SourceMotion, body: Body) -> None:
    other = dataclasses.replace(source, joint_names=tuple(f"bone{i}" for i in range(24)))
    with pytest.raises(InputError, match=r"`known.bvh` is of no known kind.*`bone0`"):
        retarget(other, body)


def test_missing_values_are_refused(source: SourceMotion, body: Body) -> None:
    joints = source.joints.copy()
    joints[3, 5] = np.nan
    with pytest.raises(InputError, match=r"`known.bvh` holds values that are not numbers"):
        retarget(dataclasses.replace(source, joints=joints), body)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_damaged_bvh_is_refused(
    tmp_path: Path, make_motion: MakeMotion, body: Body, share: float
) -> None:
    motion = make_motion(people=1, frames=5)
    path = tmp_path / "cut.bvh"
    rest = body.joints_template.numpy()
    write_bvh(path, rest, motion.rotations[:, 0], motion.pelvis_m[:, 0], 30.0)
    text = path.read_text().rstrip()
    path.write_text(text[: int(share * len(text)) // 200 * 200])
    with pytest.raises(InputError, match=r"`.*cut.bvh` cannot be used"):
        read_bvh(path)


def test_salsa_agrees_with_a_refined_retarget_of_it(
    shared: Path, tmp_path: Path, body: Body
) -> None:
    """A rendered clip holds frames 52 to 123 of the first pair, retargeted by other code."""
    with tarfile.open(shared / "mocap" / "cmu_salsa_60_61_bvh.tar.xz") as archive:
        for member in archive:
            if "_01" in member.name:
                archive.extract(member, tmp_path, filter="data")
    people = [
        resample(read_motion(next(tmp_path.rglob(f"{subject}_01*.bvh")), body)[0], 30.0)
        for subject in (60, 61)
    ]
    joints = joints_of(join_people(*people), body)[52:124]
    with np.load(shared / "clips" / "synth" / "dev_01" / "truth.npz") as truth:
        expected = truth["joints3d"]
    ours, theirs = (x - x[:, :, :1] for x in (joints, expected))
    turn, _ = Rotation.align_vectors(theirs.reshape(-1, 3), ours.reshape(-1, 3))
    error = np.linalg.norm(ours @ turn.as_matrix().T - theirs, axis=-1)
    assert error[:, :, EVALUATION_JOINTS].mean() < 0.04
    between = (joints[:, 1, 0] - joints[:, 0, 0]) @ turn.as_matrix().T
    assert np.linalg.norm(between - (expected[:, 1, 0] - expected[:, 0, 0]), axis=-1).mean() < 0.06
