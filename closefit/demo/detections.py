"""Simulated detections of an imperfect detector, for a clip whose truth is known.

Works on any truth file in the format of `closefit demo`, so one clip can be detected many times
with different seeds. The noise is that of the prior's training, which was fitted to two detectors
(`closefit/simulation`). Pixels have (0, 0) at the top left corner of the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.prior.objective import GeometryOf
from closefit.simulation.cameras import Cameras
from closefit.simulation.detections import DetectorRanges, detect

BOX_JITTER = 0.005
"""Standard deviation of the corners of boxes, in box heights."""
RANGES = DetectorRanges(clean_probability=0.0, detected_probability=0.0, swap_run_probability=1.0)
"""Keypoints are the body's own, as in any file of observations; each clip has swapped frames."""


@dataclass(frozen=True, eq=False)
class VisiblePeople:
    """The part of a truth that a detector could see.

    Attributes:
        pose: Both people in camera axes.
        keypoints_px: COCO-17 points, also where they are hidden.
        boxes_xyxy: Box of the visible part of each person.
        masks: Visible pixels of each person.
        K: Intrinsics; the principal point is the middle of the picture.
        fps: Frames per second.
    """

    pose: PairPose
    keypoints_px: Float[np.ndarray, "frame 2 17 2"]
    boxes_xyxy: Float[np.ndarray, "frame 2 4"]
    masks: Bool[np.ndarray, "frame 2 height width"]
    K: Float[np.ndarray, "3 3"]
    fps: float

    @classmethod
    def from_truth(cls, truth: Mapping[str, np.ndarray]) -> "VisiblePeople":
        """Take it from the arrays of a truth file."""
        shape = tuple(truth["masks_shape"])
        bits = np.unpackbits(truth["masks"], count=int(np.prod(shape)))
        rotations = torch.as_tensor(truth["rotations"]).float()
        betas = torch.as_tensor(truth["betas"]).float().expand(*rotations.shape[:2], -1)
        pelvis_m = torch.as_tensor(truth["joints3d"][:, :, 0]).float()
        return cls(
            pose=PairPose(rotations, betas, pelvis_m),
            keypoints_px=truth["keypoints2d"],
            boxes_xyxy=truth["boxes"],
            masks=bits.reshape(shape).astype(bool),
            K=truth["K"],
            fps=float(truth["fps"]),
        )


def simulate_detections(people: VisiblePeople, body: Body, seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of an observations file.

    Args:
        people: Who is detected.
        body: The body of their poses and shapes.
        seed: Of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = (people.pose.rotations, people.pose.betas, people.pose.pelvis_m)
    pose = PairPose(*(part[None] for part in parts))
    geometry = GeometryOf(body)(pose)
    height, width = people.masks.shape[-2:]
    focal_px = float(people.K[1, 1])
    cameras = Cameras(torch.tensor([focal_px / height]), torch.tensor([width / height]))
    found, swapped = detect(pose, geometry, geometry.keypoints, cameras, RANGES, generator)
    keypoints, flipped = found[0].double().numpy(), swapped[0].numpy()
    keypoints[..., :2] = keypoints[..., :2] * focal_px + 0.5 * np.array([width, height])
    boxes = people.boxes_xyxy.astype(float)
    noise = torch.randn(boxes.shape, generator=generator).numpy()
    boxes += BOX_JITTER * (boxes[..., 3:] - boxes[..., 1:2]) * noise
    boxes[flipped] = boxes[flipped, ::-1]
    missed = ~(keypoints[..., 2] > 0).any(axis=-1) | np.isnan(boxes[..., 0])
    boxes[missed], keypoints[missed] = np.nan, (np.nan, np.nan, 0.0)
    return {"boxes": boxes, "keypoints": keypoints} | _union(people)


def _union(people: VisiblePeople) -> dict[str, np.ndarray]:
    union = people.masks.any(axis=1)
    bits: UInt8[np.ndarray, " bytes"] = np.packbits(union)
    return {
        "union_masks": bits,
        "union_masks_shape": np.array(union.shape),
        "width": np.array(union.shape[2]),
        "height": np.array(union.shape[1]),
        "fps": np.array(people.fps),
    }
