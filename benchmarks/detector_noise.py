"""How well the detector noise of training fits what detectors do on rendered people.

    python benchmarks/detector_noise.py RUNS CLIPS [CLIPS ...] [--detectors lite yolo]

RUNS and CLIPS as for `keypoint_offsets.py`. The same people are detected by `detect` of
`simulation/detections.py` in windows of 16 frames, once for each seed. A table for each
detector: what is missing, errors in shares of a person's height, confidences, and for both the
Kolmogorov-Smirnov distance between detector and training (0: the same distribution, 1: nothing in
common).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from measuring import publish, table
from rendered import RenderedClip, rendered_clip, truth_files
from scipy.stats import ks_2samp

from closefit.body.keypoints import COCO17
from closefit.body.pose import PairPose
from closefit.prior.network import WINDOW
from closefit.prior.objective import GeometryOf
from closefit.simulation.detections import DetectorRanges, detect

PARTS = {"face": range(5)} | {
    part: range(first, first + 2)
    for part, first in zip(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
                           range(5, 17, 2), strict=True)
}  # fmt: skip
KINDS = ("visible", "behind self", "behind other", "outside")
FEWEST = 40
"""Keypoints that a row needs."""
NEAR, GROSS = 0.05, 0.10
LAGS = (1, 4, 8, 15)
NETWORK = {"lite": (0.0, 0.0), "yolo": (1.0, 1.0)}
"""Mixture of confidences of each detector."""
MIRROR = np.array(COCO17.swap)


@dataclass(frozen=True, eq=False)
class Noise:
    """Windows of detections beside the truth; lengths in shares of a person's height.

    Attributes:
        error: Reported minus true place.
        elsewhere: Distances to the same point of the other person, the own other side's, and the
            other person's other side's.
        confidence: 0 where nothing is reported.
        kind: Index into `KINDS`.
    """

    error: Float[np.ndarray, "window frame 2 17 2"]
    elsewhere: Float[np.ndarray, "window frame 2 17 3"]
    confidence: Float[np.ndarray, "window frame 2 17"]
    kind: Float[np.ndarray, "window frame 2 17"]

    @property
    def distance(self) -> Float[np.ndarray, "window frame 2 17"]:
        """Size of the error."""
        return np.linalg.norm(self.error, axis=-1)


def main() -> None:
    """Simulate, compare, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="results folders NAME-DETECTOR")
    parser.add_argument("clips", type=Path, nargs="+", help="folders of clips")
    parser.add_argument("--detectors", nargs="+", default=["lite", "yolo"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--name", default="detector_noise", help="of the files in results/")
    options = parser.parse_args()
    data: dict[str, object] = {}
    tables = []
    for detector in options.detectors:
        clips = [rendered_clip(path, options.runs, detector)
                 for path in truth_files(options.clips)]  # fmt: skip
        real = joined([_real(clip) for clip in clips])
        drawn = joined(
            [
                _drawn(clip, NETWORK[detector], seed)
                for clip in clips
                for seed in range(options.seeds)
            ]
        )
        rows = _rows(real, drawn)
        both = {"detector": _summary(real), "training": _summary(drawn)}
        data[detector] = {"rows": rows} | both
        header = [f"{detector} / training", *list(rows[0])[1:]]
        tables.append(table(header, [list(row.values()) for row in rows]))
        names = list(both["detector"])
        tables.append(
            table([detector, *both], [[name, *(both[of][name] for of in both)] for name in names])
        )
    publish(options.name, data, tables)


def joined(parts: list[Noise]) -> Noise:
    """All windows of several clips."""
    return Noise(*(np.concatenate([getattr(part, name) for part in parts])
                   for name in ("error", "elsewhere", "confidence", "kind")))  # fmt: skip


def _windows(values: np.ndarray) -> np.ndarray:
    count = len(values) // WINDOW
    return values[: count * WINDOW].reshape(count, WINDOW, *values.shape[1:])


def _real(clip: RenderedClip) -> Noise:
    places, confidence = clip.found_px[..., :2], clip.found_px[..., 2]
    return _noise(clip, _windows(places), _windows(confidence))


def _drawn(clip: RenderedClip, network: tuple[float, float], seed: int) -> Noise:
    pose = PairPose(*(torch.as_tensor(_windows(value[0].numpy())) for value in
                      (clip.pose.rotations, clip.pose.betas, clip.pose.pelvis_m)))  # fmt: skip
    geometry_of = GeometryOf(clip.body)
    camera = type(clip.camera)(*(value.expand(len(pose.pelvis_m)) for value in
                                 (clip.camera.focal, clip.camera.aspect)))  # fmt: skip
    found, _ = detect(
        pose, geometry_of(pose), geometry_of.detected(pose), camera,
        DetectorRanges(clean_probability=0.0, network=network), torch.Generator().manual_seed(seed),
    )  # fmt: skip
    places = found[..., :2].numpy() * clip.focal_px + clip.middle_px
    return _noise(clip, places, found[..., 2].numpy())


def _noise(clip: RenderedClip, places: np.ndarray, confidence: np.ndarray) -> Noise:
    true, height = _windows(clip.true_px), _windows(clip.height_px)[..., None, None]
    others = (true[:, :, ::-1], true[..., MIRROR, :], true[:, :, ::-1][..., MIRROR, :])
    distance = [np.linalg.norm(places - other, axis=-1) / height[..., 0] for other in others]
    kind = np.where(clip.by_other, 2, np.where(clip.by_self, 1, 0))
    kind = np.where(clip.inside, kind, 3)
    return Noise((places - true) / height, np.stack(distance, -1), confidence, _windows(kind))


def _rows(real: Noise, drawn: Noise) -> list[dict[str, object]]:
    """A row for each kind of place and body part; detector / training."""
    rows = []
    for kind, name in enumerate(KINDS):
        for part, columns in PARTS.items():
            pair = [_values(noise, kind, list(columns)) for noise in (real, drawn)]
            if pair[0][1].size < FEWEST:
                continue
            distances = [distance for _, distance, _ in pair]
            confidences = [confidence for *_, confidence in pair]

            def shown(values: list[float], scale: float = 100.0, digits: int = 0) -> str:
                return " / ".join(f"{scale * value:.{digits}f}" for value in values)

            rows.append({
                "keypoint": f"{name}, {part}",
                "missing (%)": shown([missing for missing, *_ in pair]),
                "median error (%)": shown([float(np.median(d)) for d in distances], digits=1),
                "beyond 5 %": shown([float(np.mean(d > NEAR)) for d in distances]),
                "beyond 10 %": shown([float(np.mean(d > GROSS)) for d in distances]),
                "median confidence": shown([float(np.median(c)) for c in confidences], 1.0, 2),
                "KS error": round(float(ks_2samp(*distances).statistic), 2),
                "KS confidence": round(float(ks_2samp(*confidences).statistic), 2),
            })  # fmt: skip
    return rows


def _values(noise: Noise, kind: int, columns: list[int]) -> tuple[float, np.ndarray, np.ndarray]:
    """Share of missing keypoints; errors and confidences of the others."""
    chosen = noise.kind[..., columns] == kind
    known = chosen & (noise.confidence[..., columns] > 0)
    missing = 1.0 - known.sum() / max(chosen.sum(), 1)
    return missing, noise.distance[..., columns][known], noise.confidence[..., columns][known]


def _summary(noise: Noise) -> dict[str, object]:
    """What lasts, what is confused, and how often the confidence is right."""
    known = noise.confidence > 0
    nobody = ~known.any(-1)
    tame = known & (noise.kind == 0) & (noise.distance < GROSS)
    gross = known & (noise.distance > GROSS) & (noise.kind < 3)
    gross[..., : len(PARTS["face"])] = False
    nearest = np.where(noise.elsewhere.min(-1) < NEAR, noise.elsewhere.argmin(-1), 3)
    result: dict[str, object] = {"person not found (%)": round(100 * float(nobody.mean()), 1)}
    again = nobody[:, 1:][nobody[:, :-1]].mean() if nobody.any() else 0.0
    result["... not in the next frame either (%)"] = round(100 * float(again))
    for lag in LAGS:
        result[f"correlation of visible errors, {lag} frames"] = _correlation(noise, tame, lag)
    again = gross[:, 1:][gross[:, :-1]].mean()
    result["beyond 10 %: in the next frame, too (%)"] = round(100 * float(again))
    places = ("the other person", "the own other side", "the other's other side")
    for index, place in enumerate(places):
        share = float((nearest[gross] == index).mean())
        result[f"beyond 10 %: on {place} (%)"] = round(100 * share)
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.01)):
        chosen = known & (noise.kind < 3) & (noise.confidence >= low) & (noise.confidence < high)
        right = float((noise.distance[chosen] < NEAR).mean())
        label = f"confidence {low} to {min(high, 1.0)}: within 5 % / share of keypoints (%)"
        share = float(chosen.sum() / (known & (noise.kind < 3)).sum())
        result[label] = f"{100 * right:.0f} / {100 * share:.0f}"
    return result


def _correlation(noise: Noise, used: Bool[np.ndarray, "window frame 2 17"], lag: int) -> float:
    both = used[:, lag:] & used[:, :-lag]
    later, earlier = noise.error[:, lag:][both], noise.error[:, :-lag][both]
    size = 0.5 * (np.square(later).sum() + np.square(earlier).sum())
    return round(float((later * earlier).sum() / size), 2)


if __name__ == "__main__":
    main()
