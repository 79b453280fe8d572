"""The authored poses and scenes: angles that a body can take, mirror symmetry, malformed tables."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from closefit.body.joint_limits import JointLimits
from closefit.body.pose import mirrored_pose
from closefit.learning.choreography.angles import (
    ANGLE_NAMES,
    angle_row,
    rotations_from_angles,
)
from closefit.learning.choreography.authored import POSES, poses_of, scenes_of
from closefit.learning.choreography.capsules import NAMES
from closefit.learning.choreography.sites import places_of


def test_poses_rest_on_parts_that_exist() -> None:
    for pose in POSES.values():
        for part in pose.rests_on:
            assert any(name.endswith(part) for name in NAMES), part


def test_poses_are_within_joint_limits() -> None:
    prior = JointLimits.create("cpu", torch.float32)
    rows = torch.stack([torch.as_tensor(angle_row(pose.angles)) for pose in POSES.values()])
    deviation = prior.deviation(rotations_from_angles(rows.float()))
    excess = torch.relu(prior.low[1:] - deviation) + torch.relu(deviation - prior.high[1:])
    assert torch.rad2deg(excess.mean()) < 1.0


def test_swapped_sides_are_the_mirror_image() -> None:
    row = angle_row({"left_shoulder": (70, 40, 10), "right_knee": 60, "spine": (10, 20, 5)})
    other = angle_row({"right_shoulder": (70, 40, 10), "left_knee": 60, "spine": (10, -20, -5)})
    both = rotations_from_angles(torch.stack([torch.as_tensor(row), torch.as_tensor(other)]))
    torch.testing.assert_close(mirrored_pose(both[0]), both[1])


def test_unknown_groups_and_too_many_angles_are_refused() -> None:
    with pytest.raises(ValueError, match="has 1 angles"):
        angle_row({"left_knee": (10, 20)})
    with pytest.raises(KeyError):
        angle_row({"tail": 10})
    assert len(set(ANGLE_NAMES)) == len(ANGLE_NAMES)


HUG = {"poses": ("relaxed", "relaxed"), "ahead_m": 0.3}
SITE = {"parts": ("head",), "joints": ("head",), "facing": "up"}


def scene(**fields: Any) -> dict[str, Any]:
    moments = {"apart": HUG}
    return {"durations_s": {}, "moments": moments, "kinds": {"hug": ({"moments": (fields,)},)}}


def pose(**fields: Any) -> dict[str, Any]:
    return {"parts": {"stand": {"both": {"knee": 9}}}, "standing": {"tall": fields}}


def site(**fields: Any) -> dict[str, Any]:
    return {"middle": {"crown": SITE | fields}, "sided": {}}


@pytest.mark.parametrize(
    ("read", "table", "message"),
    [
        (poses_of, pose(parts=("stnd",)), r"poses.toml: pose `tall`: there is no 'stnd'"),
        (poses_of, pose(both={"tail": 10}), r"pose `tall`: there is no 'left_tail'"),
        (poses_of, pose(both={"knee": (10, 20)}), r"pose `tall`: `left_knee` has 1 angles, not 2"),
        (poses_of, pose(flaoting=True), r"pose `tall`: .*unexpected keyword argument 'flaoting'"),
        (poses_of, pose(jitter_deg="4"), r"pose `tall`: `jitter_deg` cannot be `4`"),
        (scenes_of, scene(poses=("relaxed", "relaxed")), r"`hug`: .*missing.* 'ahead_m'"),
        (scenes_of, scene(**HUG, hold_s="lnog"), r"scene 1 of `hug`: there is no 'lnog'"),
        (scenes_of, scene(**HUG, hold_s=(2.0, 1.0)), r"`hold_s` cannot be `\(2.0, 1.0\)`"),
        (scenes_of, scene(like="aprt"), r"scene 1 of `hug`: there is no 'aprt'"),
        (scenes_of, scene(like="apart", poses=("tall", "relaxed")), r"there is no 'tall'"),
        (scenes_of, scene(like="apart", contacts=("nape",)), r"is not a contact"),
        (scenes_of, scene(like="apart", contacts=("both palm > tail",)), r"is not a contact"),
        (places_of, site(joints=("tail",)), r"sites.toml: site `crown`: no such joints"),
        (places_of, site(facing="sideways"), r"site `crown`: there is no 'sideways'"),
        (places_of, site(offset=(0.1, 0.2)), r"site `crown`: `offset` cannot be"),
    ],
)
def test_malformed_tables_name_the_entry_and_the_problem(
    read: Callable[[Mapping[str, Any]], object], table: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read(table)
