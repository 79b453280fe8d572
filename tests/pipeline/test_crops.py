"""Crops and their intrinsics: a point of the crop and of the frame lie on the same ray."""

from pathlib import Path

import numpy as np
import pytest
import torch

from closefit import video
from closefit.config import Config
from closefit.events import ignore
from closefit.geometry.camera import intrinsics
from closefit.stages.crops import crop_frames, people_region
from closefit.storage.artifacts import Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from tests.samples import make_track

FRAMES, WIDTH, HEIGHT, SIZE_PX = 6, 160, 120, 64
MARK = 12
"""Side of a white square in each frame, in source pixels."""


def squares() -> np.ndarray:
    """Corners (x, y) of the square: another place in every frame, inside the people's boxes."""
    return np.array([[40 + 9 * frame, 30 + 7 * frame] for frame in range(FRAMES)])


def test_a_pixel_of_the_crop_and_of_the_frame_see_the_same_ray(tmp_path: Path) -> None:
    pictures = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    for picture, (x, y) in zip(pictures, squares(), strict=True):
        picture[y : y + MARK, x : x + MARK] = 255
    video.write(tmp_path / "clip.mp4", iter(pictures), 25.0)
    info = video.probe(tmp_path / "clip.mp4")
    workspace = Workspace(tmp_path / "out")
    workspace.create()
    job = Job(
        workspace=workspace,
        config=Config(),
        video=info,
        device="cpu",
        emit=ignore,
        provenance=Provenance(stage="optimize", fingerprint="0"),
    )
    boxes = np.tile(np.float32([[30, 20, 90, 100], [60, 25, 120, 110]]), (FRAMES, 1, 1))
    fields = vars(make_track(FRAMES, (WIDTH, HEIGHT)))
    track = type(make_track())(
        **fields | {"boxes_xyxy": boxes, "time_s": video.frame_times(info), "fps": np.array(25.0)}
    )
    K = np.tile(intrinsics(WIDTH, HEIGHT, 150.0).astype(np.float32), (FRAMES, 1, 1))
    crops = crop_frames(job, track, track, K, SIZE_PX)

    inverse, inverse_crop = np.linalg.inv(K), torch.linalg.inv(crops.K).numpy()
    for frame, corner in enumerate(squares()):
        weight = crops.images[frame].float().mean(-1).numpy()
        rows, columns = np.indices(weight.shape) + 0.5  # pixel centres
        centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        seen = inverse_crop[frame] @ [*centre, 1.0]
        true = inverse[frame] @ [*(corner + MARK / 2.0), 1.0]
        np.testing.assert_allclose(seen, true, atol=0.25 / 150.0)  # a quarter of a source pixel


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
