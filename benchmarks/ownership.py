"""Who covers whom: is the body seen in front at a pixel that of the person whose pixel it is?

    CLOSEFIT_WEIGHTS=DIR python benchmarks/ownership.py CLIPS [--detector yolo lite]

CLIPS is a folder of real clips (`NAME/video.mp4`) with `labels.json`, which names for some frames
pixels of each person, or of rendered clips (`NAME/truth.npz`), whose true masks label every pixel.
Each labelled pixel is own (the right person is in front there), foreign (the other one) or bare
(nobody), after one assignment of identities for the whole clip. `track` is judged by its masks,
`init` and `optimize` by the posed bodies. Clips run with the default field of view, as a user's do;
finished ones are kept in --out (see cells.py). Results of detectors that are not run stay.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import DETECTORS, OWN, Bench, Cell, Conditions, Variant, find_clips
from measuring import RESULTS, publish, table

from closefit.body.model import Body
from closefit.evaluation.runs import STAGES
from closefit.exporters.filming import seen_by
from closefit.exporters.mesh_raster import MeshPainter
from closefit.exporters.views import project_perspective
from closefit.models import weights
from closefit.records import Motion, Track
from closefit.storage import artifacts
from closefit.tracking.steadying import camera_path

NOBODY = 2
"""Owner of a pixel where neither person's body is; the people are 0 and 1."""
SURE = 0.9
"""An identity that is wrong should not be as confident as this."""
NEAR_M = 0.1
JUDGED = ("track", "init", "optimize")
SHARES = ("own", "foreign", "bare")


@dataclass(frozen=True, eq=False)
class Labels:
    """Pixels of one frame whose person is known.

    Attributes:
        rows, columns: Places of the pixels in the video, from its top left corner.
        people: Person (0 or 1) who is seen there.
    """

    rows: np.ndarray
    columns: np.ndarray
    people: np.ndarray

    def count(self, owners: np.ndarray) -> np.ndarray:
        """Count pixels by true person and owner, (2, 3), given the owner of every pixel."""
        height, width = owners.shape
        found = owners[self.rows.clip(0, height - 1), self.columns.clip(0, width - 1)]
        counts = np.zeros((2, 3), int)
        np.add.at(counts, (self.people, found), 1)
        return counts


class OwnershipBench(Bench):
    """Cells whose score is the ownership of labelled pixels."""

    def score(self, cell: Cell, folder: Path) -> dict[str, Any]:
        """Score every stage that has been run."""
        labels = read_labels(cell.clip)
        done = [stage for stage in JUDGED if (folder / "artifacts" / f"{stage}.npz").is_file()]
        scores: dict[str, Any] = {}
        for stage in done:
            counts = count_owners(folder, stage, labels)
            scores[stage] = shares(counts)
            if stage == "track":
                track = artifacts.read(folder / "artifacts" / "track.npz", Track)
                scores[stage]["sure_and_wrong"] = sure_and_wrong(track, counts)
        return scores


def main() -> None:
    """Run what is missing, then print and publish the table."""
    options = _options()
    folder = options.clips.resolve()
    if (folder / "labels.json").is_file():
        names = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        clips = [folder / name for name in names if not options.only or name in options.only]
    else:
        clips = find_clips(folder, options.only)
    variant = Variant("initial", optimize=None) if options.init_only else Variant("full")
    conditions = Conditions(options.preset, true_focal=False, settings=tuple(options.set))
    bench = OwnershipBench(options.out, conditions)
    published = _published(options.name)
    for source in options.detector:  # one after the other: a stopped benchmark has whole tables
        cells = bench.run([Cell(clip, source, variant) for clip in clips])
        settings = [f"--preset {options.preset}", *(f"--set {text}" for text in options.set)]
        for cell in cells:
            entry = {key: cell[key] for key in ("scores", "seconds", "commit")}
            published[f"{cell['clip']}, {source}"] = entry | {"settings": settings}
        publish(options.name, {"results": published}, [_table(published)])
    if bench.failed:
        raise SystemExit(f"these failed, the call again tries again: {', '.join(bench.failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of labelled or rendered clips")
    parser.add_argument("--out", type=Path, default=Path("results/bench-ownership"))
    parser.add_argument("--preset", default="draft")
    parser.add_argument(
        "--detector", nargs="+", default=["yolo", "lite"], choices=[*DETECTORS, OWN]
    )
    parser.add_argument("--only", nargs="*", metavar="CLIP", help="of the clips only these")
    parser.add_argument("--init-only", action="store_true", help="stop before optimize")
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    parser.add_argument("--name", default="ownership", help="of the files in results/")
    return parser.parse_args()


def read_labels(clip: Path) -> dict[int, Labels]:
    """Labelled pixels by frame: from the true masks of a rendered clip, or from `labels.json`."""
    if (clip / "truth.npz").is_file():
        with np.load(clip / "truth.npz") as truth:
            shape = tuple(truth["masks_shape"])
            bits = np.unpackbits(truth["masks"], count=int(np.prod(shape)))
        return labels_of_masks(bits.reshape(shape).astype(bool))
    labels = json.loads((clip.parent / "labels.json").read_text(encoding="utf-8"))
    return {
        int(frame): labels_of_points([people["0"], people["1"]])
        for frame, people in labels[clip.name]["frames"].items()
    }


def labels_of_masks(masks: np.ndarray) -> dict[int, Labels]:
    """Labels of every pixel in visible masks (frame, person, height, width)."""
    found = {}
    for frame, of_people in enumerate(masks):
        people, rows, columns = np.nonzero(of_people)
        found[frame] = Labels(rows, columns, people)
    return found


def labels_of_points(points: Sequence[Sequence[Sequence[int]]]) -> Labels:
    """Labels of the pixels x, y that are listed for each person."""
    x, y = np.concatenate([np.reshape(of_person, (-1, 2)) for of_person in points]).astype(int).T
    return Labels(y, x, np.repeat([0, 1], [len(of_person) for of_person in points]))


def count_owners(folder: Path, stage: str, labels: Mapping[int, Labels]) -> dict[int, np.ndarray]:
    """Pixels (2, 3) by true person and owner in each labelled frame of a run's stage."""
    track = artifacts.read(folder / "artifacts" / "track.npz", Track)
    if stage == "track":
        owners = _mask_owners(track, list(labels))
    else:
        motion = artifacts.read(folder / "artifacts" / f"{stage}.npz", STAGES[stage])
        motion = seen_by(motion, camera_path(track, motion.K))
        body = Body.load(weights.locate(weights.BODIES[str(motion.body_name)]))
        width, height = (int(side) for side in track.size_wh)
        owners = body_owners(body, motion, list(labels), (width, height))
    pairs = zip(labels.items(), owners, strict=True)
    return {frame: label.count(owner) for (frame, label), owner in pairs}


def _mask_owners(track: Track, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the owner of every pixel of the video by the masks, which may be smaller than it.

    Nobody owns what the masks of both claim.
    """
    (width, height), (mask_width, mask_height) = track.size_wh, track.mask_size_wh
    rows = (np.arange(height) * mask_height) // height
    columns = (np.arange(width) * mask_width) // width
    for frame in frames:
        first, second = track.person_masks[frame]
        owners = np.where(first == second, NOBODY, np.where(first, 0, 1))
        yield owners[np.ix_(rows, columns)]


def body_owners(
    body: Body, motion: Motion, frames: Sequence[int], size_wh: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield whose body is in front at each pixel (height, width) of the chosen frames."""
    width, height = size_wh
    painter = MeshPainter(body.faces.numpy(), width, height)
    for frame in frames:
        arrays = (motion.rotations[[frame]], motion.betas, motion.transl[[frame]])
        vertices = body.pose(*(torch.from_numpy(a).float() for a in arrays)).vertices[0].numpy()
        seen = project_perspective(vertices, motion.K[frame], NEAR_M)
        owner = painter.owners(seen).astype(int)
        yield np.where(owner > 0, owner - 1, NOBODY)


def shares(counts: Mapping[int, np.ndarray]) -> dict[str, Any]:
    """Own, foreign and bare share of all labelled pixels, and the same as counts in each frame."""
    frames = {frame: _as_shares(count) for frame, count in assigned(counts).items()}
    total = np.sum(list(frames.values()), axis=0)
    found: dict[str, Any] = dict(zip(SHARES, (total / max(total.sum(), 1)).tolist(), strict=True))
    by_frame = {str(frame): count.tolist() for frame, count in frames.items()}
    return found | {"pixels": int(total.sum()), "frames": by_frame}


def assigned(counts: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Pixels by true person and owner, owners numbered as the true people that they stand for.

    One assignment holds in all frames: the one that gives more pixels to the right person.
    """
    return {frame: count[:, _order(counts)] for frame, count in counts.items()}


def _order(counts: Mapping[int, np.ndarray]) -> list[int]:
    total = np.sum(list(counts.values()), axis=0)
    straight = total[0, 0] + total[1, 1] >= total[0, 1] + total[1, 0]
    return [0, 1, NOBODY] if straight else [1, 0, NOBODY]


def _as_shares(count: np.ndarray) -> np.ndarray:
    """Counts own, foreign, bare."""
    own = np.trace(count[:, :2])
    return np.array([own, count[:, :2].sum() - own, count[:, NOBODY].sum()])


def sure_and_wrong(track: Track, counts: Mapping[int, np.ndarray]) -> int:
    """Number of masks that hold more of the other person although their identity is sure."""
    people = _order(counts)[:2]
    wrong = 0
    for frame, count in assigned(counts).items():
        of_other = count[[1, 0], [0, 1]] > count[[0, 1], [0, 1]]
        wrong += int((of_other & (track.identity_confidence[frame, people] > SURE)).sum())
    return wrong


def _published(name: str) -> dict[str, Any]:
    """Results of earlier calls by clip and detector."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return {}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return results


def _table(results: Mapping[str, Any]) -> str:
    header = ["clip, detector", *JUDGED, "sure and wrong", "seconds", "commit"]
    rows: list[list[object]] = []
    for name, entry in sorted(results.items()):
        scores = entry["scores"]
        cells = [
            " / ".join(f"{100 * scores[stage][share]:.0f}" for share in SHARES)
            if stage in scores
            else None
            for stage in JUDGED
        ]
        seconds = sum(entry["seconds"].values())
        rows.append([name, *cells, scores["track"]["sure_and_wrong"], seconds, entry["commit"]])
    note = (
        "Own / foreign / bare: percent of the labelled pixels. Sure and wrong: masks in labelled "
        f"frames that hold more of the other person, with an identity confidence over {SURE:g}."
    )
    return f"{note}\n\n{table(header, rows)}"


if __name__ == "__main__":
    main()
