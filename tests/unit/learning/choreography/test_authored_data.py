"""The authored poses and scenes: names that exist, angles that a body can take, mirror symmetry."""

import pytest
import torch

from closefit.body.joint_limits import JointLimits
from closefit.body.pose import mirrored_pose
from closefit.learning.choreography.angles import (
    ANGLE_NAMES,
    angle_row,
    rotations_from_angles,
)
from closefit.learning.choreography.authored import POSES, SCENES
from closefit.learning.choreography.capsules import NAMES
from closefit.learning.choreography.sites import PLACES


def test_scenes_use_poses_and_sites_that_exist() -> None:
    for scenes in SCENES.values():
        for moment in (moment for scene in scenes for moment in scene.moments):
            assert set(moment.poses) <= set(POSES)
            assert {site for pair in moment.contacts for site in pair} <= set(PLACES)


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
