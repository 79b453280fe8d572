"""Time a whole run of a real clip and compare the result with what was detected in it.

    python benchmarks/real_clip.py VIDEO [--frames 96] [--preset draft] [--perception yolo]

Without truth, two figures say whether the bodies sit on the people: the distance between
reprojected and detected keypoints, and the overlap of the bare bodies' silhouette with the
detected union mask (clothes and hair count against it).
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from measuring import publish, run_closefit, stage_seconds, table

from closefit import artifacts, video, weights
from closefit.appearance.rasterizer import Gaussians, rasterize
from closefit.body import Body
from closefit.body.keypoints import KeypointRegressor
from closefit.demo.clothing import surfels
from closefit.evaluation import BODY_MODELS
from closefit.geometry.camera import project
from closefit.records import OptimizedMotion, Track, unpack_masks

MIN_CONFIDENCE = 0.5
MAX_BOX_IOU = 0.2
FACE_POINTS = 5
"""Keypoints before this index are on the face."""
CHUNK = 8


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
    if options.weights:
        arguments += ["--weights", str(options.weights)]
    cost = run_closefit(arguments)
    track = artifacts.read(folder / "artifacts" / "track.npz", Track)
    motion = artifacts.read(folder / "artifacts" / "optimize.npz", OptimizedMotion)
    body = Body.load(weights.locate(BODY_MODELS[str(motion.body_name)], options.weights))
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
        {"preset": options.preset, "figures": figures, "stage_seconds": seconds},
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
    scale = torch.tensor([width, height]) / torch.from_numpy(track.size_wh.astype(np.float32))
    detected = unpack_masks(track.union_masks, track.mask_size_wh)
    shared = total = 0
    for start in range(0, len(detected), CHUNK):
        part = slice(start, start + CHUNK)
        rotations, betas, transl = _pose_arguments(motion, part)
        vertices = body.pose(rotations, betas, transl).vertices
        K = torch.from_numpy(motion.K[part]).float()
        K[:, :2] *= scale[:, None]
        silhouette = _silhouette(vertices, body, K, width, height)
        known = detected[part].any(axis=(1, 2))
        shared += int((silhouette & detected[part])[known].sum())
        total += int((silhouette | detected[part])[known].sum())
    return shared / total if total else None


def _silhouette(
    vertices: torch.Tensor, body: Body, K: torch.Tensor, width: int, height: int
) -> np.ndarray:
    """Pixels covered by either body: one opaque flat Gaussian per face."""
    discs = surfels(vertices, body, torch.zeros(len(body.faces)))
    flat = {
        "means": discs.means.flatten(1, 2),
        "quat_wxyz": roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(discs.rotations)).flatten(1, 2),
        "scales": discs.scales.flatten(1, 2),
    }
    count = flat["means"].shape[1]
    gaussians = Gaussians(**flat, opacities=torch.ones(1, count), features=torch.ones(1, count, 1))
    return (rasterize(gaussians, K, width, height).alpha > 0.5).numpy()


def _pose_arguments(
    motion: OptimizedMotion, part: slice = slice(None)
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rotations, betas and translations as the body takes them."""
    arrays = (motion.rotations[part], motion.betas, motion.transl[part])
    rotations, betas, transl = (torch.from_numpy(array).float() for array in arrays)
    return rotations, betas, transl


if __name__ == "__main__":
    main()
