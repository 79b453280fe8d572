"""How `track` decides about the camera: from a file, from the pictures, or not at all."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from closefit import video
from closefit.config import CameraConfig, Config
from closefit.errors import InputError
from closefit.events import Event, Notice
from closefit.exporters.doubts import doubts
from closefit.geometry.camera import intrinsics
from closefit.records import Track
from closefit.stages.camera_motion import with_camera_motion
from closefit.storage.artifacts import Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from closefit.tracking.steadying import reference_frame
from tests.samples import make_track

FRAMES, WIDTH, HEIGHT, FOCAL_PX = 6, 160, 120, 180.0
SEEN: list[Event] = []


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job on pictures that show nothing at all."""
    folder = tmp_path_factory.mktemp("grey")
    video.write(folder / "clip.mp4", iter(np.full((FRAMES, HEIGHT, WIDTH, 3), 90, np.uint8)), 25.0)
    workspace = Workspace(folder / "out")
    workspace.create()
    return Job(
        workspace=workspace,
        config=Config(),
        video=video.probe(folder / "clip.mp4"),
        device="cpu",
        emit=SEEN.append,
        provenance=Provenance(stage="track", fingerprint="0"),
    )


@pytest.fixture
def track(job: Job) -> Track:
    track = make_track(FRAMES, (WIDTH, HEIGHT))
    return dataclasses.replace(track, time_s=video.frame_times(job.video))


def with_camera(job: Job, **settings) -> Job:
    config = dataclasses.replace(job.config, camera=CameraConfig(**settings))
    return dataclasses.replace(job, config=config, quality={})


def pan(degrees: float) -> list[float]:
    """A pan over so many degrees from the first to the last frame."""
    return np.linspace(0.0, degrees, FRAMES).tolist()


def camera_file(folder: Path, degrees: list[float], axis: str = "y") -> str:
    """A camera that has turned by so many degrees in each frame."""
    R = Rotation.from_euler(axis, np.reshape(degrees, (-1, 1)), degrees=True).as_matrix()
    np.savez(folder / "camera.npz", K=intrinsics(WIDTH, HEIGHT, FOCAL_PX), R=R)
    return str(folder / "camera.npz")


def test_a_file_says_how_the_camera_turns(job, track, tmp_path):
    chosen = with_camera(job, file=camera_file(tmp_path, pan(10.0)))
    found = with_camera_motion(chosen, track)
    assert chosen.quality == {"camera_motion": "from the camera file"}
    reference = reference_frame(found)
    assert reference in (2, 3)  # in the middle of its way
    np.testing.assert_allclose(found.homographies[reference], np.eye(3), atol=1e-9)
    first, last = found.homographies[[0, -1]]
    middle = last @ np.linalg.inv(first) @ [WIDTH / 2, HEIGHT / 2, 1.0]
    shift = middle[0] / middle[2] - WIDTH / 2
    assert shift == pytest.approx(FOCAL_PX * np.tan(np.radians(10.0)), abs=1e-3)
    left, right = -found.still_xyxy[0], found.still_xyxy[2] - WIDTH
    assert left + right == pytest.approx(shift, abs=12.0)
    assert left == pytest.approx(right, abs=12.0)


def test_a_pan_has_room_to_both_sides(job, track, tmp_path):
    found = with_camera_motion(with_camera(job, file=camera_file(tmp_path, pan(60.0))), track)
    assert found.camera_moves


def test_a_turn_that_no_picture_holds_is_refused(job, track, tmp_path):
    for degrees in (100.0, 150.0):  # three of the five steps lie on one side of a middle frame
        path = camera_file(tmp_path, pan(degrees))
        with pytest.raises(InputError, match=rf"turns by {0.6 * degrees:.0f} degrees .* picture"):
            with_camera_motion(with_camera(job, file=path), track)


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("degrees", [90.0, 100.0, 180.0])
def test_a_jump_to_what_is_behind_the_camera_is_refused(job, track, tmp_path, axis, degrees):
    path = camera_file(tmp_path, [0.0, degrees] * (FRAMES // 2), axis)
    with pytest.raises(InputError, match=f"turns by {degrees:.0f} degrees"):
        with_camera_motion(with_camera(job, file=path), track)


def test_a_picture_upside_down_is_ahead(job, track, tmp_path):
    path = camera_file(tmp_path, [0.0, 180.0] * (FRAMES // 2), "z")
    found = with_camera_motion(with_camera(job, file=path), track)
    np.testing.assert_array_equal(found.still_xyxy, [0, 0, WIDTH, HEIGHT])


def test_a_camera_that_is_said_to_stand_still_is_not_looked_for(job, track, tmp_path):
    assert with_camera_motion(with_camera(job, motion="still"), track) is track
    path = camera_file(tmp_path, pan(0.0))
    assert with_camera_motion(with_camera(job, file=path), track) is track


def test_a_background_without_marks_is_a_doubt(job, track):
    SEEN.clear()
    chosen = with_camera(job)
    assert with_camera_motion(chosen, track) is track
    assert chosen.quality["camera_motion"] == "taken to stand still"
    assert chosen.quality["camera_unknown_frames"] == list(range(FRAMES))
    (notice,) = [event for event in SEEN if isinstance(event, Notice)]
    assert notice.warning
    assert "too little of the background is seen" in notice.text
    figures = {"quality": {"track": chosen.quality | {"frames": FRAMES}}}
    (doubt,) = doubts(figures)
    assert "taken to stand still" in doubt.text
    assert "camera.motion=still" in doubt.advice
