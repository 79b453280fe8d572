"""The clip as a camera that stands still would have filmed it.

The still camera has the place, direction and lens of the one in the reference frame, and a picture
so large that it holds what all frames show. Everything that is fitted is fitted in its pixels.
"""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from closefit.geometry.camera_path import CameraPath, moved
from closefit.mask_stack import MaskStack, deflate
from closefit.records import Track


def still_rectangle(
    homographies: Float[np.ndarray, "frame 3 3"], size_wh: tuple[int, int]
) -> Int[np.ndarray, "4"]:
    """Left, top, right, bottom of what all frames show, in pixels of the reference frame."""
    width, height = size_wh
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    there = moved(np.linalg.inv(homographies), np.tile(corners, (len(homographies), 1, 1)))
    low, high = np.floor(there.min(axis=(0, 1)) + 1e-6), np.ceil(there.max(axis=(0, 1)) - 1e-6)
    return np.concatenate([low, high]).astype(np.int64)


def still_intrinsics(
    track: Track, K: Float[np.ndarray, "frame 3 3"]
) -> Float[np.ndarray, "frame 3 3"]:
    """Intrinsics of the still camera in each frame; `K` are those of the video's frames."""
    if not track.camera_moves:
        return K
    still = K[reference_frame(track)].copy()
    still[:2, 2] -= track.still_xyxy[:2]
    return np.tile(still, (len(K), 1, 1))


def camera_path(track: Track, K_still: Float[np.ndarray, "frame 3 3"]) -> CameraPath:
    """The camera in each frame of the video, where the still one has the intrinsics `K_still`."""
    if not track.camera_moves:
        return CameraPath.still(K_still)
    K = K_still[reference_frame(track)].astype(np.float64)
    K[:2, 2] += track.still_xyxy[:2]
    size_wh = int(track.size_wh[0]), int(track.size_wh[1])
    return CameraPath.of_homographies(track.homographies, K, size_wh)


def reference_frame(track: Track) -> int:
    """The frame whose camera is the still one."""
    return int(np.abs(track.homographies - np.eye(3)).sum(axis=(1, 2)).argmin())


def steadied(track: Track, K_still: Float[np.ndarray, "frame 3 3"]) -> Track:
    """A track in pixels of the still camera, which has the intrinsics `K_still`."""
    if not track.camera_moves:
        return track
    from_frames = _to_still(track) @ np.linalg.inv(track.homographies)
    turns = camera_path(track, K_still).R.swapaxes(-1, -2)[:, None]
    frames = len(track.seen)
    points = track.keypoints[..., :2].reshape(frames, -1, 2).astype(np.float64)
    keypoints = moved(from_frames, points).reshape(*track.keypoints.shape[:3], 2)
    landmarks = track.landmarks_3d_m.copy()
    landmarks[..., :3] = landmarks[..., :3] @ turns.swapaxes(-1, -2)
    size_wh, mask_size_wh = _sizes(track)
    union, persons = _still_masks(track, from_frames)
    return replace(
        track,
        size_wh=np.array(size_wh),
        boxes_xyxy=_moved_boxes(track, from_frames),
        keypoints=np.concatenate([keypoints, track.keypoints[..., 2:]], axis=-1).astype(np.float32),
        landmarks_3d_m=landmarks.astype(np.float32),
        union_mask_bytes=union.joined,
        union_mask_ends=union.ends,
        person_mask_bytes=persons.joined,
        person_mask_ends=persons.ends,
        mask_size_wh=np.array(mask_size_wh),
        homographies=np.tile(np.eye(3), (frames, 1, 1)),
        still_xyxy=np.array([0, 0, *size_wh]),
    )


def shown_corners(track: Track) -> Float[np.ndarray, "frame 4 2"] | None:
    """Corners of what each frame of the video shows, in pixels of the still picture, in a round.

    None where each frame shows all of it.
    """
    if not track.camera_moves:
        return None
    width, height = track.size_wh
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    from_frames = _to_still(track) @ np.linalg.inv(track.homographies)
    return moved(from_frames, np.tile(corners, (len(from_frames), 1, 1)))


def still_part(
    picture: Shaped[np.ndarray, "height width *channel"],
    homography: Float[np.ndarray, "3 3"],
    size_wh: tuple[int, int],
) -> tuple[Shaped[np.ndarray, "rows columns *channel"], Bool[np.ndarray, "rows columns"]]:
    """Warp a picture; returns the pixels, and which of them it has.

    Args:
        picture: What a frame shows.
        homography: From pixels of `picture` to those of the result.
        size_wh: Width and height of the result.
    """
    # Pixel centres of OpenCV are whole numbers; ours lie at +0.5.
    to_ours = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    M = np.linalg.inv(to_ours) @ homography @ to_ours
    warped = cv2.warpPerspective(picture, M, size_wh, flags=cv2.INTER_LINEAR)
    whole = np.full(picture.shape[:2], 255, np.uint8)
    shown = cv2.warpPerspective(whole, M, size_wh, flags=cv2.INTER_LINEAR) == 255
    return warped, np.asarray(shown)


def scaling(x: float, y: float) -> Float[np.ndarray, "3 3"]:
    """Homography to a picture of another size."""
    return np.diag([x, y, 1.0])


def to_part(
    track: Track, region_xyxy: tuple[int, int, int, int], size_wh: tuple[int, int]
) -> Float[np.ndarray, "frame 3 3"]:
    """From pixels of each frame to those of a part of the still picture that is scaled to a size.

    Args:
        track: In pixels of the video.
        region_xyxy: The part, in pixels of the still picture.
        size_wh: Width and height to which it is scaled.
    """
    x0, y0, x1, y1 = region_xyxy
    cut = np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0], [0.0, 0.0, 1.0]])
    scale = scaling(size_wh[0] / (x1 - x0), size_wh[1] / (y1 - y0))
    part: Float[np.ndarray, "frame 3 3"] = (
        scale @ cut @ _to_still(track) @ np.linalg.inv(track.homographies)
    )
    return part


def _to_still(track: Track) -> Float[np.ndarray, "3 3"]:
    """From pixels of the reference frame to those of the still picture."""
    left, top = track.still_xyxy[:2].tolist()
    return np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])


def _sizes(track: Track) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sizes of the still picture and of its masks."""
    size = track.still_xyxy[2:] - track.still_xyxy[:2]
    masks = np.maximum(np.round(size * track.mask_size_wh / track.size_wh), 1).astype(int)
    return (int(size[0]), int(size[1])), (int(masks[0]), int(masks[1]))


def _moved_boxes(
    track: Track, from_frames: Float[np.ndarray, "frame 3 3"]
) -> Float[np.ndarray, "frame person 4"]:
    """Boxes through the moved middles of the edges: corners are not on the person."""
    x0, y0, x1, y1 = np.moveaxis(track.boxes_xyxy.astype(np.float64), -1, 0)
    x, y = (x0 + x1) / 2.0, (y0 + y1) / 2.0
    middles = np.stack([x0, y, x, y0, x1, y, x, y1], axis=-1)
    there = moved(from_frames, middles.reshape(len(middles), -1, 2)).reshape(*x.shape, 4, 2)
    boxes = np.stack([there[..., 0, 0], there[..., 1, 1], there[..., 2, 0], there[..., 3, 1]], -1)
    return boxes.astype(np.float32)


def _still_masks(
    track: Track, from_frames: Float[np.ndarray, "frame 3 3"]
) -> tuple[MaskStack, MaskStack]:
    """Masks of both people and of each, in the still picture; one frame is in memory at a time."""
    (width, height), (mask_width, mask_height) = _sizes(track)
    from_masks = scaling(*(track.size_wh / track.mask_size_wh).tolist())
    whole = scaling(mask_width / width, mask_height / height) @ from_frames @ from_masks
    size_wh = mask_width, mask_height

    def warped(mask: Bool[np.ndarray, "rows columns"], frame: int) -> bytes:
        if not mask.any():
            return b""
        pixels, _ = still_part(mask.astype(np.uint8) * 255, whole[frame], size_wh)
        return deflate(pixels > 127)

    frames = range(len(whole))
    union, persons = track.union_masks, track.person_masks
    return (
        MaskStack.of((warped(union[f], f) for f in frames), size_wh),
        MaskStack.of((warped(mask, f) for f in frames for mask in persons[f]), size_wh, (-1, 2)),
    )
