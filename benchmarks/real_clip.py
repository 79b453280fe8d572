"""Time a whole run of a real clip and compare the result with what was detected in it.

    python benchmarks/real_clip.py VIDEO [--frames 96] [--preset draft] [--perception yolo]

Without truth, two figures indicate whether the bodies sit on the people: the distance between
reprojected and detected keypoints, and the overlap of the bare bodies' silhouette with the
detected union mask (clothes and hair count against it).
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import publish, run_closefit, stage_seconds, table

from closefit import video
from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.exporters.filming import seen_by
from closefit.exporters.mesh_raster import MeshPainter
from closefit.exporters.views import project_perspective
from closefit.geometry.camera import project
from closefit.models import weights
from closefit.records import OptimizedMotion, Track
from closefit.storage import artifacts
from closefit.tracking.steadying import camera_path

MIN_CONFIDENCE = 0.5
MAX_BOX_IOU = 0.2
FACE_POINTS = 5
"""Keypoints before this index are on the face."""
NEAR_M = 0.1


def main() -> None:
    """Run, measure, publish."""
    options = _options()
    folder = options.out / options.video.parent.name
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    # Half a frame is taken off so that rounding cannot add one.
    end_s = (options.frames - 0.5) / video.probe(options.video).fps
    arguments = ["run", str(options.video), "--out", str(folder), "--end", f"{end_s:.4f}"]
    arguments += ["--preset", options.preset, "--perception", options.perception]
    for assignment in options.set:
        arguments += ["--set", assignment]
    if options.weights:
        arguments += ["--weights", str(options.weights)]
    cost = run_closefit(arguments)
    track = artifacts.read(folder / "artifacts" / "track.npz", Track)
    motion = artifacts.read(folder / "artifacts" / "optimize.npz", OptimizedMotion)
    motion = seen_by(motion, camera_path(track, motion.K))
    body = Body.load(weights.locate(weights.BODIES[str(motion.body_name)], options.weights))
    figures = {
        "frames": len(track.boxes_xyxy),
        "seconds": cost.seconds,
        "peak_memory_gb": cost.peak_memory_gb,
        **_keypoint_errors(body, motion, track),
        "silhouette_iou": _silhouette_iou(body, motion, track),
    }
    name = f"real_clip_{options.video.parent.name}"
    seconds = stage_seconds(folder)
    publish(
        name,
        {
            "preset": options.preset,
            "settings": options.set,
            "figures": figures,
            "stage_seconds": seconds,
        },
        [
            table(["figure", "value"], list(figures.items())),
            table(["stage", "s"], list(seconds.items())),
        ],
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--perception", default="yolo")
    parser.add_argument("--weights", type=Path, help="folder of the detector's weights")
    parser.add_argument("--out", type=Path, default=Path("results/bench-real"))
    parser.add_argument("--keep", action="store_true", help="measure a finished run as it is")
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    return parser.parse_args()


def _keypoint_errors(body: Body, motion: OptimizedMotion, track: Track) -> dict[str, Any]:
    """Mean distance of confident keypoints in percent of the box height, people apart."""
    keypoint_set = str(track.keypoint_set)
    regressor = KeypointRegressor(body, keypoint_set)
    small = body.subset(regressor.vertex_indices)
    rotations, betas, transl = _pose_arguments(motion)
    points = regressor.of(small.pose(rotations, betas, transl))
    K = torch.from_numpy(motion.K).float()[:, None, None]
    distance = np.linalg.norm(project(points, K).numpy() - track.keypoints[..., :2], axis=-1)
    height = track.boxes_xyxy[..., 3] - track.boxes_xyxy[..., 1]
    percent = 100.0 * distance / height[..., None]
    apart = _box_iou(track.boxes_xyxy) < MAX_BOX_IOU
    counts = track.keypoints[..., 2] > MIN_CONFIDENCE
    counts &= (track.seen & ~track.filled & apart[:, None])[..., None]
    limbs = counts.copy()
    limbs[..., :FACE_POINTS] = False
    return {
        "frames_apart": int(apart.sum()),
        "body_keypoint_error_percent": float(percent[limbs].mean()) if limbs.any() else None,
        "all_keypoint_error_percent": float(percent[counts].mean()) if counts.any() else None,
    }


def _box_iou(boxes: np.ndarray) -> np.ndarray:
    """Overlap of the two people's boxes in each frame; NaN where one is missing."""
    low = np.maximum(boxes[:, 0, :2], boxes[:, 1, :2])
    high = np.minimum(boxes[:, 0, 2:], boxes[:, 1, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    return shared / (area.sum(axis=1) - shared)


def _silhouette_iou(body: Body, motion: OptimizedMotion, track: Track) -> float | None:
    """Overlap of the bare bodies with the detected union mask, over frames that have one."""
    width, height = (int(side) for side in track.mask_size_wh)
    to_mask = np.array([[width], [height], [1]]) / np.array([*track.size_wh, 1])[:, None]
    detected = track.union_masks
    painter = MeshPainter(body.faces.numpy(), width, height)
    white = np.full((height, width, 3), 255, dtype=np.uint8)
    shared = total = 0
    for frame in np.flatnonzero(detected.shown):
        vertices = body.pose(*_pose_arguments(motion, slice(frame, frame + 1))).vertices[0]
        silhouette = _silhouette(vertices.numpy(), painter, white, motion.K[frame] * to_mask)
        mask = detected[frame]
        shared += int((silhouette & mask).sum())
        total += int((silhouette | mask).sum())
    return shared / total if total else None


def _silhouette(
    vertices: np.ndarray, painter: MeshPainter, white: np.ndarray, K: np.ndarray
) -> np.ndarray:
    """Pixels that the bodies cover by half or more: black bodies on white."""
    seen = project_perspective(vertices, K, NEAR_M)
    light = np.array([0.0, 0.0, -1.0])
    return painter.draw(white, vertices, seen, light, np.zeros((2, 3)), 1.0)[..., 0] < 128


def _pose_arguments(
    motion: OptimizedMotion, part: slice = slice(None)
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rotations, betas and translations as the body takes them."""
    arrays = (motion.rotations[part], motion.betas, motion.transl[part])
    rotations, betas, transl = (torch.from_numpy(array).float() for array in arrays)
    return rotations, betas, transl


if __name__ == "__main__":
    main()
