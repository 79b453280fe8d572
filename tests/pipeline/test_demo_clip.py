"""The built-in clip: its truth agrees with itself, its people stand, touch and do not merge."""

import numpy as np
import pytest
import torch

from closefit import video
from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.demo import DemoClip, make_clip
from closefit.demo.detections import VisiblePeople, simulate_detections
from closefit.demo.room import Room
from closefit.demo.steps import Feet, reach_feet, walk
from closefit.errors import OutputFolderError
from closefit.evaluation import metrics, runs
from closefit.geometry.contact import CONTACT_M
from closefit.models import weights
from closefit.prior.objective import GeometryOf
from closefit.simulation.occlusion import hidden_keypoints

FRAMES = 44
SIZE = (161, 120)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DemoClip:
    """A small clip, long enough to reach the hold."""
    return make_clip(tmp_path_factory.mktemp("demo"), frames=FRAMES, size=SIZE)


@pytest.fixture(scope="module")
def truth(clip: DemoClip) -> dict[str, np.ndarray]:
    """All arrays of its truth."""
    with np.load(clip.truth) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def body() -> Body:
    """The free body."""
    return Body.load(weights.locate("closefit_body"))


@pytest.fixture(scope="module")
def posed_truth(truth, body):
    """The truth's bodies in the camera frame."""
    betas = torch.from_numpy(truth["betas"])
    pelvis = body.rest(betas).joints[:, 0]
    return body.pose(
        torch.from_numpy(truth["rotations"]).float(),
        betas,
        torch.from_numpy(truth["transl"]) - pelvis,
    )


def test_video_has_the_frames(clip):
    """The video can be read back; an odd width gains a column."""
    info = video.probe(clip.video)
    assert (info.num_frames, info.fps) == (FRAMES, 30.0)
    assert (info.width, info.height) == (SIZE[0] + 1, SIZE[1])


def test_truth_follows_from_its_pose(truth, posed_truth):
    """Joints, their projections and face points are those of the posed bodies."""
    np.testing.assert_allclose(posed_truth.joints.numpy(), truth["joints3d"], atol=1e-4)
    homogeneous = truth["joints3d"] @ truth["K"].T
    expected = homogeneous[..., :2] / homogeneous[..., 2:]
    np.testing.assert_allclose(truth["joints2d"], expected, atol=1e-2)


def test_evaluate_accepts_the_truth(clip):
    """The file has the format that `closefit evaluate` reads."""
    assert runs.read_truth(clip.truth).transl.shape == (FRAMES, 2, 3)


def test_people_touch_and_do_not_merge(truth):
    """Apart at first, in contact at the end, hardly ever inside each other."""
    contact = truth["contact"]
    assert not contact[: FRAMES // 4].any()
    assert contact[-FRAMES // 4 :].all()
    np.testing.assert_array_equal(contact, truth["gap"] < CONTACT_M)
    assert truth["penetration"].mean() < 0.01
    assert truth["penetration"].max() < 0.1


def test_people_stand_on_the_floor(posed_truth):
    """In every frame the lowest point of each person is on the floor, within a centimetre."""
    room = Room.create(*SIZE)
    vertices = posed_truth.vertices.numpy()
    height = (vertices @ room.R_camera_world + room.position_m)[..., 1]
    assert np.abs(height.min(axis=-1)).max() < 0.01


def test_people_face_each_other(truth):
    """Each person's front points to the other, on average within 30 degrees."""
    front = truth["rotations"][:, :, 0, :, 2]
    to_other = truth["transl"][:, ::-1] - truth["transl"]
    to_other /= np.linalg.norm(to_other, axis=-1, keepdims=True)
    assert (front * to_other).sum(axis=-1).min() > np.cos(np.radians(30.0))


def test_masks_lie_where_the_people_are(truth):
    """Boxes bound the masks, masks do not overlap, visible joints are mostly inside."""
    people = VisiblePeople.from_truth(truth)
    assert not people.masks.all(axis=1).any()
    rows, columns = np.nonzero(people.masks[5, 0])
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_array_equal(truth["boxes"][5, 0], expected)
    pixel = np.floor(people.keypoints_px[:, :, 5:]).astype(int)
    union = people.masks.any(axis=1)
    frame = np.arange(FRAMES)[:, None, None]
    assert union[frame, pixel[..., 1], pixel[..., 0]].mean() > 0.95


def test_depth_order_can_be_scored(truth):
    """The hold covers one person by the other, with the pelvises well apart in depth."""
    order = metrics.depth_order_error(
        truth["transl"], truth["transl"], truth["order"], np.ones((FRAMES, 2), dtype=bool)
    )
    assert order.wrong == 0
    assert order.scored >= 5


def test_detections_follow_the_seed(truth, body):
    """The same seed gives the same detections, another one different ones."""
    people = VisiblePeople.from_truth(truth)
    first, again, other = (simulate_detections(people, body, seed) for seed in (3, 3, 4))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first["keypoints"], other["keypoints"], equal_nan=True)


def test_detections_are_near_the_truth_but_not_on_it(truth, body):
    """Most confident keypoints are off by about a percent of the height of one of the people."""
    people = VisiblePeople.from_truth(truth)
    found = [simulate_detections(people, body, seed) for seed in range(4)]
    keypoints = np.stack([one["keypoints"] for one in found])
    distance = np.linalg.norm(keypoints[..., :2] - people.keypoints_px, axis=-1)
    height = people.boxes_xyxy[..., 3] - people.boxes_xyxy[..., 1]
    relative = (distance / height[..., None])[keypoints[..., 2] > 0.7]
    assert 0.003 < np.nanmedian(relative) < 0.03
    missed = np.isnan(np.stack([one["boxes"] for one in found])[..., 0])
    assert 0.0 < missed.mean() < 0.5
    assert (keypoints[missed][..., 2] == 0).all()
    for one in found:
        bits = np.unpackbits(one["union_masks"], count=int(one["union_masks_shape"].prod()))
        union = people.masks.any(axis=1)
        np.testing.assert_array_equal(bits.reshape(union.shape), union)


def test_hidden_keypoints_are_less_sure(truth, body):
    """Keypoints behind the other person have lower confidence than visible ones."""
    people = VisiblePeople.from_truth(truth)
    pose = PairPose(*(part[None] for part in (
        people.pose.rotations, people.pose.betas, people.pose.pelvis_m)))  # fmt: skip
    hidden = hidden_keypoints(pose, GeometryOf(body)(pose))[0][0].numpy()
    found = [simulate_detections(people, body, seed)["keypoints"][..., 2] for seed in range(8)]
    confidence = np.mean(found, axis=0)
    assert hidden.any()
    assert confidence[hidden].mean() < confidence[~hidden].mean() - 0.2


def test_feet_reach_their_targets(body):
    """Ankles come to stand over the given soles, and the soles stay level."""
    rest = body.rest(torch.zeros(10))
    height = rest.joints[0, 1] - rest.vertices[:, 1].min()
    soles = torch.tensor([[[0.12, 0.0, 0.1], [-0.1, 0.05, -0.15]]])
    feet = Feet(soles=soles, heading_rad=torch.zeros(1, 2), pitch_rad=torch.zeros(1, 2))
    pelvis = torch.tensor([[0.0, float(height) - 0.06, 0.0]])
    rotations = torch.eye(3).repeat(1, 24, 1, 1)
    reached = reach_feet(rotations, pelvis, rest, feet)
    posed = body.pose(reached, torch.zeros(10), pelvis - rest.joints[0])
    for side, foot_joints in enumerate(((7, 10), (8, 11))):
        ankle = posed.joints[0, foot_joints[0]]
        torch.testing.assert_close(ankle[[0, 2]], soles[0, side, [0, 2]], atol=1e-4, rtol=0.0)
        part = body.weights[:, list(foot_joints)].sum(dim=1) > 0.9
        lowest = posed.vertices[0, part, 1].min()
        assert float(lowest) == pytest.approx(float(soles[0, side, 1]), abs=0.005)
    knees = posed.joints[0, [4, 5], 2]
    assert (knees > posed.joints[0, [1, 2], 2] - 0.02).all()


def test_planted_feet_do_not_slide():
    """A foot that is not swinging stays exactly where it is."""
    speed = torch.tensor([0.0, 0.0, 0.6])
    feet = walk(lambda t: (t[..., None] * speed, torch.zeros_like(t)), torch.arange(90) / 60.0)
    step = (feet.soles[1:] - feet.soles[:-1]).norm(dim=-1)
    on_floor = feet.soles[..., 1].abs() < 1e-6
    on_floor = on_floor[1:] & on_floor[:-1]
    assert on_floor.float().mean() > 0.4
    assert step[on_floor].max() < 1e-6


def test_standing_people_do_not_march():
    """Without a way to go no foot is lifted."""
    still = walk(lambda t: (torch.zeros(*t.shape, 3), torch.zeros_like(t)), torch.arange(60) / 30.0)
    assert still.soles[..., 1].max() == 0.0


def test_unwritable_folder_is_an_error(tmp_path):
    """A folder that cannot be made is named."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OutputFolderError, match="cannot write to"):
        make_clip(blocked / "demo", frames=8)


def test_keypoints_are_the_bodys(truth, posed_truth, body):
    """COCO points project from the body that the truth poses."""
    regressor = KeypointRegressor(body, "coco17")
    points = regressor(posed_truth.joints, posed_truth.vertices[:, :, regressor.vertex_indices])
    homogeneous = points.double().numpy() @ truth["K"].T
    expected = homogeneous[..., :2] / homogeneous[..., 2:]
    np.testing.assert_allclose(truth["keypoints2d"], expected, atol=0.05)


def test_faces_are_not_seen_through_heads(truth, body):
    """People who turn their backs to the camera have unsure face points."""
    turned = dict(truth)
    turned["rotations"] = truth["rotations"].copy()
    turned["rotations"][:, 0, 0] = np.diag([-1.0, -1.0, 1.0])
    confidence = [
        np.mean([simulate_detections(VisiblePeople.from_truth(given), body, seed)["keypoints"]
                 [:, 0, :5, 2] for seed in range(8)])
        for given in (truth, turned)
    ]  # fmt: skip
    assert confidence[1] < confidence[0]
