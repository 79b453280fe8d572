"""Laws of training data: windows, virtual cameras, simulated detections, masks."""

import dataclasses

import pytest
import torch

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.body.skeleton import JOINT_INDEX
from closefit.learning.motions.shards import MotionShards
from closefit.learning.training.batches import DataRanges, draw_minibatch, draw_windows
from closefit.learning.training.windows import Augmentation, WindowSource
from closefit.prior.diffusion import LOWEST_TIMESTEP
from closefit.prior.masking import MaskingConfig, hidden_frames, hidden_keypoints, random_spans
from closefit.prior.objective import GeometryOf
from closefit.prior.state import decode
from closefit.simulation.cameras import CameraRanges, film
from closefit.simulation.detections import (
    DetectorRanges,
)

COUNT = 64


@pytest.fixture(scope="module")
def source(shards: MotionShards, body: Body) -> WindowSource:
    return WindowSource([shards], [1.0], body)


@pytest.fixture(scope="module")
def geometry_of(body: Body) -> GeometryOf:
    return GeometryOf(body)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_generator_alone_decides_a_batch(source: WindowSource, geometry_of: GeometryOf) -> None:
    first, again, other = (
        draw_minibatch(source, geometry_of, 8, DataRanges(), seeded(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.state, again.state)
    assert torch.equal(first.conditions.keypoints, again.conditions.keypoints)
    assert not torch.equal(first.state, other.state)


def test_the_state_describes_the_truth(source: WindowSource, geometry_of: GeometryOf) -> None:
    batch = draw_minibatch(source, geometry_of, 16, DataRanges(), seeded())
    found = decode(batch.state, batch.view)
    torch.testing.assert_close(found.pelvis_m, batch.truth.pelvis_m, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.rotations, batch.truth.rotations, atol=1e-4, rtol=0)


def test_a_faster_pace_moves_more_in_a_window(source: WindowSource) -> None:
    plain = Augmentation(pace=(1.0, 1.0), mirror_probability=0.0, shape_std=0.0, partner_std=0.0)
    window = source.draw(4, plain, seeded())
    speed = (window.rotations[:, 1:] - window.rotations[:, :-1]).norm(dim=-1).amax((1, 2, 3, 4))
    faster = source.draw(4, dataclasses.replace(plain, pace=(2.0, 2.0)), seeded())
    twice = (faster.rotations[:, 1:] - faster.rotations[:, :-1]).norm(dim=-1).amax((1, 2, 3, 4))
    assert bool((twice > 1.2 * speed).all())
    assert window.betas.shape == (4, 16, 2, 10)


def test_mirroring_twice_changes_nothing_and_once_swaps_the_hands(body: Body) -> None:
    torch.manual_seed(0)
    rotations = torch.linalg.qr(torch.randn(3, 5, 24, 3, 3)).Q
    rotations = rotations * torch.det(rotations).sign()[..., None, None]
    pose = PairPose(rotations, torch.zeros(3, 5, 10), torch.randn(3, 5, 3))
    once = pose.mirrored()
    twice = once.mirrored()
    torch.testing.assert_close(twice.rotations, pose.rotations)
    torch.testing.assert_close(twice.pelvis_m, pose.pelvis_m)
    betas, nowhere = torch.zeros(10), torch.zeros(3)
    before = body.joints(pose.rotations[0], betas, nowhere)
    after = body.joints(once.rotations[0], betas, nowhere)
    left, right = JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]
    reflected = before[:, left] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(after[:, right], reflected, atol=2e-2, rtol=0)


def test_filming_keeps_everything_between_the_people(
    source: WindowSource, geometry_of: GeometryOf
) -> None:
    world = source.draw(COUNT, Augmentation(), seeded())
    pose, _ = film(world, CameraRanges(), seeded(1))
    before, after = geometry_of(world).joints, geometry_of(pose).joints

    def distances(joints: torch.Tensor) -> torch.Tensor:
        return torch.cdist(joints[:, :, 0], joints[:, :, 1])

    torch.testing.assert_close(distances(after), distances(before), atol=1e-3, rtol=1e-3)
    assert float(pose.pelvis_m[..., 2].min()) >= 1.0 - 1e-4


def test_people_are_upright_in_the_image(source: WindowSource, geometry_of: GeometryOf) -> None:
    pose, _ = film(source.draw(COUNT, Augmentation(), seeded()), CameraRanges(), seeded(1))
    joints = geometry_of(pose).joints
    down = joints[..., JOINT_INDEX["left_ankle"], 1] - joints[..., JOINT_INDEX["neck"], 1]
    assert bool((down > 0.3).all())


def test_clean_windows_are_exact(source: WindowSource, geometry_of: GeometryOf) -> None:
    exact = DetectorRanges(clean_probability=1.0, miss_probability=0.0)
    filmed = draw_windows(source, geometry_of, 8, DataRanges(detector=exact), seeded())
    known = filmed.keypoints[..., 2] > 0
    found = filmed.keypoints[..., :2][known]
    torch.testing.assert_close(found, filmed.geometry.keypoints[known])


def test_the_timestep_of_x1_has_its_share(source: WindowSource, geometry_of: GeometryOf) -> None:
    for share in (0.0, 0.5, 1.0):
        ranges = DataRanges(lowest_share=share)
        drawn = draw_minibatch(source, geometry_of, 256, ranges, seeded()).timestep
        lowest = float((drawn == LOWEST_TIMESTEP).float().mean())
        assert lowest == pytest.approx(share, abs=0.09)


def test_masks_hide_as_often_as_they_should() -> None:
    config = MaskingConfig(span_probability=0.4, person_probability=0.2, nobody_probability=0.1)
    hidden = hidden_frames(4000, 16, config, seeded())
    whole = hidden.all(1)
    assert float(whole.any(1).float().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(whole.all(1).float().mean()) == pytest.approx(0.1, abs=0.02)
    partly = hidden.any(1).any(1) & ~whole.any(1)
    assert float(partly.float().mean()) == pytest.approx(0.4 * 0.7, abs=0.03)
    assert float(hidden[~whole.any(1)].float().sum(1).max()) <= 8


def test_spans_are_runs_of_at_most_the_share() -> None:
    spans = random_spans((500, 2), 16, 0.5, seeded())
    length = spans.sum(-1)
    assert int(length.min()) >= 1
    assert int(length.max()) <= 8
    changes = (spans[..., 1:] != spans[..., :-1]).sum(-1)
    assert int(changes.max()) <= 2


def test_some_keypoints_are_hidden_for_a_run_of_frames() -> None:
    hidden = hidden_keypoints(500, 16, 17, MaskingConfig(part_probability=0.5), seeded())
    people = hidden.any(1).any(-1)
    assert float(people.float().mean()) == pytest.approx(0.5, abs=0.06)
    # In the frames of the run the same keypoints are hidden.
    for window in hidden[people.any(1)][:20]:
        for person in range(2):
            shown = window[:, person][window[:, person].any(1)]
            assert bool((shown == shown[:1]).all())
