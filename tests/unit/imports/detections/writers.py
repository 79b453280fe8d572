"""A tiny writer for each format of `docs/importing.md`, and two people to write with them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from closefit.body.keypoints import COCO17, KEYPOINT_SETS
from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.reading import read_all
from closefit.records import VideoInfo
from tests.samples import make_video_info

FRAMES, WIDTH, HEIGHT = 6, 64, 48
VIDEO = make_video_info(FRAMES)


@dataclass(frozen=True, eq=False)
class People:
    """Two people, of whom one is not seen in frame 2, and neither in frame 3."""

    boxes: np.ndarray
    keypoints: np.ndarray
    masks: np.ndarray

    @property
    def seen(self) -> list[tuple[int, int]]:
        """Frame and person wherever there is somebody."""
        return [(int(f), int(p)) for f, p in np.argwhere(np.isfinite(self.boxes).all(axis=-1))]

    def box_xywh(self, frame: int, person: int) -> list[float]:
        box = self.boxes[frame, person]
        return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]

    def flat(self, frame: int, person: int) -> list[float]:
        return self.keypoints[frame, person].ravel().tolist()


def make_people(frames: int = FRAMES) -> People:
    generator = np.random.default_rng(3)
    boxes = np.tile(np.array([[4.0, 4.0, 24.0, 40.0], [34.0, 6.0, 54.0, 42.0]]), (frames, 1, 1))
    boxes += np.arange(frames)[:, None, None]
    size = boxes[..., None, 2:] - boxes[..., None, :2]
    places = boxes[..., None, :2] + generator.uniform(0.1, 0.9, (frames, 2, 17, 2)) * size
    confidence = generator.uniform(0.2, 1.0, (frames, 2, 17, 1))
    keypoints = np.concatenate([places, confidence], axis=-1)
    keypoints[1, 0, 4] = 0.0
    masks = np.zeros((frames, 2, HEIGHT, WIDTH), dtype=bool)
    for frame in range(frames):
        for person in range(2):
            left, top, right, bottom = boxes[frame, person].astype(int)
            masks[frame, person, top:bottom, left:right] = True
            masks[frame, person, top : top + 3, left : left + 3] = False
    boxes[2, 1] = boxes[3] = np.nan
    keypoints[2, 1] = keypoints[3] = 0.0
    masks[2, 1] = masks[3] = False
    return People(boxes, keypoints, masks)


def imported(*paths: Path, frames: slice = slice(0, FRAMES), video: VideoInfo = VIDEO) -> Imported:
    """Read paths for a part of the video, at the video's size."""
    return read_all(paths, FrameRange(video, frames, (video.width, video.height)))


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def coco_results(path: Path, people: People, first: int = 0, *, tracked: bool = True) -> Path:
    entries = [
        {
            "image_id": frame + first,
            "category_id": 1,
            "keypoints": people.flat(frame, person),
            "bbox": people.box_xywh(frame, person),
            "score": 0.75,
        }
        | ({"track_id": person + 5} if tracked else {})
        for frame, person in people.seen
    ]
    return write_json(path, entries)


def coco_annotations(
    path: Path, people: People, *, compressed: bool = True, names: Sequence[str] = COCO17.names
) -> Path:
    """Keypoints in the order of `names`, masks and boxes, with images listed backwards."""
    order = [COCO17.names.index(name) for name in names]
    height, width = people.masks.shape[2:]
    annotations = [
        {
            "id": number,
            "image_id": 900 + frame,
            "category_id": 7,
            "keypoints": people.keypoints[frame, person, order].ravel().tolist(),
            "bbox": people.box_xywh(frame, person),
            "segmentation": encode(people.masks[frame, person], compressed=compressed),
            "track_id": person,
        }
        for number, (frame, person) in enumerate(people.seen)
    ]
    images = [
        {"id": 900 + frame, "file_name": f"{frame + 1:06d}.jpg", "width": width, "height": height}
        for frame in reversed(range(len(people.boxes)))
    ]
    categories = [{"id": 7, "name": "person", "keypoints": list(names)}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return write_json(path, content | {"info": {"fps": 30}})


def openpose(folder: Path, people: People, first: int = 0, layout: str = "openpose25") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(len(people.boxes)):
        found = [
            {"person_id": [-1], "pose_keypoints_2d": in_layout(people, frame, person, layout)}
            for person in range(2)
            if (frame, person) in people.seen
        ]
        name = f"clip_{frame + first:012d}_keypoints.json"
        write_json(folder / name, {"version": 1.3, "people": found})
    return folder


def alphapose(
    path: Path, people: People, first: int = 0, layout: str = "halpe26", *, tracked: bool = True
) -> Path:
    entries = [
        {
            "image_id": f"{frame + first}.jpg",
            "category_id": 1,
            "keypoints": in_layout(people, frame, person, layout),
            "score": 2.9,
            "box": people.box_xywh(frame, person),
            "idx": person + 1 if tracked else [0.0],
        }
        for frame, person in people.seen
    ]
    return write_json(path, entries)


def in_layout(people: People, frame: int, person: int, layout: str) -> list[float]:
    """Keypoints in another set; those that COCO-17 has not are made up."""
    points = []
    for name in KEYPOINT_SETS[layout].names:
        if name in COCO17.names:
            points.append(people.keypoints[frame, person, COCO17.names.index(name)].tolist())
        else:
            points.append([*people.boxes[frame, person, :2].tolist(), 0.5])
    return np.array(points).ravel().tolist()


def mot(path: Path, people: People, first: int = 1, *, numbered: bool = True) -> Path:
    lines = []
    for frame, person in people.seen:
        box = ",".join(f"{side:.3f}" for side in people.box_xywh(frame, person))
        lines.append(f"{frame + first},{person + 1 if numbered else -1},{box},0.9,-1,-1,-1")
    path.write_text("\n".join(lines) + "\n")
    return path


def masks_per_person(folder: Path, people: People, first: int = 0) -> Path:
    """As SAM 2's tools write them: `000/00000.png`, nothing where there is nobody."""
    for frame in range(len(people.masks)):
        for person in range(2):
            picture = people.masks[frame, person]
            if frame == 3 or picture.any():
                save_png(folder / f"{person:03d}" / f"{frame + first:05d}.png", picture * 255)
    return folder


def masks_labelled(folder: Path, people: People, first: int = 0, mode: str = "L") -> Path:
    for frame, (one, two) in enumerate(people.masks):
        labels = one.astype(np.uint8) + 2 * two.astype(np.uint8)
        save_png(folder / f"frame_{frame + first}.png", labels, mode)
    return folder


def masks_union(folder: Path, people: People, first: int = 0) -> Path:
    for frame, union in enumerate(people.masks.any(axis=1)):
        save_png(folder / f"{frame + first:04d}.png", union * 255)
    return folder


def save_png(path: Path, values: np.ndarray, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        picture = picture.convert("P")
        picture.putdata(values.ravel().tolist())
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    elif mode == "RGB":
        colours = np.array([[0, 0, 0], [10, 10, 200], [200, 10, 10]], dtype=np.uint8)
        picture = Image.fromarray(colours[values])
    picture.save(path)


def encode(mask: np.ndarray, *, compressed: bool) -> dict[str, Any]:
    """COCO's run-length encoding, as its page describes it."""
    flat = mask.T.ravel().astype(int)
    changes = np.flatnonzero(np.diff(flat)) + 1
    bounds = [0, *changes.tolist(), len(flat)]
    runs = np.diff(bounds).tolist()
    if flat[0]:
        runs = [0, *runs]
    counts = _compress(runs) if compressed else runs
    return {"size": list(mask.shape), "counts": counts}


def _compress(runs: list[int]) -> str:
    text = ""
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr(bits + (0x20 if more else 0) + 48)
    return text
