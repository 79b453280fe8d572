"""How probable it is that a keypoint of some confidence is right, for each network.

    python benchmarks/calibration.py CLIPS --weights DIR [--network yolo lite full heavy]

CLIPS is a folder of rendered clips (`NAME/video.mp4`, `truth.npz`). A keypoint is right if it lies
within 5 % of the height of its person's box from the true one, hidden or not. The script prints how
often keypoints of each confidence are right, before and after a monotone mapping that was fitted to
the *other* clips, and the mapping that was fitted to all of them: the data of
`closefit/perception/calibration.py`. What the networks find is kept in --out.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cells import find_clips
from measuring import publish, table
from scipy.optimize import isotonic_regression, linear_sum_assignment

from closefit import video
from closefit.models.weights import locate
from closefit.perception.detectors.lite import LiteDetector
from closefit.perception.detectors.yolo import YoloDetector
from closefit.perception.people import Detector

NETWORKS = ("yolo", "lite", "full", "heavy")
RIGHT_WITHIN = 0.05
"""Share of the height of a person's box."""
SAME_PERSON = 0.5
"""A pose whose median keypoint is further from a person, in box heights, is somebody else's."""
DETECTION_CONFIDENCE = 0.25
GROUPS = {"face": slice(0, 5), "body": slice(5, 17)}
"""Keypoints with a mapping of their own: those of a face that looks away are hidden, with a low
confidence, and yet near the truth, because a head is small."""
KNOTS = 8
EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class Judged:
    """Keypoints (detection, keypoint) of one network: raw confidence, and whether each is right."""

    confidence: np.ndarray
    is_right: np.ndarray

    def part(self, group: str) -> "Judged":
        """Keypoints of one group only."""
        return Judged(self.confidence[:, GROUPS[group]], self.is_right[:, GROUPS[group]])

    @classmethod
    def joined(cls, parts: Sequence["Judged"]) -> "Judged":
        """Put several clips together."""
        return cls(
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.is_right for part in parts]),
        )

    def mapped(self, mappings: dict[str, np.ndarray]) -> "Judged":
        """Replace confidences by what the mapping of each group makes of them."""
        confidence = self.confidence.copy()
        for name, mapping in mappings.items():
            confidence[:, GROUPS[name]] = np.interp(confidence[:, GROUPS[name]], *mapping)
        return Judged(confidence, self.is_right)

    @property
    def brier(self) -> float:
        """Mean squared difference between confidence and truth; lower is better."""
        return float(np.mean((self.confidence - self.is_right) ** 2))

    @property
    def calibration_error(self) -> float:
        """Mean difference between confidence and frequency over bins of `EDGES`."""
        bins = self._bins()
        gaps = [
            abs(self.confidence[b].mean() - self.is_right[b].mean()) * b.sum()
            for b in bins
            if b.any()
        ]
        return float(np.sum(gaps) / self.confidence.size)

    def reliability(self) -> list[list[object]]:
        """Rows: confidence from, to, mean, share that is right, count."""
        return [
            [low, high, float(self.confidence[b].mean()), float(self.is_right[b].mean()), b.sum()]
            for low, high, b in zip(EDGES, EDGES[1:], self._bins(), strict=False)
            if b.any()
        ]

    def _bins(self) -> list[np.ndarray]:
        which = np.digitize(self.confidence, EDGES[1:-1])
        return [which == number for number in range(len(EDGES) - 1)]


def main() -> None:
    """Detect, fit, print, publish."""
    options = _options()
    clips = find_clips(options.clips)
    data: dict[str, Any] = {}
    tables: list[str] = []
    for network in options.network:
        parts = [_judged(clip, network, options) for clip in clips]
        left_out = []
        for number, part in enumerate(parts):
            others = Judged.joined([p for i, p in enumerate(parts) if i != number])
            left_out.append(part.mapped(fitted(others)))
        raw, mapped = Judged.joined(parts), Judged.joined(left_out)
        mappings = fitted(raw)
        data[network] = {
            "mappings": {name: mapping.round(3).tolist() for name, mapping in mappings.items()}
        }
        for group in GROUPS:
            before, after = raw.part(group), mapped.part(group)
            data[network][group] = {
                "calibration_error": [before.calibration_error, after.calibration_error],
                "brier": [before.brier, after.brier],
            }
            tables += [f"## {network}, {group}", *_tables(before, after, mappings[group])]
    publish("calibration", {"networks": data}, tables)


def _tables(before: Judged, after: Judged, mapping: np.ndarray) -> list[str]:
    """Reliability before and after, the latter with each clip left out, and the mapping of all."""
    header = ["from", "to", "mean confidence", "right within 5 %", "keypoints"]
    return [
        f"Calibration error {before.calibration_error:.3f}, Brier score {before.brier:.3f}; with "
        f"the mapping of the other clips {after.calibration_error:.3f} and {after.brier:.3f}.",
        f"Raw:\n\n{table(header, before.reliability())}",
        f"Calibrated:\n\n{table(header, after.reliability())}",
        table(["confidence", "probability"], mapping.round(3).T.tolist()),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of rendered clips")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--network", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--out", type=Path, default=Path("results/bench-calibration"))
    return parser.parse_args()


def fitted(judged: Judged) -> dict[str, np.ndarray]:
    """Fit a monotone mapping for each group: raw confidences, then probabilities (2, KNOTS)."""
    return {name: monotone(judged.part(name)) for name in GROUPS}


def monotone(judged: Judged) -> np.ndarray:
    """Fit a monotone mapping for `np.interp`: isotonic regression over sets of keypoints.

    Low confidences are rare: their sets are smaller.
    """
    order = np.argsort(judged.confidence, axis=None, kind="stable")
    ends = np.linspace(0.0, 1.0, KNOTS + 1)[1:-1] ** 2 * len(order)
    sets = np.split(order, ends.astype(int))
    raw = np.array([judged.confidence.ravel()[chosen].mean() for chosen in sets])
    right = np.array([judged.is_right.ravel()[chosen].mean() for chosen in sets])
    return np.array([raw, isotonic_regression(right).x])


def _judged(clip: Path, network: str, options: argparse.Namespace) -> Judged:
    path = options.out / f"{clip.name}-{network}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with np.load(clip / "truth.npz") as truth:
            found = judge(_detect(clip, network, options.weights), dict(truth))
        np.savez(path, confidence=found.confidence, is_right=found.is_right)
    with np.load(path) as kept:
        return Judged(kept["confidence"], kept["is_right"])


def _detect(clip: Path, network: str, weights: Path) -> list[np.ndarray]:
    """Keypoints (person, 17, 3) that a network finds in each frame."""
    detector: Detector
    if network == "yolo":
        detector = YoloDetector(locate("yolo11n-pose", weights), None, "cpu", DETECTION_CONFIDENCE)
    else:
        pose = locate(f"blazepose-{network}", weights)
        detector = LiteDetector(locate("rtmdet-nano", weights), pose, DETECTION_CONFIDENCE)
    pictures = video.frames(video.probe(clip / "video.mp4"))
    return [detector.detect([picture])[0].keypoints for picture in pictures]


def judge(found: Sequence[np.ndarray], truth: dict[str, Any]) -> Judged:
    """Mark which of the keypoints (17, 3) found in each frame are right."""
    confidence, is_right = [], []
    heights = truth["boxes"][..., 3] - truth["boxes"][..., 1]
    for keypoints, true_px, height in zip(found, truth["keypoints2d"], heights, strict=True):
        away = np.linalg.norm(keypoints[:, None, :, :2] - true_px[None], axis=-1)
        error = away / height[None, :, None]
        typical = np.median(error, axis=-1)
        for i, person in zip(*linear_sum_assignment(typical), strict=True):
            if typical[i, person] < SAME_PERSON:
                confidence.append(keypoints[i, :, 2])
                is_right.append(error[i, person] <= RIGHT_WITHIN)
    return Judged(np.stack(confidence), np.stack(is_right))


if __name__ == "__main__":
    main()
