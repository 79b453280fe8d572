"""Two stick people who walk about, as a detector would see them."""

import numpy as np

from closefit.mask_stack import join
from closefit.records import DetectedPeople
from closefit.tracking.detections import DetectionCollector, Detections
from closefit.tracking.mask_crops import MaskCrop
from closefit.tracking.pair import Pair

HEIGHT_PX = 200.0
IMAGE_WH = (640, 360)

# COCO-17 in person heights, from the top of the head down.
POSE = np.array(
    [
        *[(0.0, 0.07), (0.015, 0.05), (-0.015, 0.05), (0.04, 0.06), (-0.04, 0.06)],
        *[(0.1, 0.18), (-0.1, 0.18), (0.13, 0.34), (-0.13, 0.34), (0.14, 0.48), (-0.14, 0.48)],
        *[(0.06, 0.5), (-0.06, 0.5), (0.07, 0.73), (-0.07, 0.73), (0.08, 0.96), (-0.08, 0.96)],
    ]
)


def walk(centres_px: np.ndarray, fps: float = 30.0, noise_px: float = 1.0) -> Pair:
    """People whose bodies are around `centres_px` (frame, 2), swinging arms and legs."""
    generator = np.random.default_rng(0)
    frames = len(centres_px)
    time_s = np.arange(frames)[:, None, None] / fps
    swing = np.sin(2 * np.pi * 1.2 * time_s + np.array([0.0, 1.0])[None, :, None])
    limbs = np.zeros(17)
    limbs[[9, 10, 15, 16]] = 0.08, -0.08, -0.1, 0.1
    limbs[[7, 8, 13, 14]] = 0.04, -0.04, -0.05, 0.05
    x = centres_px[..., None] + HEIGHT_PX * (POSE[:, 0] + limbs * swing)
    y = np.broadcast_to(80.0 + HEIGHT_PX * POSE[:, 1], x.shape)
    points = np.stack([x, y], axis=-1)
    low, high = points.min(axis=2) - 8.0, points.max(axis=2) + 8.0
    points = points + generator.normal(size=points.shape) * noise_px
    confidence = generator.uniform(0.7, 0.95, points.shape[:3])
    return Pair(
        boxes_xyxy=np.concatenate([low, high], axis=-1),
        keypoints=np.concatenate([points, confidence[..., None]], axis=-1),
        colours=np.full((frames, 2, 4), np.nan),
    )


def crossing(frames: int = 60, fps: float = 30.0) -> Pair:
    """Two people who walk past each other, at the same height in the picture."""
    way = np.linspace(0.0, 1.0, frames)
    return walk(np.stack([120 + 400 * way, 520 - 400 * way], axis=1), fps)


def see(people: list[Pair], hidden: np.ndarray | None = None) -> DetectedPeople:
    """Detections of all people in several pairs; their order changes from frame to frame.

    Args:
        people: Any number of pairs.
        hidden: (frame, person) True where nobody is detected.
    """
    generator = np.random.default_rng(1)
    boxes = np.concatenate([pair.boxes_xyxy for pair in people], axis=1)
    keypoints = np.concatenate([pair.keypoints for pair in people], axis=1)
    collector = DetectionCollector()
    width, height = IMAGE_WH
    colours = generator.integers(0, 255, (boxes.shape[1], 3))
    for frame in range(len(boxes)):
        order = generator.permutation(boxes.shape[1])
        if hidden is not None:
            order = order[~hidden[frame, order]]
        image = np.full((height, width, 3), 128, dtype=np.uint8)
        masks = np.zeros((len(order), height, width), dtype=bool)
        for number, person in enumerate(order):
            x0, y0, x1, y1 = boxes[frame, person].round().astype(int).clip(0)
            image[y0:y1, x0:x1] = colours[person]
            masks[:, y0:y1, x0:x1] = False  # whoever comes later stands in front
            masks[number, y0:y1, x0:x1] = True
        collector.add(
            image,
            Detections(
                boxes_xyxy=boxes[frame, order],
                scores=np.full(len(order), 0.9),
                keypoints=keypoints[frame, order],
                masks=masks,
            ),
        )
    return collector.finish(np.arange(len(boxes)) / 30.0)


def import_pair(pair: Pair) -> DetectedPeople:
    """The detections of two people, with their columns as imported identities."""
    frame, person = np.nonzero(pair.seen)
    crops = [MaskCrop.empty()] * len(frame)
    if pair.masks is not None:
        crops = list(pair.masks[frame, person])
    mask_bytes, mask_ends = join(crop.deflated for crop in crops)
    return DetectedPeople(
        time_s=np.arange(len(pair.seen)) / 30.0,
        size_wh=np.array(IMAGE_WH),
        frame=frame,
        boxes_xyxy=pair.boxes_xyxy[frame, person],
        scores=np.ones(len(frame)),
        keypoints=pair.keypoints[frame, person],
        landmarks_3d_m=np.zeros((len(frame), 0, 4)),
        colours=pair.colours[frame, person],
        identity=person,
        mask_corners=np.array([crop.corners for crop in crops]),
        mask_bytes=mask_bytes,
        mask_ends=mask_ends,
    )
