"""The observations of a fit: keypoints with weights and expected noise, and masks."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.fit.silhouettes import Silhouettes, silhouettes_from_track
from closefit.fit.weights import MIN_NOISE_PX, NOISE_PER_HEIGHT
from closefit.records import Track


@dataclass(frozen=True, eq=False)
class KeypointTargets:
    """Observed keypoints of two people, in source pixels.

    Attributes:
        points_px: Positions; arbitrary but finite where `weight` is 0.
        weight: Trust in each keypoint, 0 to 1.
        sigma_px: Expected noise per frame and person.
        height_px: Person's size in the image, smoothed over time.
        landmarks_m: 3D keypoints about the hip midpoint in camera axes, and confidence; may have
            no entries.
        seen: At least four keypoints carry weight.
        K: Intrinsics per frame.
        fps: Frames per second.
        set_name: Keypoint set, for `body.keypoints`.
        silhouettes: What the masks state; None where there are none.
    """

    points_px: Float[Tensor, "frame person keypoint 2"]
    weight: Float[Tensor, "frame person keypoint"]
    sigma_px: Float[Tensor, "frame person"]
    height_px: Float[Tensor, "frame person"]
    landmarks_m: Float[Tensor, "frame person landmark 4"]
    seen: Bool[Tensor, "frame person"]
    K: Float[Tensor, "frame 3 3"]
    fps: float
    set_name: str
    silhouettes: Silhouettes | None = None

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.points_px.shape[0]

    def cut(self, frames: slice | Tensor) -> "KeypointTargets":
        """The same targets, some frames only."""
        per_frame = ("points_px", "weight", "sigma_px", "height_px", "landmarks_m", "seen", "K")
        return dataclasses.replace(
            self,
            silhouettes=self.silhouettes and self.silhouettes.cut(frames),
            **{name: getattr(self, name)[frames] for name in per_frame},
        )


def targets_from_track(
    track: Track,
    K: Float[np.ndarray, "frame 3 3"],
    min_confidence: float,
    device: str,
    shown_px: Float[np.ndarray, "frame 4 2"] | None = None,
) -> KeypointTargets:
    """Observations of a tracked clip.

    Keypoints below `min_confidence` are dropped. The weight of the others is their confidence
    times the confidence in the person's identity. `shown_px` are the corners of what each frame
    shows of the picture, where that is a part.
    """
    points = track.keypoints[..., :2]
    confidence = np.where(np.isfinite(track.keypoints).all(-1), track.keypoints[..., 2], 0.0)
    confidence = np.where(confidence >= min_confidence, confidence, 0.0)
    weight = confidence * track.identity_confidence[..., None]
    height = _smooth_height(track.boxes_xyxy, points, weight)
    sigma = NOISE_PER_HEIGHT * height + MIN_NOISE_PX

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32, device=device)

    return KeypointTargets(
        points_px=tensor(np.where(weight[..., None] > 0, points, 0.0)),
        weight=tensor(weight),
        sigma_px=tensor(sigma),
        height_px=tensor(height),
        landmarks_m=tensor(np.nan_to_num(track.landmarks_3d_m)),
        seen=torch.as_tensor((weight > 0).sum(-1) >= 4, device=device),
        K=tensor(K),
        fps=float(track.fps),
        set_name=str(track.keypoint_set),
        silhouettes=silhouettes_from_track(track, height, device, shown_px),
    )


def _smooth_height(
    boxes: Float[np.ndarray, "frame person 4"],
    points: Float[np.ndarray, "frame person keypoint 2"],
    weight: Float[np.ndarray, "frame person keypoint"],
) -> Float[np.ndarray, "frame person"]:
    """Size of a person in the image: a high percentile of box heights over about a second.

    A box shrinks when its person bends or is hidden.
    """
    height = boxes[..., 3] - boxes[..., 1]
    shown = np.where(weight[..., None] > 0, points, np.nan)
    with np.errstate(invalid="ignore"):
        missing = ~np.isfinite(height)
    spread = np.nan_to_num(
        np.nanmax(np.where(np.isfinite(shown), shown, -np.inf)[..., 1], axis=-1)
        - np.nanmin(np.where(np.isfinite(shown), shown, np.inf)[..., 1], axis=-1),
        nan=0.0,
        neginf=0.0,
    )
    height = np.where(missing, np.maximum(spread, 0.0), height)
    half = 15
    padded = np.pad(height, ((half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
    smooth: Float[np.ndarray, "frame person"] = np.percentile(windows, 80, axis=-1)
    return smooth.clip(min=8.0)
