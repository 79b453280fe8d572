"""Score who is who: simulated detections under stress, and real detectors, on clips with truth.

    python benchmarks/identity.py CLIPS [--seeds 0 1 2] [--detectors yolo] [--weights DIR]

CLIPS is a folder of clips (`NAME/video.mp4`, `observations.npz`, `truth.npz`). A detected person in
a frame is right if the detection is of the true person of that number, after one global assignment
of numbers to people per clip. Chance is one half.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from measuring import publish, run_closefit, table

from closefit import video
from closefit.body.model import Body
from closefit.demo.detections import VisiblePeople, simulate_detections
from closefit.records import Track
from closefit.storage import artifacts
from closefit.tracking.colours import describe_clothes
from closefit.tracking.pair import Pair
from closefit.tracking.repair import DOUBTFUL, repair

FPS = 30.0
OCCLUSION_S = 1.0
MAX_GAP_S = 0.5

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Simulated:
    """Detections whose mistakes are known.

    Attributes:
        pair: As a detector would give it.
        swapped: Frames in which the two people are the other way round.
    """

    pair: Pair
    swapped: np.ndarray


Stress = Callable[[Simulated, VisiblePeople, Rng], Simulated]


@dataclass(frozen=True)
class Score:
    """Detected person-frames of one clip: how many, right, doubtful, and wrong but doubtful."""

    detected: int
    right: int
    doubtful: int
    wrong_doubtful: int

    def __add__(self, other: "Score") -> "Score":
        """Sum of two clips."""
        return Score(*(a + b for a, b in zip(self.row, other.row, strict=True)))

    @property
    def row(self) -> tuple[int, int, int, int]:
        """All four numbers."""
        return self.detected, self.right, self.doubtful, self.wrong_doubtful

    @property
    def cells(self) -> list[object]:
        """Shares, for a table."""
        wrong = self.detected - self.right
        caught = self.wrong_doubtful / wrong if wrong else None
        return [
            self.detected,
            100.0 * self.right / max(self.detected, 1),
            wrong,
            100.0 * self.doubtful / max(self.detected, 1),
            None if caught is None else 100.0 * caught,
        ]


BINS = (0.0, 0.5, 0.9, 0.97, 0.99, 0.999, 1.0)
"""Edges of the confidences in the table of calibration."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Detected person-frames: how sure each was, and whether it was wrong."""

    confidence: np.ndarray
    wrong: np.ndarray


COLUMNS = ["person-frames", "right (%)", "wrong", "doubtful (%)", "of the wrong, doubtful (%)"]


def main() -> None:
    """Simulate, detect, score, publish."""
    options = _options()
    clips = sorted(path.parent for path in options.clips.glob("*/truth.npz"))
    tables, data = [], {}
    if not options.no_simulation:
        raw, solved = _simulations(clips, options.seeds)
        rows = [[name, 100.0 * raw[name], *score.cells] for name, score in solved.items()]
        tables.append(table(["simulated detections", "right as given (%)", *COLUMNS], rows))
        data["simulated"] = {name: score.row for name, score in solved.items()}
    judged: list[Judged] = []
    for detector in options.detectors:
        found = {clip.name: _detected(clip, detector, options) for clip in clips}
        judged += found.values()
        scores = {name: _score_judged(one) for name, one in found.items()}
        rows = [[name, *score.cells] for name, score in scores.items()]
        tables.append(table([f"detector {detector}", *COLUMNS], rows))
        data[detector] = {name: score.row for name, score in scores.items()}
    if judged:
        header = ["confidence, real detectors", "person-frames", "wrong", "wrong (%)"]
        tables.append(table(header, _calibration(judged)))
    publish("identity", {"seeds": options.seeds, "scores": data}, tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of clips")
    parser.add_argument("--out", type=Path, default=Path("results/bench-identity"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--detectors", nargs="*", default=["yolo"], help="values of --perception")
    parser.add_argument("--weights", help="folder of the detectors' weights")
    parser.add_argument("--no-simulation", action="store_true")
    return parser.parse_args()


def _simulations(clips: list[Path], seeds: list[int]) -> tuple[dict[str, float], dict[str, Score]]:
    """Share that is right as given, and the score after repair, of every kind of stress."""
    kinds: dict[str, list[tuple[Simulated, float]]] = {"observations.npz": []}
    for clip in clips:
        truth = dict(np.load(clip / "truth.npz"))
        images = list(video.frames(video.probe(clip / "video.mp4")))
        given = dict(np.load(clip / "observations.npz"))
        kinds["observations.npz"].append((_of_arrays(given, truth, images), FPS))
        people, body = VisiblePeople.from_truth(truth), Body.load(clip.parent / "body.npz")
        for seed in seeds:
            simulated = _of_arrays(simulate_detections(people, body, seed), truth, images)
            for name, stress in STRESSES.items():
                harder = stress(simulated, people, np.random.default_rng(seed))
                kinds.setdefault(name, []).append((harder, people.fps))
    scores = {
        name: [score_simulated(simulated, fps) for simulated, fps in cases]
        for name, cases in kinds.items()
    }
    raw = {
        name: float(np.mean([_share_as_given(simulated) for simulated, _ in cases]))
        for name, cases in kinds.items()
    }
    return raw, {name: total(of_kind) for name, of_kind in scores.items()}


def _of_arrays(
    arrays: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], images: list[np.ndarray]
) -> Simulated:
    keypoints = np.nan_to_num(arrays["keypoints"].astype(float))
    boxes = arrays["boxes"].astype(float)
    colours = np.stack([describe_clothes(*frame) for frame in zip(images, keypoints, strict=True)])
    return Simulated(Pair(boxes, keypoints, colours), _swapped_frames(boxes, keypoints, truth))


def _swapped_frames(
    boxes: np.ndarray, keypoints: np.ndarray, truth: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Frames in which the given people fit the truth's better the other way round."""
    distance = np.linalg.norm(keypoints[:, :, None, :, :2] - truth["keypoints2d"][:, None], axis=-1)
    apart = np.median(distance, axis=-1)
    apart = apart + np.abs(boxes[:, :, None] - truth["boxes"][:, None]).mean(axis=-1)
    apart = np.where(np.isfinite(apart), apart, 0.0)
    crossed: np.ndarray = apart[:, 0, 1] + apart[:, 1, 0] < apart[:, 0, 0] + apart[:, 1, 1]
    return crossed


def _as_given(simulated: Simulated, _people: VisiblePeople, _rng: Rng) -> Simulated:
    return simulated


def _long_swaps(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
    """Swap runs of a sixth to two thirds of a second where the boxes overlap."""
    near = np.flatnonzero(_overlap(people))
    frames = np.zeros(len(simulated.swapped), dtype=bool)
    for first in rng.choice(near, size=2, replace=False):
        frames[first : first + rng.integers(5, 21)] = True
    return _swap(simulated, frames)


def _tracker_switches(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
    """From a frame with overlap on, the tracker goes on with the two swapped; twice."""
    frames = np.zeros(len(simulated.swapped), dtype=bool)
    for first in rng.choice(np.flatnonzero(_overlap(people)), size=2, replace=False):
        frames[first:] ^= True
    return _swap(simulated, frames)


def _missed(simulated: Simulated, _people: VisiblePeople, rng: Rng) -> Simulated:
    """Miss a fifth of all detections, in runs of 3 to 8 frames."""
    lost = np.zeros(simulated.pair.seen.shape, dtype=bool)
    while lost.mean() < 0.2:
        first, person = rng.integers(len(lost)), rng.integers(2)
        lost[first : first + rng.integers(3, 9), person] = True
    return _lose(simulated, lost)


def _occluded(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
    """Who is covered most is not seen for a second; the tracker then has the two swapped."""
    frames = len(simulated.swapped)
    length = round(OCCLUSION_S * people.fps)
    first = int(np.clip(_overlap_px(people).argmax() - length // 2, 3, frames - length - 3))
    areas = people.masks[first : first + length].sum(axis=(0, 2, 3))
    hidden = int(areas.argmin())
    lost = np.zeros((frames, 2), dtype=bool)
    lost[first : first + length, hidden] = True
    correct = _swap(simulated, simulated.swapped)
    switched = np.arange(frames) >= first + length
    jittered = rng.random(frames) < 0.1  # and now and then in between
    return _swap(_lose(correct, lost), switched ^ jittered)


def _both_unseen(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
    """Nobody is detected for half a second in the clinch; half of the time swapped after it."""
    frames = len(simulated.swapped)
    length = round(0.5 * people.fps)
    first = int(np.clip(_overlap_px(people).argmax() - length // 2, 3, frames - length - 3))
    lost = np.zeros((frames, 2), dtype=bool)
    lost[first : first + length] = True
    switched = (np.arange(frames) >= first + length) & (rng.random() < 0.5)
    return _swap(_lose(_swap(simulated, simulated.swapped), lost), switched)


def _trembling(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
    """Keypoints with three times the usual noise, and half of them unknown; long swaps too."""
    pair = simulated.pair
    keypoints = pair.keypoints.copy()
    noise = 0.03 * pair.height_px[:, None, None] * rng.normal(size=keypoints[..., :2].shape)
    keypoints[..., :2] += noise
    keypoints[rng.random(keypoints.shape[:3]) < 0.5] = 0.0
    return _long_swaps(replace(simulated, pair=replace(pair, keypoints=keypoints)), people, rng)


def _same_clothes(stress: Stress) -> Stress:
    """The same with nothing known of the clothes."""

    def stressed(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
        simulated = stress(simulated, people, rng)
        unknown = np.full_like(simulated.pair.colours, np.nan)
        return replace(simulated, pair=replace(simulated.pair, colours=unknown))

    return stressed


def _everything(simulated: Simulated, people: VisiblePeople, rng: Rng) -> Simulated:
    for stress in (_long_swaps, _tracker_switches, _missed):
        simulated = stress(simulated, people, rng)
    return simulated


STRESSES: dict[str, Stress] = {
    "simulated as in the demo": _as_given,
    "long swaps in the clinch": _long_swaps,
    "tracker goes on exchanged": _tracker_switches,
    "a fifth missed, in runs": _missed,
    "one hidden for 1 s, then exchanged": _occluded,
    "both unseen for 0.5 s in the clinch": _both_unseen,
    "half the keypoints, three times the noise, long swaps": _trembling,
    "swaps, switches and misses": _everything,
    "the same, clothes unknown": _same_clothes(_everything),
    "one hidden for 1 s, clothes unknown": _same_clothes(_occluded),
    "both unseen for 0.5 s, clothes unknown": _same_clothes(_both_unseen),
    "half the keypoints, clothes unknown": _same_clothes(_trembling),
}


def _swap(simulated: Simulated, frames: np.ndarray) -> Simulated:
    return Simulated(simulated.pair.swapped(frames), simulated.swapped ^ frames)


def _lose(simulated: Simulated, lost: np.ndarray) -> Simulated:
    """Drop detections; `lost` counts true people."""
    columns = np.where(simulated.swapped[:, None], lost[:, ::-1], lost)
    return replace(simulated, pair=simulated.pair.without(columns))


def _overlap_px(people: VisiblePeople) -> np.ndarray:
    boxes = people.boxes_xyxy
    low = np.maximum(boxes[:, 0, :2], boxes[:, 1, :2])
    high = np.minimum(boxes[:, 0, 2:], boxes[:, 1, 2:])
    return np.prod(np.maximum(high - low, 0.0), axis=-1)


def _overlap(people: VisiblePeople) -> np.ndarray:
    overlap: np.ndarray = _overlap_px(people) > 0
    return overlap


def _share_as_given(simulated: Simulated) -> float:
    seen = simulated.pair.seen
    right = (seen & ~simulated.swapped[:, None]).sum() / seen.sum()
    return max(float(right), 1.0 - float(right))


def score_simulated(simulated: Simulated, fps: float) -> Score:
    """Decide who is who, and compare with what is known."""
    frames = len(simulated.swapped)
    repaired = repair(simulated.pair, np.arange(frames) / fps, fps, MAX_GAP_S)
    wrong = repaired.swapped ^ simulated.swapped
    return _score(wrong[:, None] & repaired.seen, repaired.seen, repaired.identity_confidence)


def _score(wrong: np.ndarray, seen: np.ndarray, confidence: np.ndarray) -> Score:
    if wrong.sum() > 0.5 * seen.sum():  # one global assignment per clip
        wrong = seen & ~wrong
    doubtful = seen & (confidence < DOUBTFUL)
    return Score(
        detected=int(seen.sum()),
        right=int((seen & ~wrong).sum()),
        doubtful=int(doubtful.sum()),
        wrong_doubtful=int((wrong & doubtful).sum()),
    )


def total(scores: list[Score]) -> Score:
    """Sum of several clips."""
    return sum(scores[1:], start=scores[0])


def _score_judged(judged: Judged) -> Score:
    return _score(judged.wrong, np.ones_like(judged.wrong), judged.confidence)


def _calibration(judged: list[Judged]) -> list[list[object]]:
    """How many person-frames of each range of confidence are wrong."""
    confidence = np.concatenate([one.confidence for one in judged])
    wrong = np.concatenate([one.wrong for one in judged])
    rows: list[list[object]] = []
    for low, high in pairwise(BINS):
        inside = (confidence >= low) & ((confidence < high) | (high == BINS[-1]))
        count, bad = int(inside.sum()), int(wrong[inside].sum())
        rows.append([f"{low:g} to {high:g}", count, bad, 100.0 * bad / count if count else None])
    return rows


def _detected(clip: Path, detector: str, options: argparse.Namespace) -> Judged:
    """Run a real detector on a clip and judge what `track` makes of it."""
    folder = options.out / f"{clip.name}-{detector}"
    arguments = ["stage", "track", str(clip / "video.mp4"), "--out", str(folder)]
    arguments += ["--perception", detector]
    if options.weights:
        arguments += ["--weights", options.weights]
    run_closefit(arguments)
    track = artifacts.read(folder / "artifacts" / "track.npz", Track)
    truth = np.load(clip / "truth.npz")
    weight = track.keypoints[..., 2][:, :, None]
    distance = np.linalg.norm(
        track.keypoints[:, :, None, :, :2] - truth["keypoints2d"][:, None], axis=-1
    )
    apart = (weight * distance).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1e-9)
    nearest = apart.argmin(axis=-1)
    wrong = (nearest != np.arange(2))[track.seen]
    if wrong.mean() > 0.5:  # one global assignment per clip
        wrong = ~wrong
    return Judged(track.identity_confidence[track.seen], wrong)


if __name__ == "__main__":
    main()
