"""A clip from a camera in a shaking hand gives the motion that one from a tripod gives.

Both are the demo's clip, filmed through one lens from one place (`tests/shaken_clip.py`).
"""

from pathlib import Path

import numpy as np
import pygltflib
import pytest
from jaxtyping import Float

from closefit.body.skeleton import JOINT_INDEX
from closefit.config import StageName
from closefit.events import ignore
from closefit.exporters.doubts import doubts
from closefit.exporters.motion import ExportedMotion, read_motion, to_scene
from closefit.pipeline import runner
from closefit.pipeline.runner import Selection
from closefit.records import Motion, Track
from closefit.settings import build_config
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from closefit.tracking.steadying import camera_path, reference_frame, steadied
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK
from tests.shaken_clip import ShakenClip, hand_held, shaken

pytestmark = pytest.mark.slow

FRAMES = 16
WHOLE_WH, FILMED_WH = (280, 210), (208, 156)
SETTINGS = (*QUICK, "optimize.appearance=false", "optimize.passes=1")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ShakenClip]:
    folder = tmp_path_factory.mktemp("clips")
    clip = demo_clip(folder / "demo", FRAMES, WHOLE_WH)
    turns = {"still": np.tile(np.eye(3), (FRAMES, 1, 1)), "moving": hand_held(FRAMES)}
    return {name: shaken(folder / name, clip, turn, FILMED_WH) for name, turn in turns.items()}


def run(clip: ShakenClip, out: Path, last: StageName = "export") -> Workspace:
    given = (f"track.observations={clip.observations}", f"camera.focal_px={clip.focal_px:.3f}")
    config = build_config(assignments=[*SETTINGS, *given])
    runner.run(clip.video, out, config, ignore, Selection(last=last))
    return Workspace(out)


@pytest.fixture(scope="module")
def still(clips: dict[str, ShakenClip], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return run(clips["still"], tmp_path_factory.mktemp("runs") / "still", "init")


@pytest.fixture(scope="module")
def moving(clips: dict[str, ShakenClip], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return run(clips["moving"], tmp_path_factory.mktemp("runs") / "moving")


def read_track(workspace: Workspace) -> Track:
    return artifacts.read(workspace.artifact("track"), Track)


def read_init(workspace: Workspace) -> Motion:
    return artifacts.read(workspace.artifact("init"), Motion)


def joints_in_scene(motion: ExportedMotion) -> Float[np.ndarray, "frame 2 24 3"]:
    move = to_scene(motion)[:, None]
    return motion.joints @ move[..., :3, :3].swapaxes(-1, -2) + move[..., None, :3, 3]


def test_a_still_clip_is_not_touched(still):
    track = read_track(still)
    assert not track.camera_moves
    assert steadied(track, read_init(still).K) is track
    assert still.read_run()["quality"]["track"]["camera_motion"] == "stands still"


def test_the_turns_are_found(moving, clips):
    track, truth = read_track(moving), clips["moving"].camera
    path = camera_path(track, read_init(moving).K)
    true = truth.R @ truth.R[reference_frame(track)].T
    cosine = 0.5 * (np.trace(path.R @ true.swapaxes(-1, -2), axis1=1, axis2=2) - 1.0)
    assert np.degrees(np.arccos(cosine.clip(-1.0, 1.0))).max() < 0.15
    assert truth.turned_deg.max() > 2.0


def test_both_clips_give_one_motion(still, moving, clips):
    """In the axes of one camera, the first fit differs by a share of its own error of 4 to 5 cm."""
    turn = clips["moving"].camera.R[reference_frame(read_track(moving))]
    expected, found = read_init(still).joints @ turn.T, read_init(moving).joints
    assert np.linalg.norm(found - expected, axis=-1).mean() < 0.02


def test_keypoints_fall_on_the_pixels_of_each_frame(moving):
    track, motion = read_track(moving), read_motion(moving.motion)
    assert motion.K.shape == (FRAMES, 3, 3)
    sure = track.keypoints[..., 2] > 0.5
    away = motion.keypoints2d_reprojected - track.keypoints[..., :2]
    height = np.nanmedian(track.boxes_xyxy[..., 3] - track.boxes_xyxy[..., 1])
    assert np.linalg.norm(away, axis=-1)[sure].mean() < 0.03 * height
    joints = np.einsum("fij,fpkj->fpki", motion.K, motion.joints)
    hips = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
    middle = (joints[..., :2] / joints[..., 2:])[:, :, hips].mean(axis=2)
    seen = motion.keypoints2d_reprojected[:, :, [11, 12]].mean(axis=2)
    assert np.linalg.norm(middle - seen, axis=-1).mean() < 0.05 * height


def test_people_do_not_move_with_the_camera(moving):
    """In the scene they move more evenly than before the camera that shakes, and stand on it."""
    scene = joints_in_scene(read_motion(moving.motion))
    feet = scene[:, :, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]]
    assert np.percentile(feet[..., 1], 5) == pytest.approx(0.0, abs=0.1)
    before_frames = read_motion(moving.motion).joints
    jitter = [
        np.linalg.norm(np.diff(x, n=2, axis=0), axis=-1).mean() for x in (scene, before_frames)
    ]
    assert jitter[0] < jitter[1]


def test_the_scene_has_a_camera_that_turns(moving):
    scene = pygltflib.GLTF2().load(str(moving.glb))
    (camera,) = [number for number, node in enumerate(scene.nodes) if node.camera is not None]
    animated = {(c.target.node, c.target.path) for c in scene.animations[0].channels}
    assert (camera, "rotation") in animated
    assert (camera, "translation") not in animated


def test_report_and_record_tell(moving):
    run_record = moving.read_run()
    figures = run_record["quality"]
    assert figures["track"]["camera_motion"].startswith("turns")
    assert 1.0 < figures["export"]["camera_turn_deg"] < 4.0
    assert "turns by up to" in moving.report.read_text()
    assert not [doubt for doubt in doubts(run_record) if "camera" in doubt.text]
