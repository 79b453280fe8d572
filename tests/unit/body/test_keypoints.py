from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from closefit.body.keypoints import KEYPOINT_SETS, KeypointRegressor
from closefit.body.model import Body, PosedBody
from closefit.body.skeleton import JOINT_INDEX
from closefit.errors import WeightsError
from closefit.fit.reprojection import KeypointProjector

SIZES = {"coco17": 17, "coco17_detected": 17, "halpe26": 26, "openpose25": 25, "lsp14": 14}


def keypoint_positions(body: Body, posed: PosedBody, name: str) -> torch.Tensor:
    regressor = KeypointRegressor(body, name)
    return regressor.of(replace(posed, vertices=posed.vertices[..., regressor.vertex_indices, :]))


@pytest.mark.parametrize("name", SIZES)
def test_sets_have_their_size_and_known_places(name: str) -> None:
    keypoints = KEYPOINT_SETS[name]
    assert len(keypoints.names) == SIZES[name]
    known = {
        "coco17": {0: "nose", 5: "left_shoulder", 10: "right_wrist", 16: "right_ankle"},
        "coco17_detected": {0: "nose", 6: "right_shoulder", 15: "left_ankle"},
        "halpe26": {
            17: "head_top",
            18: "neck",
            19: "mid_hip",
            20: "left_big_toe",
            25: "right_heel",
        },
        "openpose25": {
            1: "neck",
            2: "right_shoulder",
            8: "mid_hip",
            15: "right_eye",
            24: "right_heel",
        },
        "lsp14": {
            0: "right_ankle",
            5: "left_ankle",
            8: "right_shoulder",
            12: "neck",
            13: "head_top",
        },
    }
    assert {place: keypoints.names[place] for place in known[name]} == known[name]


@pytest.mark.parametrize("name", SIZES)
def test_swapping_sides_twice_changes_nothing(name: str) -> None:
    swap = KEYPOINT_SETS[name].swap
    assert [swap[other] for other in swap] == list(range(SIZES[name]))
    assert sum(place != other for place, other in enumerate(swap)) >= 12


@pytest.mark.parametrize("name", SIZES)
def test_limbs_connect_all_keypoints_and_are_symmetric(name: str) -> None:
    keypoints = KEYPOINT_SETS[name]
    limbs = {frozenset(limb) for limb in keypoints.limbs}
    assert {frozenset(keypoints.swap[end] for end in limb) for limb in limbs} == limbs
    assert {end for limb in limbs for end in limb} == set(range(SIZES[name]))


@pytest.mark.parametrize("name", SIZES)
def test_regressor_needs_only_its_vertices(body: Body, name: str) -> None:
    rotations, betas, transl = roma.random_rotmat((3, 24)), torch.randn(10), torch.randn(3, 3)
    regressor = KeypointRegressor(body, name)
    few = regressor.of(body.subset(regressor.vertex_indices).pose(rotations, betas, transl))
    every = keypoint_positions(body, body.pose(rotations, betas, transl), name)
    assert few.shape == (3, SIZES[name], 3)
    torch.testing.assert_close(few, every)


@pytest.mark.parametrize("name", SIZES)
def test_what_a_fit_projects_is_the_set(body: Body, name: str) -> None:
    rotations, betas, transl = roma.random_rotmat((3, 24)), torch.randn(10), torch.randn(3, 3)
    joints, keypoints = KeypointProjector(body, name).keypoints(rotations, betas, transl)
    posed = body.pose(rotations, betas, transl)
    torch.testing.assert_close(joints, posed.joints)
    torch.testing.assert_close(keypoints, keypoint_positions(body, posed, name))


def test_limb_keypoints_are_joints_and_middles_are_means(body: Body) -> None:
    posed = body.pose(roma.random_rotmat((24,)), torch.randn(10), torch.randn(3))
    keypoints = keypoint_positions(body, posed, "openpose25")
    shoulders = posed.joints[[JOINT_INDEX["left_shoulder"], JOINT_INDEX["right_shoulder"]]]
    torch.testing.assert_close(keypoints[1], shoulders.mean(0))
    torch.testing.assert_close(keypoints[4], posed.joints[JOINT_INDEX["right_wrist"]])


def test_keypoints_of_the_rest_body_lie_where_anatomy_has_them(body: Body) -> None:
    rest = body.pose(torch.eye(3).expand(24, 3, 3), torch.zeros(10), torch.zeros(3))
    names = KEYPOINT_SETS["halpe26"].names
    at = dict(zip(names, keypoint_positions(body, rest, "halpe26"), strict=True))
    assert at["head_top"][1] > at["left_eye"][1] > at["nose"][1] > at["neck"][1]
    assert at["left_ear"][0] > at["left_eye"][0] > at["nose"][0] > at["right_eye"][0]
    assert at["nose"][2] > at["left_eye"][2] > at["left_ear"][2]
    assert at["left_small_toe"][0] > at["left_big_toe"][0] > 0
    assert at["left_big_toe"][2] > at["left_ankle"][2] > at["left_heel"][2]
    torch.testing.assert_close(
        at["left_heel"] * torch.tensor([-1.0, 1.0, 1.0]), at["right_heel"], atol=1e-5, rtol=0
    )


def test_detected_points_are_fixed_to_their_bones(body: Body) -> None:
    rotations, transl = roma.random_rotmat((8, 24)), torch.randn(8, 3)
    posed = body.pose(rotations, torch.randn(10), transl)
    moved = keypoint_positions(body, posed, "coco17_detected")
    shift = moved - keypoint_positions(body, posed, "coco17")
    for name, (joint, offset_m) in KEYPOINT_SETS["coco17_detected"].offsets_m.items():
        column = KEYPOINT_SETS["coco17"].names.index(name)
        axes = posed.transforms[:, JOINT_INDEX[joint], :3, :3]
        in_axes = (axes.mT @ shift[:, column, :, None])[..., 0]
        torch.testing.assert_close(in_axes, torch.tensor(offset_m).expand(8, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(shift[:, :5], torch.zeros(8, 5, 3))


def test_detected_points_of_a_mirrored_person_are_mirrored(body: Body) -> None:
    rest = body.pose(torch.eye(3).expand(24, 3, 3), torch.zeros(10), torch.zeros(3))
    keypoints = keypoint_positions(body, rest, "coco17_detected")[5:]
    swapped = [place - 5 for place in KEYPOINT_SETS["coco17_detected"].swap[5:]]
    torch.testing.assert_close(
        keypoints[swapped] * torch.tensor([-1.0, 1.0, 1.0]), keypoints, atol=1e-4, rtol=0
    )


def test_detected_points_are_known_of_the_free_body_only(body: Body) -> None:
    other = replace(body, name="smpl")
    posed = other.pose(roma.random_rotmat((24,)), torch.randn(10), torch.randn(3))
    torch.testing.assert_close(
        keypoint_positions(other, posed, "coco17_detected"),
        keypoint_positions(other, posed, "coco17"),
    )


def test_missing_landmark_is_an_error_with_a_way_out(body: Body) -> None:
    without = body.subset(torch.arange(10))
    with pytest.raises(WeightsError, match="no landmark `nose`, which `coco17` needs") as caught:
        KeypointRegressor(without, "coco17")
    assert "body that closefit ships" in caught.value.hint


def test_keypoints_of_the_shared_clips_are_reproduced(shared) -> None:
    body = Body.load(shared / "clips/synth/body.npz")
    with np.load(shared / "clips/synth/dev_02/truth.npz") as truth:
        arrays = {key: torch.tensor(truth[key]) for key in ("rotations", "betas", "transl", "K")}
        expected_px = torch.tensor(truth["keypoints2d"])
    regressor = KeypointRegressor(body, "coco17")
    transl = arrays["transl"] - body.rest(arrays["betas"]).joints[:, 0]
    few = body.subset(regressor.vertex_indices)
    keypoints = regressor.of(few.pose(arrays["rotations"], arrays["betas"], transl))
    projected = keypoints @ arrays["K"].float().T
    pixels = projected[..., :2] / projected[..., 2:]
    torch.testing.assert_close(pixels, expected_px, atol=0.01, rtol=0)
