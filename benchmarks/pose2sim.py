"""Joint error on a real clip of four calibrated views, against joints triangulated from them.

    python benchmarks/pose2sim.py FOLDER [--camera cam02] [--perception yolo] [--preset draft]

FOLDER holds `cam01.mp4` ... and `Calib.qca.txt` (Pose2Sim's demo of two people). The detector looks
at every view; a keypoint counts where at least three views agree on it within a few pixels.
closefit itself sees one view, with that camera's true intrinsics. Models elsewhere:
CLOSEFIT_WEIGHTS=DIR.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import publish, run_closefit, table
from views import View, read_qualisys, same_people, triangulate

from closefit.body.keypoints import COCO17, KEYPOINT_SETS
from closefit.body.model import Body
from closefit.evaluation.metrics import similarity_align
from closefit.evaluation.runs import STAGES
from closefit.fit.reprojection import KeypointProjector
from closefit.geometry.units import MM_PER_M
from closefit.models import weights
from closefit.records import Motion, Track
from closefit.storage import artifacts

FACE_POINTS = 5
"""Keypoints before this index are on the face and lie elsewhere on a body without one."""
JOINTS = COCO17.names[FACE_POINTS:]
HIPS = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]
MIN_CONFIDENCE = 0.5
LEAST_VIEWS = 3
COLUMNS = (
    "hips aligned (mm)", "and scaled (mm)", "true size / fit's", "PA (mm)", "pair PA (mm)",
    "interaction (mm)",
)  # fmt: skip
"""A single view does not determine the size of people; "true size" shows how wrong it is."""
LEAST_JOINTS = 8
"""Joints that a person must have in a frame to be scored there."""
BONES = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
ODD_BONE = 0.25
"""A bone that differs from its usual length by more than this share was detected wrongly."""


def main() -> None:
    """Triangulate, run one view, compare."""
    options = _options()
    views = read_qualisys(options.folder / "Calib.qca.txt")
    names = [view.name for view in views]
    if options.camera not in names:
        raise SystemExit(f"no camera `{options.camera}`; there are {', '.join(names)}")
    tracks = [_track(options, view) for view in views]
    # The chosen view keeps its own order of people: it comes first.
    first = names.index(options.camera)
    order = [first, *(i for i in range(len(views)) if i != first)]
    views, tracks = [views[i] for i in order], [tracks[i] for i in order]
    truth, quality = _truth(views, tracks, options.tolerance_px)
    folder = _run(options, views[0])
    figures = {
        stage: _errors(folder, stage, views[0].in_camera(truth)) for stage in ("init", "optimize")
    }
    header = ["stage", "who", *COLUMNS, "scored frames"]
    rows = [
        [stage, who, *found.values()]
        for stage, people in figures.items()
        for who, found in people.items()
    ]
    words = (
        f"{options.camera}, `{options.perception}`, preset `{options.preset}`, true intrinsics; "
        f"{len(JOINTS)} joints against keypoints on which at least {LEAST_VIEWS} views agree "
        f"within {options.tolerance_px:g} px."
    )
    data = {"camera": options.camera, "triangulation": quality, "errors": figures}
    tables = [words, table(list(quality), [list(quality.values())]), table(header, rows)]
    publish(f"pose2sim_{options.camera}", data, tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--camera", default="cam02")
    parser.add_argument("--perception", default="yolo", choices=["yolo", "lite", "full"])
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--out", type=Path, default=Path("results/bench-pose2sim"))
    parser.add_argument("--tolerance-px", type=float, default=20.0)
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    return parser.parse_args()


def _track(options: argparse.Namespace, view: View) -> Track:
    folder = options.out / f"{view.name}-{options.perception}"
    run_closefit(
        ["stage", "track", str(options.folder / f"{view.name}.mp4"), "--out", str(folder),
         "--perception", options.perception]
    )  # fmt: skip
    return artifacts.read(folder / "artifacts" / "track.npz", Track)


def _run(options: argparse.Namespace, view: View) -> Path:
    folder: Path = options.out / f"{view.name}-{options.perception}"
    camera = options.out / f"{view.name}-camera.npz"
    np.savez(camera, K=view.K)
    arguments = ["run", str(options.folder / f"{view.name}.mp4"), "--out", str(folder)]
    arguments += ["--perception", options.perception, "--preset", options.preset]
    arguments += ["--camera", str(camera), "--until", "optimize"]
    for assignment in options.set:
        arguments += ["--set", assignment]
    run_closefit(arguments)
    return folder


def _truth(
    views: list[View], tracks: list[Track], tolerance_px: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Joints in the world (frame, person, joint, 3), NaN where unsure, and how sure they are."""
    pick = [_body_points(track) for track in tracks]
    frames = min(len(points) for points in pick)
    keypoints = np.stack([points[:frames] for points in pick])
    known = np.isfinite(keypoints).all(-1) & (keypoints[..., 2] >= MIN_CONFIDENCE)
    for i, track in enumerate(tracks):
        known[i] &= (track.seen & ~track.filled)[:frames, :, None]
    pixels = np.where(known[..., None], keypoints[..., :2], 0.0)
    pixels = np.stack([view.undistorted(p) for view, p in zip(views, pixels, strict=True)])
    orders, agreement_px = same_people(views, pixels, known)
    pixels = np.stack([pixels[i][:, list(o)] for i, o in enumerate(orders)])
    known = np.stack([known[i][:, list(o)] for i, o in enumerate(orders)])
    shape = pixels.shape[1:4]
    found = triangulate(
        views, pixels.reshape(len(views), -1, 2), known.reshape(len(views), -1), tolerance_px,
        LEAST_VIEWS,
    )  # fmt: skip
    points = without_odd_bones(found.points_m.reshape(*shape, 3))
    good = np.isfinite(points).all(-1)
    quality = {
        "frames": frames,
        "median error of all four (px)": agreement_px,
        "triangulated joints": float(good.mean()),
        "of these in four views": float(
            (found.num_views.reshape(shape) == len(views))[good].mean()
        ),
        "their error (px)": float(np.median(found.error_px.reshape(shape)[good])),
    }
    return points, quality


def without_odd_bones(points_m: np.ndarray) -> np.ndarray:
    """Take out joints (frame, person, joint, 3) at bones that are not as long as usual.

    A detector that takes one leg for the other does so in several views at once; the bone then has
    another length than in most frames and on the other side.
    """
    kept = points_m.copy()
    bones = [(JOINTS.index(f"left_{a}"), JOINTS.index(f"left_{b}")) for a, b in BONES]
    right = [(JOINTS.index(f"right_{a}"), JOINTS.index(f"right_{b}")) for a, b in BONES]
    for pair in zip(bones, right, strict=True):
        lengths = [np.linalg.norm(points_m[:, :, a] - points_m[:, :, b], axis=-1) for a, b in pair]
        usual = np.nanmedian(np.concatenate(lengths), axis=0)
        for (_, outer), length in zip(pair, lengths, strict=True):
            kept[np.abs(length / usual - 1.0) > ODD_BONE, outer] = np.nan
    return kept


def _body_points(track: Track) -> np.ndarray:
    """Keypoints of `JOINTS`, whatever set the detector has."""
    names = KEYPOINT_SETS[str(track.keypoint_set)].names
    return track.keypoints[:, :, [names.index(name) for name in JOINTS]]


def _errors(folder: Path, stage: str, truth_m: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Errors of one stage by person; `truth_m` is in the camera's frame and has gaps."""
    motion: Motion = artifacts.read(folder / "artifacts" / f"{stage}.npz", STAGES[stage])
    body = Body.load(weights.locate(weights.BODIES[str(motion.body_name)]))
    tensors = [torch.as_tensor(a) for a in (motion.rotations, motion.betas, motion.transl)]
    with torch.no_grad():
        keypoints = KeypointProjector(body, "coco17").keypoints(*tensors)[1]
    found_m = keypoints.double().numpy()[: len(truth_m), :, FACE_POINTS:]
    return {
        "both": _scores(found_m, truth_m, (0, 1)),
        **{f"person {person}": _scores(found_m, truth_m, (person,)) for person in (0, 1)},
    }


def _scores(
    found_m: np.ndarray, truth_m: np.ndarray, people: tuple[int, ...]
) -> dict[str, float | None]:
    """Errors of some people, over the joints that the truth has."""
    known = np.isfinite(truth_m).all(-1)
    scored = known[:, :, HIPS].all(-1) & (known.sum(-1) >= LEAST_JOINTS)
    found: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for frame, person in zip(*np.nonzero(scored), strict=True):
        k = known[frame, person]
        if person not in people:
            continue
        fit, true = (x[frame, person] - x[frame, person, HIPS].mean(0) for x in (found_m, truth_m))
        scale = float((fit[k] * true[k]).sum() / (fit[k] ** 2).sum())
        found["hips aligned (mm)"].append(_distance_mm(fit[k], true[k]))
        found["and scaled (mm)"].append(_distance_mm(scale * fit[k], true[k]))
        found["true size / fit's"].append(scale)
        found["PA (mm)"].append(_aligned_mm(fit[k], true[k]))
    for frame in np.flatnonzero(scored.all(axis=1)) if len(people) > 1 else ():
        k = known[frame]
        fit, true = found_m[frame], truth_m[frame]
        found["pair PA (mm)"].append(_aligned_mm(fit[k], true[k]))
        apart = [np.linalg.norm(x[0, k[0], None] - x[1, k[1]], axis=-1) for x in (fit, true)]
        found["interaction (mm)"].append(MM_PER_M * float(np.abs(apart[0] - apart[1]).mean()))
    mean: dict[str, float | None] = {
        name: float(np.mean(v)) if v else None for name, v in found.items()
    }
    return mean | {"scored frames": float(scored[:, list(people)].mean())}


def _distance_mm(points_m: np.ndarray, target_m: np.ndarray) -> float:
    return MM_PER_M * float(np.linalg.norm(points_m - target_m, axis=-1).mean())


def _aligned_mm(points_m: np.ndarray, target_m: np.ndarray) -> float:
    return _distance_mm(similarity_align(points_m[None], target_m[None])[0], target_m)


if __name__ == "__main__":
    main()
