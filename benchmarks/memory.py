"""Does memory grow with the clip? `PYTHONPATH=. python benchmarks/memory.py VIDEO --weights DIR`.

Each stage runs as a process of its own on clips of several lengths, all made of a short one that
starts anew again and again:

- `track` with every backend on VIDEO. For `full`, SAM 2 and ViTPose are small and random, as the
  tests make them: their output is noise, but takes the same path and the same memory.
- `track` of 1280x720 pictures from an import with keypoints and masks of each person (COCO), and
  from one with a silhouette (closefit's own arrays).
- `init` and `optimize` (few passes, small pictures) of a clip of `closefit demo`.

Two peaks are reported: of all pages, and of the process's own, without those of files, which the
system takes back when it needs room. A finished cell is kept in the output folder and not repeated.
"""

import argparse
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from measuring import PROGRAM, Cost, publish, run_closefit, table

from closefit import video
from closefit.demo import make_clip
from closefit.storage.workspace import Workspace

TRUSTING = "import closefit.weights; closefit.weights.file_problem = lambda *_: None; "
"""Takes the small random networks for the published ones."""

CELL = ".cell.json"
Command = tuple[Sequence[str], Sequence[str], Path]
"""Arguments of closefit, what runs it, and where its cost is kept."""

SIZE_WH = (1280, 720)
DEMO_FRAMES = 48
SHORT = ("optimize.passes=1", "optimize.warmup_passes=0", "optimize.image_size_px=96")


def main() -> None:
    """Measure what was requested and publish everything that has been measured."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    for what in options.only or (*options.backends, "coco", "arrays", "init and optimize"):
        for command, program, cell in _commands(what, options):
            if not cell.is_file():
                cost = run_closefit(command, program)
                cell.write_text(json.dumps(asdict(cost)), encoding="utf-8")
            _publish(options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, help="short video of two people")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backends", nargs="+", default=["lite", "yolo", "full"])
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 4, 24], help="of VIDEO")
    parser.add_argument("--imported", type=int, nargs="+", default=[750, 7500], help="frames")
    parser.add_argument("--fitted", type=int, nargs="+", default=[240, 1200], help="frames")
    parser.add_argument("--only", nargs="+", help="some of the backends, `coco`, `arrays`, ...")
    parser.add_argument("--out", type=Path, default=Path("results/bench-memory"))
    return parser.parse_args()


def _commands(what: str, options: argparse.Namespace) -> Iterator[Command]:
    """Yield the commands of a kind to measure, as the clips and files that they need are there."""
    if what == "init and optimize":
        yield from _fits(options)
    elif what in ("coco", "arrays"):
        source = _scaled(options)
        for frames in options.imported:
            clip = _looped(source, frames, options.out)
            path = _observations(what, frames, options.out)
            arguments = ["--observations", str(path)]
            yield _track(f"track, import ({what})", clip, frames, options.out, arguments)
    else:
        weights = _random_networks(options) if what == "full" else options.weights
        for repeats in options.repeats:
            frames = repeats * video.probe(options.video).num_frames
            clip = _looped(options.video, frames, options.out)
            arguments = ["--perception", what, "--weights", str(weights)]
            yield _track(f"track, {what}", clip, frames, options.out, arguments)


def _track(name: str, clip: Path, frames: int, out: Path, arguments: Sequence[str]) -> Command:
    cell = _cell(out, name, frames)
    program = ("-c", TRUSTING + PROGRAM[1]) if "full" in name else PROGRAM
    folder = str(cell.with_suffix(""))
    return ["stage", "track", str(clip), "--out", folder, "--offline", *arguments], program, cell


def _fits(options: argparse.Namespace) -> Iterator[Command]:
    """`init` and `optimize` of a clip that repeats itself."""
    demo = make_clip(options.out / "demo", frames=DEMO_FRAMES)
    with np.load(demo.observations) as content:
        found = dict(content)
    masks = np.unpackbits(found["union_masks"], count=int(found["union_masks_shape"].prod()))
    for frames in options.fitted:
        clip = _looped(demo.video, frames, options.out)
        source = np.arange(frames) % DEMO_FRAMES
        shown = masks.reshape(found["union_masks_shape"])[source]
        path = options.out / f"demo-{frames}.npz"
        changes = {key: found[key][source] for key in ("boxes", "keypoints")}
        changes |= {"union_masks": np.packbits(shown), "union_masks_shape": np.array(shown.shape)}
        np.savez(path, **{**found, **changes})
        folder = options.out / f"fit-{frames}"
        if not Workspace(folder).artifact("track").is_file():
            arguments = ["--out", str(folder), "--observations", str(path)]
            run_closefit(["stage", "track", str(clip), *arguments])
        for stage, settings in (("init", ()), ("optimize", SHORT)):
            command = ["stage", stage, str(folder)]
            command += [part for setting in settings for part in ("--set", setting)]
            yield command, PROGRAM, _cell(options.out, stage, frames)


def _cell(out: Path, name: str, frames: int) -> Path:
    """Where the cost of a cell is kept; its name identifies it."""
    return out / f"{name}-{frames}{CELL}"


def _publish(out: Path) -> None:
    """Write down every cell that is kept in the folder."""
    measured: dict[str, dict[int, Cost]] = {}
    for cell in out.glob(f"*{CELL}"):
        name, frames = cell.name.removesuffix(CELL).rsplit("-", 1)
        cost = Cost(**json.loads(cell.read_text(encoding="utf-8")))
        measured.setdefault(name, {})[int(frames)] = cost
    rows, growth = [], []
    for name, costs in sorted(measured.items()):
        for frames, cost in sorted(costs.items()):
            rows.append([name, frames, cost.peak_memory_gb, cost.peak_own_gb])
        few, many = min(costs), max(costs)
        if few < many:
            grown_gb = costs[many].peak_own_gb - costs[few].peak_own_gb
            growth.append([name, few, many, 2**20 * grown_gb / (many - few)])
    header = ["stage", "frames", "peak memory (GB)", "of that its own (GB)"]
    tables = [table(header, rows), table(["stage", "from", "to", "kB a frame (own)"], growth)]
    publish("memory", {"memory": rows, "growth": growth}, tables)


def _looped(source: Path, frames: int, out: Path) -> Path:
    """Repeat a video until it has so many frames, without encoding it anew."""
    path = out / f"{source.parent.name}-{source.stem}-{frames}.mp4"
    if not path.is_file():
        _ffmpeg("-stream_loop", "-1", "-i", source, "-c", "copy", "-frames:v", frames, path)
    return path


def _scaled(options: argparse.Namespace) -> Path:
    path = Path(options.out / "scaled.mp4")
    if not path.is_file():
        width, height = SIZE_WH
        _ffmpeg("-i", options.video, "-vf", f"scale={width}:{height},setsar=1", "-an", path)
    return path


def _ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def _observations(kind: str, frames: int, out: Path) -> Path:
    """Two people who sway side by side, as large as people in a dance are."""
    suffix = {"coco": "json", "arrays": "npz"}[kind]
    path = out / f"{kind}-{frames}.{suffix}"
    if path.is_file():
        return path
    sway = 60.0 * np.sin(np.arange(frames) / 20.0)
    left = np.stack([400.0 + sway, 620.0 - sway], axis=1)
    top, right, bottom = np.full_like(left, 60.0), left + 240.0, np.full_like(left, 680.0)
    boxes = np.stack([left, top, right, bottom], axis=-1)
    inside = np.random.default_rng(0).uniform(0.1, 0.9, (17, 2))
    points = boxes[:, :, None, :2] + inside * (boxes[..., 2:] - boxes[..., :2])[:, :, None]
    keypoints = np.concatenate([points, np.full((frames, 2, 17, 1), 0.9)], axis=-1)
    if kind == "coco":
        _write_coco(path, boxes, keypoints)
    else:
        _write_arrays(path, boxes, keypoints)
    return path


def _write_coco(path: Path, boxes: np.ndarray, keypoints: np.ndarray) -> None:
    """Keypoints and an outline of 16 corners for each person."""
    angle = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    circle = 0.5 + 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    with path.open("w", encoding="utf-8") as file:
        for frame, person in np.ndindex(boxes.shape[:2]):
            box = boxes[frame, person]
            outline = (box[:2] + circle * (box[2:] - box[:2])).round(1).ravel().tolist()
            entry = {"image_id": frame, "category_id": 1, "score": 0.9, "track_id": person,
                     "keypoints": keypoints[frame, person].round(2).ravel().tolist(),
                     "segmentation": [outline]}  # fmt: skip
            file.write(("[" if frame + person == 0 else ",\n") + json.dumps(entry))
        file.write("]")


def _write_arrays(path: Path, boxes: np.ndarray, keypoints: np.ndarray) -> None:
    """Silhouettes are the boxes."""
    width, height = SIZE_WH
    bits = np.zeros((len(boxes), height, width // 8), np.uint8)
    for frame, pair in enumerate(boxes.round().astype(int)):
        for x0, y0, x1, y1 in pair:
            bits[frame, y0:y1, x0 // 8 : x1 // 8] = 255
    np.savez_compressed(
        path,
        boxes=boxes,
        keypoints=keypoints,
        union_masks=bits.ravel(),
        union_masks_shape=np.array([len(boxes), height, width]),
        width=width,
        height=height,
        fps=video.probe(path.parent / "scaled.mp4").fps,
    )


def _random_networks(options: argparse.Namespace) -> Path:
    """A folder of weights with YOLO as it is, and small random networks for the rest."""
    from tests.unit.detectors.snapshots import save_sam2, save_vitpose

    folder = Path(options.out / "weights")
    if not folder.is_dir():
        folder.mkdir()
        save_sam2(folder / "sam2.1-hiera-tiny")
        save_vitpose(folder / "vitpose-base-simple")
        for yolo in options.weights.glob("yolo11n-pose*"):
            shutil.copy(yolo, folder)
    return folder


if __name__ == "__main__":
    main()
