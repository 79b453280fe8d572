"""COCO's JSON: lists of results, and whole annotation files; keypoints, boxes and masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from closefit.imports.detections import entries, rle
from closefit.imports.detections.entries import Entry
from closefit.imports.detections.imported import Imported, Listed, finish
from closefit.imports.detections.part import Part, number_in, require_gapless
from closefit.imports.detections.pictures import resized
from closefit.imports.detections.refusals import refuse, whole_number
from closefit.tracking.mask_crops import MaskCrop

PERSON = 1
"""COCO's category of people."""


def read_results(path: Path, listed: Sequence[Entry], part: Part) -> Imported:
    """Read a list of results whose `image_id` are frame numbers.

    Raises:
        ObservationsError: It does not follow the format or does not belong to the video.
    """
    people = [entry for entry in listed if entry.get("category_id", PERSON) == PERSON]
    if not people:
        refuse(path, "holds no person (`category_id` 1)")
    number = [whole_number(path, entry.get("image_id"), "an `image_id`") for entry in people]
    frame = part.of_some_frames(path, np.array(number), usual_first=0)
    return _read(path, people, frame.tolist(), part)


def read_annotations(path: Path, content: Entry, part: Part) -> Imported:
    """Read a file with `images`, `annotations` and, where it has them, `categories`.

    Raises:
        ObservationsError: It does not follow the format or does not belong to the video.
    """
    images, annotations = (_listed(path, content, key) for key in ("images", "annotations"))
    info = content.get("info")
    if isinstance(info, dict) and isinstance(info.get("fps"), int | float):
        part.check_fps(path, float(info["fps"]))
    category, names = _person_category(content.get("categories"))
    people = [entry for entry in annotations if entry.get("category_id", category) == category]
    if not people:
        refuse(path, f"holds no person (`category_id` {category})")
    frame_of = _frames(path, images, part)
    for entry in people:
        if str(entry.get("image_id")) not in frame_of:
            refuse(path, f"annotates an image `{entry.get('image_id')}` that is not in `images`")
    return _read(path, people, [frame_of[str(e["image_id"])] for e in people], part, names)


def _listed(path: Path, content: Entry, key: str) -> list[Entry]:
    listed = content.get(key)
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        refuse(path, f"has no list `{key}`")
    if not listed:
        refuse(path, f"has an empty list `{key}`")
    return listed


def _frames(path: Path, images: Sequence[Entry], part: Part) -> dict[str, int]:
    """Frame of the part by image id: in order of the numbers in the file names, else of the ids."""
    for image in images:
        if "width" in image and "height" in image:
            width = whole_number(path, image["width"], "an image `width`")
            height = whole_number(path, image["height"], "an image `height`")
            part.check_size(path, width, height)
    ids = [str(image.get("id")) for image in images]
    if len(set(ids)) != len(ids):
        refuse(path, "has several `images` with one `id`")
    in_names = [number_in(str(image.get("file_name", ""))) for image in images]
    order = [number for number in in_names if number is not None]
    if len(set(order)) == len(images):
        require_gapless(path, order)
    else:
        order = [whole_number(path, image.get("id"), "an image `id`") for image in images]
    chosen = part.of_every_frame(path, len(images))
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
    return people[0]["id"], [str(name) for name in names] if isinstance(names, list) else None


def _read(
    path: Path,
    people: Sequence[Entry],
    frame: Sequence[int],
    part: Part,
    keypoint_names: Sequence[str] | None = None,
) -> Imported:
    """Bring entries whose frames are known into the common form."""
    if not any(e.get("keypoints") or e.get("segmentation") or e.get("bbox") for e in people):
        refuse(path, "has neither `keypoints` nor `segmentation` nor `bbox`")
    masks = [
        _mask(path, entry, part) if 0 <= place < part.num_frames else MaskCrop.empty()
        for entry, place in zip(people, frame, strict=True)
    ]
    listed = Listed(
        frame=np.array(frame, dtype=np.int64),
        boxes_xyxy=entries.boxes(path, people, "bbox"),
        scores=entries.scores(path, people),
        keypoints=entries.flags_as_confidence(entries.keypoints(path, people, "keypoints")),
        masks=masks,
        identity=entries.identities(path, people, "track_id"),
        keypoint_names=keypoint_names,
    )
    return finish(path, part, listed)


def _mask(path: Path, entry: Entry, part: Part) -> MaskCrop:
    """Mask of one entry at working size."""
    segmentation = entry.get("segmentation")
    if not segmentation:
        return MaskCrop.empty()
    if isinstance(segmentation, list):
        return _polygons(path, segmentation, part)
    try:
        mask = rle.decode(segmentation)
    except ValueError as error:
        refuse(path, f"has a mask for image `{entry.get('image_id')}` that {error}")
    part.check_shape(path, mask.shape[1], mask.shape[0])
    return MaskCrop.of(resized(mask, part.size_wh))


def _polygons(path: Path, polygons: Sequence[Any], part: Part) -> MaskCrop:
    """Fill polygons x1, y1, x2, ... in pixels of the video."""
    width, height = part.size_wh
    picture = Image.new("1", (width, height))
    draw = ImageDraw.Draw(picture)
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            refuse(path, "has a `segmentation` that is no list of polygons x1, y1, x2, y2, ...")
        try:
            corners = np.array(polygon, dtype=np.float64).reshape(-1, 2) * part.scale - 0.5
        except (TypeError, ValueError):
            refuse(path, "has a polygon that does not consist of numbers")
        limit = 10 * max(width, height)
        if not (np.abs(corners) < limit).all():
            refuse(path, "has a polygon with a corner far outside of the picture")
        draw.polygon([(x, y) for x, y in corners.tolist()], fill=1)
    return MaskCrop.of(np.array(picture, dtype=bool))
