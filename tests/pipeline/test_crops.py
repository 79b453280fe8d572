"""Crops and their intrinsics: a point of the crop and of the frame lie on the same ray."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from closefit import video
from closefit.config import Config
from closefit.events import ignore
from closefit.geometry.camera import intrinsics
from closefit.records import Track
from closefit.stages.crops import crop_frames, people_region
from closefit.storage.artifacts import Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from closefit.tracking.steadying import steadied, still_intrinsics, still_rectangle
from tests.samples import make_track

FRAMES, WIDTH, HEIGHT, SIZE_PX = 6, 160, 120, 64
GREY = 60
MARK = 12
"""Side of a white square in each frame, in source pixels."""


def squares() -> np.ndarray:
    """Corners (x, y) of the square: another place in every frame, inside the people's boxes."""
    return np.array([[40 + 9 * frame, 30 + 7 * frame] for frame in range(FRAMES)])


def make_job(folder: Path, places: np.ndarray) -> Job:
    """A job on a clip with a white square on grey."""
    pictures = np.full((FRAMES, HEIGHT, WIDTH, 3), GREY, np.uint8)
    for picture, (x, y) in zip(pictures, places, strict=True):
        picture[y : y + MARK, x : x + MARK] = 255
    video.write(folder / "clip.mp4", iter(pictures), 25.0)
    workspace = Workspace(folder / "out")
    workspace.create()
    return Job(
        workspace=workspace,
        config=Config(),
        video=video.probe(folder / "clip.mp4"),
        device="cpu",
        emit=ignore,
        provenance=Provenance(stage="optimize", fingerprint="0"),
    )


def make_clip_track(job: Job, boxes: np.ndarray) -> Track:
    boxes = np.tile(np.float32(boxes), (FRAMES, 1, 1))
    track = make_track(FRAMES, (WIDTH, HEIGHT))
    return replace(track, boxes_xyxy=boxes, time_s=video.frame_times(job.video), fps=np.array(25.0))


def centre_of(picture: torch.Tensor) -> np.ndarray:
    """Middle of the square, in pixels."""
    weight = (picture.float().mean(-1).numpy() - 1.5 * GREY).clip(0.0)
    rows, columns = np.indices(weight.shape) + 0.5  # pixel centres
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def test_a_pixel_of_the_crop_and_of_the_frame_see_the_same_ray(tmp_path: Path) -> None:
    job = make_job(tmp_path, squares())
    track = make_clip_track(job, [[30, 20, 90, 100], [60, 25, 120, 110]])
    K = np.tile(intrinsics(WIDTH, HEIGHT, 150.0).astype(np.float32), (FRAMES, 1, 1))
    crops = crop_frames(job, track, track, K, SIZE_PX)
    assert crops.known is None

    inverse, inverse_crop = np.linalg.inv(K), torch.linalg.inv(crops.K).numpy()
    for frame, corner in enumerate(squares()):
        seen = inverse_crop[frame] @ [*centre_of(crops.images[frame]), 1.0]
        true = inverse[frame] @ [*(corner + MARK / 2.0), 1.0]
        np.testing.assert_allclose(seen, true, atol=0.25 / 150.0)  # a quarter of a source pixel


def test_what_stands_still_before_a_moving_camera_stands_still_in_the_crops(tmp_path: Path) -> None:
    """And pixels that a frame does not show are known to be unknown."""
    shift = np.arange(FRAMES)[:, None] * np.array([8, -5])
    job = make_job(tmp_path, np.array([40, 70]) + shift)
    homographies = np.tile(np.eye(3), (FRAMES, 1, 1))
    homographies[:, :2, 2] = shift
    filmed = replace(
        make_clip_track(job, [[2, 30, 60, 118], [30, 30, 90, 118]]),
        homographies=homographies,
        still_xyxy=still_rectangle(homographies, (WIDTH, HEIGHT)),
    )
    K = np.tile(intrinsics(WIDTH, HEIGHT, 150.0).astype(np.float32), (FRAMES, 1, 1))
    K_still = still_intrinsics(filmed, K)
    crops = crop_frames(job, filmed, steadied(filmed, K_still), K_still, SIZE_PX)

    true = np.linalg.inv(K[0]) @ [40 + MARK / 2.0, 70 + MARK / 2.0, 1.0]
    for frame, picture in enumerate(crops.images):
        seen = torch.linalg.inv(crops.K).numpy()[frame] @ [*centre_of(picture), 1.0]
        np.testing.assert_allclose(seen, true, atol=0.25 / 150.0)
    assert crops.known is not None
    known = crops.known.bool()
    assert (crops.images[known] > 0.5 * GREY).all()
    assert (crops.images[~known] < 1.5 * GREY).all()
    assert 0.5 < known.float().mean() < 1.0
    assert known[0].float().mean() < known[:, 10:-10, 20:-20].float().mean()


@pytest.mark.parametrize("outside", [-50.0, 300.0])
def test_the_region_stays_inside_the_image(outside: float) -> None:
    boxes = np.full((2, 2, 4), np.nan, np.float32)
    boxes[0, 0] = [20, 20, 60, 80]
    boxes[1, 1] = sorted([outside, 50.0]) + sorted([outside, 60.0])
    boxes[1, 1] = boxes[1, 1][[0, 2, 1, 3]]
    x0, y0, x1, y1 = people_region(boxes, WIDTH, HEIGHT)
    assert 0 <= x0 < x1 <= WIDTH
    assert 0 <= y0 < y1 <= HEIGHT
    assert x0 <= 20
    assert x1 >= 60
