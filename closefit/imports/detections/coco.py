"""COCO's JSON: lists of results, and whole annotation files; keypoints, boxes and masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from closefit.boundary.values import number, numbers, refuse, shown, whole_number
from closefit.imports.detections import json_people, rle
from closefit.imports.detections.frame_range import FrameRange, number_in, require_gapless
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.json_people import Entry, entries_of
from closefit.imports.detections.listed import Listed, finish
from closefit.imports.detections.pictures import resized
from closefit.tracking.mask_crops import MaskCrop

PERSON = 1
"""COCO's category of people."""


def read_results(listed: Sequence[Entry], frames: FrameRange) -> Imported:
    """Read a list of results whose `image_id` are frame numbers."""
    people = _of_category(listed, PERSON)
    ids = [whole_number(entry.get("image_id"), "image_id", low=-1) for entry in people]
    return _read(people, frames.of_some_frames(np.array(ids), usual_first=0).tolist(), frames)


def read_annotations(content: Entry, frames: FrameRange) -> Imported:
    """Read a file with `images`, `annotations` and, where it has them, `categories`."""
    images, annotations = (entries_of(content.get(k), f"`{k}`") for k in ("images", "annotations"))
    for key, listed in (("images", images), ("annotations", annotations)):
        if not listed:
            refuse(f"it has an empty list `{key}`")
    info = content.get("info")
    if isinstance(info, dict) and info.get("fps") is not None:
        frames.check_fps(number(info["fps"], "info.fps", 0.0, 1e6))
    category, names = _person_category(content.get("categories"))
    people = _of_category(annotations, category)
    frame_of = _frames(images, frames)
    frame = []
    for entry in people:
        image = _id(entry.get("image_id"))
        if image not in frame_of:
            refuse(f"it annotates an image `{shown(image)}` that is not in `images`")
        frame.append(frame_of[image])
    return _read(people, frame, frames, names)


def _of_category(entries: Sequence[Entry], category: int) -> list[Entry]:
    people = [entry for entry in entries if entry.get("category_id", category) == category]
    if not people:
        refuse(f"it holds no person (`category_id` {category})")
    return people


def _id(value: Any) -> str:
    """A number or a name as text."""
    return value if isinstance(value, str) else str(whole_number(value, "image_id"))


def _frames(images: Sequence[Entry], frames: FrameRange) -> dict[str, int]:
    """Chosen frame by image id: in order of the numbers in the file names, else of the ids."""
    for image in images:
        if "width" in image and "height" in image:
            sides = (whole_number(image[key], f"images.{key}") for key in ("width", "height"))
            frames.check_size(*sides)
    ids = [_id(image.get("id")) for image in images]
    if len(set(ids)) != len(ids):
        refuse("it has several `images` with one `id`")
    in_names = [number_in(image.get("file_name")) for image in images]
    order = [found for found in in_names if found is not None]
    if len(set(order)) == len(images):
        require_gapless(order)
    else:
        order = [whole_number(image.get("id"), "images.id") for image in images]
    chosen = frames.of_every_frame(len(images))
    ranks = np.argsort(np.argsort(order)) - chosen.start
    return dict(zip(ids, ranks.tolist(), strict=True))


def _person_category(categories: Any) -> tuple[int, list[str] | None]:
    """Id of people, and the names of their keypoints where the file has them."""
    known = [
        category
        for category in (categories if isinstance(categories, list) else [])
        if isinstance(category, dict) and isinstance(category.get("id"), int)
    ]
    people = [category for category in known if category.get("name") == "person"]
    people = people or (known if len(known) == 1 else [])
    if not people:
        return PERSON, None
    names = people[0].get("keypoints")
    named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return people[0]["id"], names if named else None


def _read(
    people: Sequence[Entry],
    frame: Sequence[int],
    frames: FrameRange,
    keypoint_names: Sequence[str] | None = None,
) -> Imported:
    """Bring entries whose frames are known into the common form."""
    if not any(e.get("keypoints") or e.get("segmentation") or e.get("bbox") for e in people):
        refuse("it has neither `keypoints` nor `segmentation` nor `bbox`")
    masks = [
        _mask(entry, frames) if 0 <= place < frames.num_frames else MaskCrop.empty()
        for entry, place in zip(people, frame, strict=True)
    ]
    keypoints = json_people.flags_as_confidence(json_people.keypoints(people, "keypoints"))
    listed = Listed(
        np.array(frame, dtype=np.int64),
        json_people.boxes(people, "bbox"),
        json_people.scores(people),
        keypoints,
        masks,
        json_people.identities(people, "track_id"),
        keypoint_names,
    )
    return finish(frames, listed)


def _mask(entry: Entry, frames: FrameRange) -> MaskCrop:
    """Mask of one entry at working size."""
    segmentation = entry.get("segmentation")
    if not segmentation:
        return MaskCrop.empty()
    if isinstance(segmentation, list):
        return _polygons(segmentation, frames)
    size = rle.size_of(segmentation)
    frames.check_shape(size[1], size[0])
    return MaskCrop.of(resized(rle.decode(segmentation, size), frames.size_wh))


def _polygons(polygons: Sequence[Any], frames: FrameRange) -> MaskCrop:
    """Fill polygons x1, y1, x2, ... in pixels of the video."""
    picture = Image.new("1", frames.size_wh)
    draw = ImageDraw.Draw(picture)
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            refuse("it has a `segmentation` that is no list of polygons x1, y1, x2, y2, ...")
        corners = numbers(polygon, "segmentation", None, limit=np.inf).reshape(-1, 2)
        corners = corners * frames.scale - 0.5
        if not (np.abs(corners) < 10 * max(frames.size_wh)).all():
            refuse("it has a polygon with a corner far outside of the picture")
        draw.polygon([(x, y) for x, y in corners.tolist()], fill=1)
    return MaskCrop.of(np.array(picture, dtype=bool))
