"""Laws of virtual cameras and of simulated detections."""

import dataclasses

import pytest
import torch

from closefit.body.keypoints import COCO17_FACE
from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.models import weights
from closefit.prior.objective import GeometryOf, PairGeometry
from closefit.simulation.cameras import Cameras, camera_from_world
from closefit.simulation.detections import CHOICES, ERRORS, DetectorRanges, detect, lasting_noise
from closefit.simulation.occlusion import hidden_keypoints


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load(weights.locate("closefit_body"))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_camera_that_is_pitched_sees_the_horizon_above() -> None:
    zero = torch.zeros(1)
    turn = camera_from_world(zero, torch.full((1,), 0.3), zero)[0]
    horizon = turn @ torch.tensor([0.0, 0.0, -1.0])
    assert float(horizon[2]) > 0
    assert float(horizon[1]) < 0  # image y points down
    torch.testing.assert_close(turn @ turn.T, torch.eye(3), atol=1e-6, rtol=0)


def facing_pair(body: Body, front: int) -> tuple[PairPose, PairGeometry]:
    """Two upright people on the optical axis, person `front` 1 m nearer to the camera."""
    rotations = torch.eye(3).expand(1, 16, 2, 24, 3, 3).clone()
    rotations[..., 0, :, :] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    depth = torch.tensor([4.0, 4.0])
    depth[front] = 3.0
    place = torch.zeros(1, 16, 2, 3)
    place[..., 2] = depth
    pose = PairPose(rotations, torch.zeros(1, 16, 2, 10), place)
    return pose, GeometryOf(body)(pose)


@pytest.mark.parametrize("front", [0, 1])
def test_who_stands_behind_is_hidden_and_who_stands_before_is_not(body: Body, front: int) -> None:
    pose, geometry = facing_pair(body, front)
    by_other, _ = hidden_keypoints(pose, geometry)
    hips = [11, 12]
    assert bool(by_other[:, :, 1 - front, hips].all())
    assert not bool(by_other[:, :, front].any())


def test_the_back_of_the_head_hides_the_face(body: Body) -> None:
    pose, geometry = facing_pair(body, 0)
    _, by_self = hidden_keypoints(pose, geometry)
    assert not bool(by_self[..., COCO17_FACE].any())
    turned = pose.rotations.clone()
    turned[..., 0, :, :] = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    away = dataclasses.replace(pose, rotations=turned)
    _, by_self = hidden_keypoints(away, GeometryOf(body)(away))
    assert bool(by_self[..., COCO17_FACE].all())


FILMED = 200
QUIET = DetectorRanges(
    swap_probability=0.0, swap_run_probability=0.0, clean_probability=0.0, miss_probability=0.0
)


def filmed_often(body: Body, ranges: DetectorRanges) -> tuple[PairPose, PairGeometry, torch.Tensor]:
    """Person 0 before person 1 in many windows, and their detections."""
    pose, geometry = facing_pair(body, 0)
    many = PairPose(*(v.expand(FILMED, *v.shape[1:]) for v in
                      (pose.rotations, pose.betas, pose.pelvis_m)))  # fmt: skip
    shown = PairGeometry(geometry.joints.expand(FILMED, -1, -1, -1, -1),
                         geometry.keypoints.expand(FILMED, -1, -1, -1, -1))  # fmt: skip
    cameras = Cameras(torch.ones(FILMED), torch.full((FILMED,), 1.5))
    return many, shown, detect(many, shown, shown.keypoints, cameras, ranges, seeded())[0]


def test_hidden_keypoints_are_worse_and_less_sure(body: Body) -> None:
    many, shown, found = filmed_often(body, dataclasses.replace(QUIET, lost_beyond=(2.0, 2.0)))
    hidden, _ = hidden_keypoints(many, shown)
    error = (found[..., :2] - shown.keypoints).norm(dim=-1)
    known = found[..., 2] > 0
    known[..., COCO17_FACE] = False
    assert error[hidden & known].mean() > 1.5 * error[~hidden & known].mean()
    assert found[..., 2][hidden & known].mean() < found[..., 2][~hidden & known].mean() - 0.2


@pytest.mark.parametrize("parts", [ERRORS, CHOICES])
def test_noise_lasts(parts: tuple[float, float, float]) -> None:
    lasting, fleeting, memory = parts
    noise = lasting_noise((400, 16, 2, 17, 2), parts, seeded())
    assert float(noise.std()) == pytest.approx(1.0, abs=0.02)
    for lag in (1, 4, 15):
        together = float((noise[:, lag:] * noise[:, :-lag]).mean())
        assert together == pytest.approx(lasting + fleeting * memory**lag, abs=0.03)


def test_who_is_hidden_is_not_found_while_the_other_is(body: Body) -> None:
    _, _, found = filmed_often(body, QUIET)
    nobody = ~(found[..., 2] > 0).any(-1)
    assert float(nobody[..., 1].float().mean()) > 0.5
    assert not bool(nobody[..., 0].any())
    assert bool((nobody == nobody[:, :1]).all())  # people who stand still stay hidden


def test_doubt_is_where_errors_are(body: Body) -> None:
    _, shown, found = filmed_often(body, QUIET)
    error = (found[..., :2] - shown.keypoints).norm(dim=-1)
    front, faces = (found[:, :, 0, :, 2], error[:, :, 0]), COCO17_FACE
    confidence, error = (value.clone() for value in front)
    error[..., faces] = torch.nan
    doubtful, sure = error[confidence < 0.3].nanmean(), error[confidence > 0.9].nanmean()
    assert float(doubtful) > 3.0 * float(sure)


def test_windows_are_detected_where_networks_see_joints(body: Body) -> None:
    pose, geometry = facing_pair(body, 0)
    elsewhere = geometry.keypoints + 0.5
    cameras = Cameras(torch.ones(1), torch.full((1,), 1.5))
    wide = dataclasses.replace(QUIET, edge_probability=0.0, lost_beyond=(2.0, 2.0))
    for probability, expected in ((0.0, geometry.keypoints), (1.0, elsewhere)):
        ranges = dataclasses.replace(wide, detected_probability=probability)
        found, _ = detect(pose, geometry, elsewhere, cameras, ranges, seeded())
        off = (found[..., :2] - expected).norm(dim=-1)[found[..., 2] > 0]
        assert float(off.median()) < 0.02


def test_what_leaves_the_picture_stops_at_its_edge(body: Body) -> None:
    pose, geometry = facing_pair(body, 0)
    close = Cameras(torch.full((1,), 6.0), torch.ones(1))
    ranges = dataclasses.replace(QUIET, edge_probability=1.0, lost_beyond=(2.0, 2.0))
    found, _ = detect(pose, geometry, geometry.keypoints, close, ranges, seeded())
    outside = ~close.inside(geometry.keypoints)
    assert bool(outside.any())
    assert float(found[..., :2].abs().max()) <= 0.5 / 6.0 + 1e-6
    assert float(found[..., 2][outside].mean()) < 0.5 * float(found[..., 2][~outside].mean())


def test_people_who_overlap_are_swapped_in_the_frames_that_are_returned(body: Body) -> None:
    pose, geometry = facing_pair(body, 0)
    cameras = Cameras(torch.ones(1), torch.full((1,), 1.5))
    ranges = dataclasses.replace(QUIET, lost_beyond=(2.0, 2.0))
    plain, none = detect(pose, geometry, geometry.keypoints, cameras, ranges, seeded())
    ranges = dataclasses.replace(ranges, swap_run_probability=1.0)
    found, swapped = detect(pose, geometry, geometry.keypoints, cameras, ranges, seeded())
    assert not bool(none.any())
    assert 1 <= int(swapped.sum()) <= 6
    assert torch.equal(found, torch.where(swapped[..., None, None, None], plain.flip(2), plain))


def test_people_are_missed_for_short_runs_in_clips_of_any_length(body: Body) -> None:
    pose, _ = facing_pair(body, 0)
    apart = pose.pelvis_m.clone()
    apart[:, :, :, 0] = torch.tensor([-0.8, 0.8])
    frames = [value[:, :1].expand(-1, 320, *value.shape[2:]) for value in
              (pose.rotations, pose.betas, apart)]  # fmt: skip
    pose = PairPose(*frames)
    geometry = GeometryOf(body)(pose)
    cameras = Cameras(torch.ones(1), torch.full((1,), 1.5))
    ranges = dataclasses.replace(QUIET, miss_probability=0.5)
    found, _ = detect(pose, geometry, geometry.keypoints, cameras, ranges, seeded())
    missed = ~(found[..., 2] > 0).any(-1)
    assert 0.05 < float(missed.float().mean()) < 0.5
