"""The camera's turns and zooms are found in the background, with people moving before it."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from closefit.geometry.camera import focal_from_fov, intrinsics
from closefit.geometry.camera_path import CameraPath, homographies_of, moved
from closefit.tracking.camera_motion import CameraMotion, camera_motion
from closefit.tracking.steadying import still_part
from tests.shaken_clip import hand_held

SIZE_WH = WIDTH, HEIGHT = 320, 240
FRAMES = 18
WALL_WH = 640, 480
GRID = np.stack(np.meshgrid(np.linspace(0, WIDTH, 5), np.linspace(0, HEIGHT, 5)), -1).reshape(-1, 2)


def filmed(
    camera: CameraPath, *, seed: int = 0, noise: float = 2.0, blur: float = 1.5
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures of a spotted wall, and where nobody is: two discs with textures of their own cross.

    The second person is not in the mask.
    """
    rng = np.random.default_rng(seed)
    wall = cv2.GaussianBlur(rng.uniform(0, 255, WALL_WH[::-1]), (0, 0), blur)
    wall = np.clip(128 + 4.0 * (wall - wall.mean()), 0, 255).astype(np.uint8)
    far = intrinsics(*WALL_WH, camera.K[0, 0, 0])
    whole = homographies_of(
        CameraPath(
            np.concatenate([far[None], camera.K]), np.concatenate([np.eye(3)[None], camera.R])
        )
    )[1:]
    cloth = cv2.GaussianBlur(rng.uniform(90, 160, (HEIGHT, WIDTH)), (0, 0), blur)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pictures = []
    for number, homography in enumerate(whole):
        picture, _ = still_part(wall, homography, SIZE_WH)
        share = number / len(whole)
        people = [
            (columns - WIDTH * x) ** 2 / 900 + (rows - HEIGHT * 0.55) ** 2 / 6400 < 1.0
            for x in (0.3 + 0.3 * share, 0.75 - 0.4 * share)
        ]
        for person, body in enumerate(people):
            picture = np.where(body, np.roll(cloth, 3 * number * (1 - 2 * person), 1), picture)
        noisy = picture + rng.normal(scale=noise, size=picture.shape)
        pictures.append((np.clip(noisy, 0, 255).astype(np.uint8), ~people[0]))
    return pictures


def camera_of(turns: np.ndarray, zoom: np.ndarray | float = 1.0, fov_deg: float = 55.0):
    K = np.tile(intrinsics(*SIZE_WH, focal_from_fov(*SIZE_WH, fov_deg)), (len(turns), 1, 1))
    K[:, (0, 1), (0, 1)] *= np.broadcast_to(zoom, len(turns))[:, None]
    return CameraPath(K, turns)


def largest_error_px(found: CameraMotion, camera: CameraPath) -> float:
    """Largest distance, anywhere in the picture, between where found and true turns put a point."""
    reference = int(np.abs(found.homographies - np.eye(3)).sum(axis=(1, 2)).argmin())
    true = homographies_of(camera, reference)
    grid = np.tile(GRID, (len(true), 1, 1))
    distance = np.linalg.norm(moved(found.homographies, grid) - moved(true, grid), axis=-1)
    return float(distance.max())


def test_turns_are_found_to_a_fraction_of_a_pixel_through_an_unusual_lens():
    camera = camera_of(hand_held(FRAMES), fov_deg=80.0)
    found = camera_motion(filmed(camera), SIZE_WH)
    assert found.moves
    assert not found.zooms
    assert found.doubt is None
    assert found.shift_px > 10.0
    assert largest_error_px(found, camera) < 0.5


def test_a_zoom_is_found_beside_turns():
    camera = camera_of(hand_held(FRAMES), zoom=np.linspace(1.0, 1.15, FRAMES))
    found = camera_motion(filmed(camera), SIZE_WH)
    assert found.moves
    assert found.zooms
    assert largest_error_px(found, camera) < 0.6


def test_a_pan_over_more_than_a_picture_is_found():
    degrees = np.stack([np.zeros(30), np.linspace(-8.0, 8.0, 30), np.zeros(30)], axis=-1)
    camera = camera_of(Rotation.from_rotvec(degrees, degrees=True).as_matrix(), fov_deg=35.0)
    found = camera_motion(filmed(camera), SIZE_WH)
    assert found.moves
    assert found.turned_deg == pytest.approx(8.0, abs=1.0)  # from the middle of its way
    assert largest_error_px(found, camera) < 1.5


def test_a_camera_that_stands_still_is_seen_to_in_spite_of_noise():
    camera = camera_of(np.tile(np.eye(3), (FRAMES, 1, 1)))
    found = camera_motion(filmed(camera, noise=8.0), SIZE_WH)
    assert not found.moves
    assert found.doubt is None
    np.testing.assert_array_equal(found.homographies, np.tile(np.eye(3), (FRAMES, 1, 1)))


def test_an_empty_background_is_a_doubt_and_not_a_motion():
    grey = [(np.full((HEIGHT, WIDTH), 120, np.uint8), np.ones((HEIGHT, WIDTH), bool))] * FRAMES
    found = camera_motion(grey, SIZE_WH)
    assert not found.moves
    assert found.doubt == "little background"


def test_a_frame_without_a_background_lies_between_its_neighbours():
    camera = camera_of(hand_held(FRAMES))
    pictures = filmed(camera)
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    pictures[10] = pictures[10][0], hidden
    found = camera_motion(pictures, SIZE_WH)
    assert np.flatnonzero(~found.known).tolist() == [10]
    assert found.doubt is None
    assert largest_error_px(found, camera) < 4.0


def test_a_clip_may_begin_without_a_background():
    camera = camera_of(hand_held(FRAMES))
    pictures = filmed(camera)
    pictures[0] = np.zeros_like(pictures[0][0]), pictures[0][1]
    found = camera_motion(pictures, SIZE_WH)
    assert np.flatnonzero(~found.known).tolist() == [0]
    assert found.doubt is None
    assert found.moves


def test_a_camera_that_travels_is_doubtful():
    """Near and far points move by different amounts, which no turn explains."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.3, 1.0, (300, 1))
    start, grey = rng.uniform((0, 0), SIZE_WH, (300, 2)), rng.uniform(60, 255, 300)
    pictures = []
    for number in range(FRAMES):
        picture = np.zeros((HEIGHT, WIDTH))
        for place, shade in zip(start + number * np.array([2.0, 0.0]) / depth, grey, strict=True):
            cv2.circle(picture, (place % SIZE_WH).astype(int).tolist(), 4, float(shade), -1)
        pictures.append((cv2.GaussianBlur(picture, (0, 0), 1.0).astype(np.uint8), picture >= 0))
    assert camera_motion(pictures, SIZE_WH).doubt is not None
