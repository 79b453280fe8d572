"""Where pose networks see joints: offsets from the body's own points, constant in a bone's axes.

    python benchmarks/keypoint_offsets.py RUNS CLIPS [CLIPS ...] [--fit CLIPS ...]

CLIPS are folders of rendered clips (`NAME/truth.npz`, `body.npz`); RUNS holds a results folder
NAME-DETECTOR of each (`closefit run CLIPS/NAME/video.mp4 --out RUNS/NAME-DETECTOR --until track
--perception DETECTOR`). Offsets are fitted by least squares to keypoints that neither person hides;
each clip is then judged with the offsets of all others, or with those of the clips in --fit.
`coco17_detected` of `body/keypoints.py` holds the mean of two detectors.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from measuring import publish, table
from rendered import RenderedClip, rendered_clip, truth_files

from closefit.body.keypoints import COCO17
from closefit.body.skeleton import JOINT_INDEX, other_side
from closefit.simulation.detections import STATURE_M

SURE = 0.2
"""Keypoints of less confidence are left out."""
WILD = 0.08
"""Keypoints with a larger error, a share of the height, belong to something else."""
MIRROR = np.array([-1.0, 1.0, 1.0])
AXES = {
    "shoulder": "spine3",
    "elbow": "left_shoulder",
    "wrist": "left_elbow",
    "hip": "pelvis",
    "knee": "left_hip",
    "ankle": "left_knee",
}
"""Joint in whose axes a left point's offset is constant."""

Equations = tuple[np.ndarray, np.ndarray]
"""Matrices (n, 2, 3) and errors (n, 2) of keypoints."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Visible keypoints of one clip; lengths in shares of a person's height in the image.

    Attributes:
        axes: R_cam_bone of each person and frame, by keypoint.
        error: Detected minus true place.
        used: Keypoints that count.
    """

    axes: dict[str, Float[np.ndarray, "frame 2 3 3"]]
    error: Float[np.ndarray, "frame 2 17 2"]
    used: Bool[np.ndarray, "frame 2 17"]

    def equations(self, point: str) -> Equations:
        """Both sides of a body point, as a left one."""
        matrices, errors = [], []
        for side, mirror in (("left", np.ones(3)), ("right", MIRROR)):
            column = COCO17.names.index(f"{side}_{point}")
            used = self.used[:, :, column]
            matrices.append((self.axes[f"{side}_{point}"] * mirror)[used][:, :2])
            errors.append(self.error[:, :, column][used])
        return np.concatenate(matrices), np.concatenate(errors)


def main() -> None:
    """Fit, judge, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="results folders NAME-DETECTOR")
    parser.add_argument("clips", type=Path, nargs="+", help="folders of clips")
    parser.add_argument("--fit", type=Path, nargs="+", default=[], help="folders of other clips")
    parser.add_argument("--detectors", nargs="+", default=["lite", "yolo"])
    parser.add_argument("--name", default="keypoint_offsets", help="of the files in results/")
    options = parser.parse_args()
    judged, fitted = truth_files(options.clips), truth_files(options.fit)
    data, rows = {}, []
    for detector in options.detectors:
        clips = [_seen(rendered_clip(path, options.runs, detector)) for path in judged]
        others = [_seen(rendered_clip(path, options.runs, detector)) for path in fitted]
        for point, joint in AXES.items():
            of_point = [[clip.equations(point) for clip in part] for part in (clips, others)]
            result = _result(*of_point)
            data[f"{detector} {point}"] = result
            offset = ", ".join(f"{value:.0f}" for value in result["offset_mm"])
            rows.append([detector, point, joint, offset, *list(result.values())[1:]])
    header = ["detector", "left point", "axes of", "offset (mm)", "keypoints",
              "median error (%)", "with the others' offset (%)"]  # fmt: skip
    names = {"clips": [path.parent.name for path in judged],
             "fitted": [path.parent.name for path in fitted or judged]}  # fmt: skip
    publish(options.name, names | {"offsets": data}, [table(header, rows)])


def _seen(clip: RenderedClip) -> Seen:
    """Visible keypoints of a clip, and the axes of the bones that they belong to."""
    error = clip.error
    tame = np.linalg.norm(error, axis=-1) < WILD
    shown = ~clip.by_other & ~clip.by_self & clip.inside
    rotations, betas = clip.pose.rotations[0], clip.pose.betas[0]
    posed = clip.body.subset(torch.arange(1)).pose(
        rotations, betas, torch.zeros(len(rotations), 2, 3)
    )
    joint_of = {f"left_{point}": joint for point, joint in AXES.items()}
    joint_of |= {f"right_{point}": other_side(joint) for point, joint in AXES.items()}
    axes = {
        name: posed.transforms[:, :, JOINT_INDEX[joint], :3, :3].numpy()
        for name, joint in joint_of.items()
    }
    return Seen(axes, error, (clip.found_px[..., 2] > SURE) & shown & tame)


def _result(clips: list[Equations], others: list[Equations]) -> dict[str, object]:
    """The offset, and median errors without it and with that of other clips."""
    left = [
        error - matrix @ _offset(others or clips[:index] + clips[index + 1 :])
        for index, (matrix, error) in enumerate(clips)
    ]
    before = np.linalg.norm(np.concatenate([error for _, error in clips]), axis=-1)
    after = np.linalg.norm(np.concatenate(left), axis=-1)
    return {
        "offset_mm": [
            round(1e3 * STATURE_M * float(value), 1) for value in _offset(others or clips)
        ],
        "keypoints": len(before),
        "median_before": round(100.0 * float(np.median(before)), 2),
        "median_after": round(100.0 * float(np.median(after)), 2),
    }


def _offset(clips: list[Equations]) -> np.ndarray:
    matrix = np.concatenate([matrix.reshape(-1, 3) for matrix, _ in clips])
    error = np.concatenate([error.reshape(-1) for _, error in clips])
    return np.linalg.lstsq(matrix, error, rcond=None)[0]


if __name__ == "__main__":
    main()
