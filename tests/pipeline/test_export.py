import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from PIL import Image

from closefit import video
from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.config import Config, ExportConfig
from closefit.events import Emit, Event, Step, ignore
from closefit.exporters.preview_gif import GIF_FPS, best_stretch
from closefit.geometry.camera import intrinsics, project
from closefit.geometry.contact import CONTACT_M
from closefit.geometry.penetration import surface_gap
from closefit.quality.contact_probability import LEAST_PROBABILITY
from closefit.records import OptimizedMotion, Track
from closefit.stages import export
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from tests.samples import make_optimized_motion, make_track

FRAMES, WIDTH, HEIGHT, FPS = 5, 96, 128, 25.0


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load(Path(__file__).resolve().parents[2] / "weights" / "closefit_body.npz")


@pytest.fixture(scope="module")
def motion(body: Body) -> OptimizedMotion:
    """Two people who stand face to face and come nearer until they overlap."""
    axis_angle = torch.zeros(FRAMES, 2, 24, 3)
    axis_angle[:, 0, 0] = torch.pi * torch.tensor([1.0, 0.0, 1.0]) / 2**0.5
    axis_angle[:, 1, 0] = torch.pi * torch.tensor([1.0, 0.0, -1.0]) / 2**0.5
    axis_angle[:, :, 16:18, 2] = torch.tensor([-1.2, 1.2])
    rotations = roma.rotvec_to_rotmat(axis_angle)
    transl = torch.zeros(FRAMES, 2, 3)
    transl[..., 2] = 4.0
    transl[:, 0, 0] = -torch.linspace(0.4, 0.08, FRAMES)
    transl[:, 1, 0] = torch.linspace(0.4, 0.08, FRAMES)
    betas = torch.zeros(2, 10)
    K = intrinsics(WIDTH, HEIGHT, 150.0).astype(np.float32)
    fields = vars(make_optimized_motion(FRAMES, gaussians=200)) | {
        "rotations": rotations.numpy(),
        "betas": betas.numpy(),
        "transl": transl.numpy(),
        "joints": body.joints(rotations, betas, transl).numpy(),
        "K": np.tile(K, (FRAMES, 1, 1)),
        "floor": np.array([0.0, -1.0, 0.0, 0.9], np.float32),
        "gaussian_face": np.tile(np.arange(0, 20000, 100), (2, 1)),
    }
    return OptimizedMotion(**fields)


def make_job(root: Path, body: Body, motion: OptimizedMotion, emit: Emit = ignore) -> Job:
    """A job whose folder holds the inputs, and whose detections are off by 3, 4 pixels."""
    workspace = Workspace(root / "out")
    workspace.create()
    clip = root / "clip.mp4"
    images = np.random.default_rng(0).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    video.write(clip, iter(images), FPS)
    info = video.probe(clip)
    regressor = KeypointRegressor(body, "coco17")
    arrays = (motion.rotations, motion.betas, motion.transl)
    posed = body.subset(regressor.vertex_indices).pose(*map(torch.from_numpy, arrays))
    points = project(regressor.of(posed), torch.from_numpy(motion.K)[:, None, None]).numpy()
    confident = np.full((FRAMES, 2, 17, 1), 0.9, np.float32)
    track = dataclasses.replace(
        make_track(FRAMES, (WIDTH, HEIGHT)),
        time_s=video.frame_times(info),
        fps=np.array(FPS),
        keypoints=np.concatenate([points + np.float32([3.0, 4.0]), confident], axis=-1),
    )
    provenance = Provenance(stage="export", fingerprint="0" * 64)
    artifacts.write(workspace.artifact("track"), track, provenance)
    artifacts.write(workspace.artifact("optimize"), motion, provenance)
    return Job(
        workspace=workspace,
        config=Config(export=ExportConfig(panel_height_px=64)),
        video=info,
        device="cpu",
        emit=emit,
        provenance=provenance,
    )


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """What the finished job has reported."""
    return []


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    body: Body,
    motion: OptimizedMotion,
    events: list[Event],
) -> Job:
    job = make_job(tmp_path_factory.mktemp("export"), body, motion, events.append)
    export.run(job)
    return job


def test_every_file_of_a_results_folder_is_there(finished: Job) -> None:
    workspace = finished.workspace
    assert [path for path in workspace.results if not path.is_file()] == []
    left_over = [path for path in workspace.root.rglob("*") if "partial" in path.name]
    assert left_over == []


def test_the_overlay_has_every_frame_and_four_panels(finished: Job) -> None:
    info = video.probe(finished.workspace.overlay)
    assert (info.num_frames, info.width, info.height) == (FRAMES, 4 * 48, 64)
    assert info.fps == pytest.approx(FPS)


def test_the_film_of_the_page_shows_what_the_camera_sees(finished: Job) -> None:
    info = video.probe(finished.workspace.film)
    assert (info.num_frames, info.width, info.height) == (FRAMES, 2 * 48, 64)
    assert info.fps == pytest.approx(FPS)


def test_the_single_layout_has_the_size_of_the_video(
    body: Body, motion: OptimizedMotion, tmp_path: Path
) -> None:
    job = make_job(tmp_path, body, motion)
    config = dataclasses.replace(job.config, export=ExportConfig(overlay_layout="single"))
    export.run(dataclasses.replace(job, config=config))
    for path in (job.workspace.overlay, job.workspace.film):
        info = video.probe(path)
        assert (info.num_frames, info.width, info.height) == (FRAMES, WIDTH, HEIGHT)
    with Image.open(job.workspace.preview_gif) as gif:
        assert gif.size == (WIDTH, HEIGHT)


def test_the_moving_picture_shows_the_bodies_over_the_input(finished: Job) -> None:
    with Image.open(finished.workspace.preview_gif) as gif:
        assert gif.size == (48, 64)
        assert gif.info["loop"] == 0
        seconds = 0.0
        for number in range(gif.n_frames):
            gif.seek(number)
            seconds += gif.info["duration"] / 1000.0
        picture = np.asarray(gif.convert("RGB"), float)
    assert seconds == pytest.approx(FRAMES / FPS, abs=1.5 / GIF_FPS)
    whole = next(iter(video.frames(video.probe(finished.workspace.overlay), (FRAMES - 1.5) / FPS)))
    assert np.abs(picture - whole[:, 48:96]).mean() < 25
    assert np.abs(picture - whole[:, :48]).mean() > 32


def test_the_three_seconds_with_most_contact_are_chosen() -> None:
    touching = np.zeros(100, bool)
    touching[[10, *range(60, 80), 90]] = True
    gap_m = np.where(touching, 0.0, 0.5)
    assert best_stretch(touching, gap_m, fps=10.0) == range(50, 80)
    assert best_stretch(touching, gap_m, fps=100.0) == range(100)
    nearer = 1.0 - 0.5 * np.exp(-(((np.arange(100) - 70) / 10.0) ** 2))
    chosen = best_stretch(np.zeros(100, bool), nearer, fps=10.0)
    assert abs(chosen.start + 15 - 70) <= 1


def test_the_figures_count_what_was_exported(finished: Job, body: Body) -> None:
    quality = finished.quality
    assert quality["reprojection_error_px"] == pytest.approx(5.0, abs=0.01)
    assert quality["valid_share"] == 1.0
    content = json.loads(finished.workspace.contacts.read_text())
    gap = np.array(content["per_frame"]["gap_m"])
    track, motion = finished.load(Track), finished.load(OptimizedMotion)
    arrays = (motion.rotations, motion.betas, motion.transl)
    vertices = body.pose(*map(torch.from_numpy, arrays)).vertices
    np.testing.assert_allclose(gap, surface_gap(vertices), atol=1e-5)
    assert gap[0] > CONTACT_M > gap[-1]
    in_contact = sum(last - first + 1 for first, last in content["frames_in_contact"])
    assert 0 < quality["contact_frames"] == in_contact < FRAMES
    assert 0 < quality["penetration_mean_mm"] < quality["penetration_max_mm"]
    assert content["fps"] == float(track.fps)


def test_reported_contacts_are_plausible_and_never_certain(finished: Job) -> None:
    content = json.loads(finished.workspace.contacts.read_text())
    assert content["contacts"]
    for contact in content["contacts"]:
        assert max(contact["penetration_mm"]) <= content["plausible_depth_mm"]
        assert all(LEAST_PROBABILITY <= value < 1.0 for value in contact["probability"])


@pytest.mark.usefixtures("finished")
def test_progress_reaches_the_end(events: list[Event]) -> None:
    steps = [event for event in events if isinstance(event, Step)]
    for task in ("contacts", "overlay"):
        last = [step for step in steps if step.task == task][-1]
        assert last.done == last.total == FRAMES


def test_the_motion_file_is_that_of_the_artifact(finished: Job, motion: OptimizedMotion) -> None:
    with np.load(finished.workspace.motion, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["transl"], motion.transl)
        np.testing.assert_array_equal(file["K"], motion.K[0])
        assert file["keypoints2d_reprojected"].shape == (FRAMES, 2, 17, 2)
        assert "R" not in file.files


def test_a_second_export_writes_the_same_bytes(
    finished: Job, body: Body, motion: OptimizedMotion, tmp_path: Path
) -> None:
    again = make_job(tmp_path, body, motion)
    export.run(again)
    for path in finished.workspace.results:
        other = again.workspace.root / path.relative_to(finished.workspace.root)
        assert other.read_bytes() == path.read_bytes(), path.name


def test_without_an_overlay_none_is_left_over(
    body: Body, motion: OptimizedMotion, tmp_path: Path
) -> None:
    job = make_job(tmp_path, body, motion)
    job.workspace.overlay.write_bytes(b"of an earlier run")
    config = dataclasses.replace(job.config, export=ExportConfig(overlay=False))
    export.run(dataclasses.replace(job, config=config))
    assert not job.workspace.overlay.exists()


def test_the_pose_of_a_known_camera_is_passed_on(
    body: Body, motion: OptimizedMotion, tmp_path: Path
) -> None:
    job = make_job(tmp_path, body, motion)
    camera = tmp_path / "camera.npz"
    np.savez(camera, K=motion.K, R=np.eye(3), t=np.array([1.0, 2.0, 3.0]))
    config = dataclasses.replace(
        job.config,
        camera=dataclasses.replace(job.config.camera, file=str(camera)),
        export=ExportConfig(overlay=False),
    )
    export.run(dataclasses.replace(job, config=config))
    with np.load(job.workspace.motion, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["K"], motion.K)
        np.testing.assert_array_equal(file["R"], np.tile(np.eye(3), (FRAMES, 1, 1)))
        np.testing.assert_array_equal(file["t"][4], [1.0, 2.0, 3.0])
