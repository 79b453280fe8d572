"""To the still camera and back: what is at a pixel of a frame is at its pixel of the still one."""

from dataclasses import replace

import numpy as np
import pytest

from closefit.exporters.filming import floors_before, scene_from_frames, seen_by
from closefit.exporters.scene import scene_from_camera
from closefit.geometry.camera import intrinsics
from closefit.geometry.camera_path import CameraPath, homographies_of, moved
from closefit.records import Track
from closefit.tracking.steadying import (
    camera_path,
    reference_frame,
    shown_corners,
    steadied,
    still_intrinsics,
    still_rectangle,
)
from tests.samples import make_motion, make_track
from tests.shaken_clip import hand_held

SIZE_WH = WIDTH, HEIGHT = 320, 240
FRAMES, REFERENCE = 9, 4
FOCAL_PX = 300.0


@pytest.fixture(scope="module")
def camera() -> CameraPath:
    """A camera that turns about all axes and zooms."""
    turns = hand_held(FRAMES, seed=2)
    K = np.tile(intrinsics(*SIZE_WH, FOCAL_PX), (FRAMES, 1, 1))
    K[:, (0, 1), (0, 1)] *= np.linspace(0.97, 1.05, FRAMES)[:, None]
    return CameraPath(K, turns @ turns[REFERENCE].T)


@pytest.fixture(scope="module")
def track(camera: CameraPath) -> Track:
    homographies = homographies_of(camera, REFERENCE)
    homographies[REFERENCE] = np.eye(3)
    generator = np.random.default_rng(0)
    keypoints = np.concatenate(
        [generator.uniform((0, 0), SIZE_WH, (FRAMES, 2, 17, 2)), np.ones((FRAMES, 2, 17, 1))], -1
    )
    return replace(
        make_track(FRAMES, SIZE_WH),
        keypoints=keypoints.astype(np.float32),
        boxes_xyxy=np.tile(np.float32([[40, 60, 100, 200], [120, 50, 180, 210]]), (FRAMES, 1, 1)),
        homographies=homographies,
        still_xyxy=still_rectangle(homographies, SIZE_WH),
    )


def K_still(track: Track, camera: CameraPath) -> np.ndarray:
    return still_intrinsics(track, camera.K)


def test_a_track_of_a_still_camera_is_the_same_object() -> None:
    track = make_track()
    K = np.tile(intrinsics(64, 48, 50.0), (5, 1, 1))
    assert steadied(track, K) is track
    assert still_intrinsics(track, K) is K
    assert not camera_path(track, K).moves


def test_the_path_follows_from_homographies(track, camera) -> None:
    found = camera_path(track, K_still(track, camera))
    assert reference_frame(track) == REFERENCE
    np.testing.assert_allclose(found.R, camera.R, atol=1e-9)
    np.testing.assert_allclose(found.K, camera.K, rtol=1e-9)


def test_rays_of_the_still_camera_are_those_of_the_frames(track, camera) -> None:
    K = K_still(track, camera)
    still = steadied(track, K)
    assert not still.camera_moves
    whole = np.concatenate([still.keypoints[..., :2], np.ones((FRAMES, 2, 17, 1))], axis=-1)
    rays = whole @ np.linalg.inv(K)[:, None].swapaxes(-1, -2)
    back = rays @ (camera.K @ camera.R)[:, None].swapaxes(-1, -2)
    np.testing.assert_allclose(back[..., :2] / back[..., 2:], track.keypoints[..., :2], atol=1e-2)
    np.testing.assert_array_equal(still.keypoints[..., 2], track.keypoints[..., 2])


def test_the_still_picture_holds_all_frames(track) -> None:
    corners = np.array([[0.0, 0.0], [WIDTH, 0.0], [0.0, HEIGHT], [WIDTH, HEIGHT]])
    there = moved(np.linalg.inv(track.homographies), np.tile(corners, (FRAMES, 1, 1)))
    low, high = track.still_xyxy[:2], track.still_xyxy[2:]
    assert (there >= low - 1e-4).all()
    assert (there <= high + 1e-4).all()
    assert (high - low > SIZE_WH).all()


def test_corners_of_the_still_picture_are_those_of_each_frame(track) -> None:
    corners = shown_corners(track)
    back = moved(track.homographies, corners + track.still_xyxy[:2])
    whole = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]])
    np.testing.assert_allclose(back, np.tile(whole, (FRAMES, 1, 1)), atol=1e-3)
    assert shown_corners(make_track()) is None


def test_masks_and_boxes_move_with_their_person(track, camera) -> None:
    still = steadied(track, K_still(track, camera))
    scale = still.size_wh / still.mask_size_wh
    for frame in range(FRAMES):
        for person in range(2):
            pixels = np.argwhere(track.person_masks[frame, person])[:, ::-1] + 0.5
            to_still = np.linalg.inv(track.homographies[frame])
            there = (moved(to_still, pixels) - track.still_xyxy[:2]) / scale
            columns, rows = there.astype(int).T
            mask = still.person_masks[frame, person]
            assert mask[rows, columns].mean() > 0.97
            rows, columns = np.nonzero(mask)
            back = (np.stack([columns, rows], -1) + 0.5) * scale + track.still_xyxy[:2]
            columns, rows = moved(track.homographies[frame], back).astype(int).T
            inside = (columns >= 0) & (columns < WIDTH) & (rows >= 0) & (rows < HEIGHT)
            assert track.person_masks[frame, person][rows[inside], columns[inside]].mean() > 0.97
    area = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in
            (still.boxes_xyxy, track.boxes_xyxy)]  # fmt: skip
    zoom = camera.K[:, 0, 0] / camera.K[REFERENCE, 0, 0]
    np.testing.assert_allclose(area[0] * zoom[:, None] ** 2, area[1], rtol=0.05)


def test_a_motion_before_each_frame_has_one_place_in_the_scene(camera) -> None:
    motion = make_motion(FRAMES)
    filmed = seen_by(motion, camera)
    T = scene_from_camera(motion.floor)
    scene = motion.joints @ T[:3, :3].T + T[:3, 3]
    each = scene_from_frames(T, camera)[:, None]
    found = filmed.joints @ each[..., :3, :3].swapaxes(-1, -2) + each[..., None, :3, 3]
    np.testing.assert_allclose(found, scene, atol=1e-4)
    heights = np.einsum("fpjc,fc->fpj", filmed.joints, floors_before(motion.floor, camera)[:, :3])
    np.testing.assert_allclose(heights + motion.floor[3], scene[..., 1], atol=1e-4)
    np.testing.assert_allclose(
        filmed.joints[:, :, 0] - filmed.transl, motion.joints[:, :, 0] - motion.transl, atol=1e-4
    )
    assert seen_by(motion, CameraPath.still(motion.K)) is motion
