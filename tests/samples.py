"""Small records that follow the schemas, for tests that need one but not what is in it."""

import numpy as np

from closefit.mask_stack import MaskStack, deflate
from closefit.records import Motion, OptimizedMotion, Track, VideoInfo


def make_video_info(frames: int = 5, content_sha256: str = "0" * 64) -> VideoInfo:
    return VideoInfo(
        path="clip.mp4",
        width=64,
        height=48,
        fps=30.0,
        num_frames=frames,
        duration_s=frames / 30.0,
        rotation_deg=0,
        variable_frame_rate=False,
        content_sha256=content_sha256,
    )


def make_track(frames: int = 5, size_wh: tuple[int, int] = (64, 48)) -> Track:
    generator = np.random.default_rng(0)
    width, height = size_wh
    masks = np.zeros((frames, 2, height, width), dtype=bool)
    masks[:, 0, height // 4 : height // 2, : width // 2] = True
    masks[:, 1, height // 2 :, width // 2 :] = True
    union = MaskStack.of((deflate(mask) for mask in masks.any(axis=1)), size_wh)
    people = MaskStack.of((deflate(mask) for pair in masks for mask in pair), size_wh, (-1, 2))
    return Track(
        time_s=np.arange(frames) / 30.0,
        fps=np.array(30.0),
        size_wh=np.array(size_wh),
        boxes_xyxy=generator.uniform(0, 48, (frames, 2, 4)).astype(np.float32),
        keypoints=generator.uniform(0, 1, (frames, 2, 17, 3)).astype(np.float32),
        keypoint_set=np.array("coco17"),
        landmarks_3d_m=np.zeros((frames, 2, 0, 4), np.float32),
        union_mask_bytes=union.joined,
        union_mask_ends=union.ends,
        person_mask_bytes=people.joined,
        person_mask_ends=people.ends,
        mask_size_wh=np.array(size_wh),
        seen=np.ones((frames, 2), bool),
        filled=np.zeros((frames, 2), bool),
        identity_confidence=np.ones((frames, 2), np.float32),
        homographies=np.tile(np.eye(3), (frames, 1, 1)),
        still_xyxy=np.array([0, 0, *size_wh]),
    )


def make_motion(frames: int = 5, seed: int = 0) -> Motion:
    return Motion(**_motion_fields(frames, seed))


def make_optimized_motion(frames: int = 5, seed: int = 0, gaussians: int = 7) -> OptimizedMotion:
    generator = np.random.default_rng(seed)
    return OptimizedMotion(
        **_motion_fields(frames, seed),
        gaussian_face=np.zeros((2, gaussians), np.int64),
        gaussian_barycentric=np.full((2, gaussians, 3), 1 / 3, np.float32),
        gaussian_offset_m=np.zeros((2, gaussians, 3), np.float32),
        gaussian_rotation=np.zeros((2, gaussians, 3), np.float32),
        gaussian_scale_m=np.full((2, gaussians, 3), 0.01, np.float32),
        gaussian_colour=generator.uniform(0, 1, (2, gaussians, 3)).astype(np.float32),
        gaussian_opacity=np.ones((2, gaussians), np.float32),
        gaussian_identity=np.ones((2, gaussians), np.float32),
        status=np.array("converged"),
        curve_names=np.array(["reprojection"]),
        curves=np.zeros((3, 1), np.float32),
        kept_keypoints=np.array(1.0, np.float32),
    )


def _motion_fields(frames: int, seed: int) -> dict[str, np.ndarray]:
    generator, before = np.random.default_rng(seed), np.array([0.0, 0.0, 9.0])
    return {
        "rotations": np.tile(np.eye(3, dtype=np.float32), (frames, 2, 24, 1, 1)),
        "betas": generator.normal(size=(2, 10)).astype(np.float32),
        "transl": (before + generator.normal(size=(frames, 2, 3))).astype(np.float32),
        "joints": (before + generator.uniform(-0.5, 0.5, (frames, 2, 24, 3))).astype(np.float32),
        "K": np.tile(np.eye(3), (frames, 1, 1)),
        "valid": np.ones((frames, 2), bool),
        "confidence": np.ones((frames, 2), np.float32),
        "body_name": np.array("closefit"),
        "floor": np.array([0.0, -1.0, 0.0, 1.0], np.float32),
        "notes": np.array(""),
    }
