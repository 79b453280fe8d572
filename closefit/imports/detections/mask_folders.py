"""Masks as PNG pictures: one folder per person, or one folder with a number per person.

Any picture whose pixels have just one value besides 0 is the mask of everybody together. This is
also how SAM 2's tools write their results.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from closefit.boundary.values import refuse
from closefit.imports.detections.frame_range import (
    FrameRange,
    natural_order,
    numbered,
    require_gapless,
)  # fmt: skip
from closefit.imports.detections.imported import Imported, only_silhouettes
from closefit.imports.detections.listed import from_masks
from closefit.imports.detections.pictures import read_labels, resized, threshold
from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.mask_crops import MaskCrop

People = dict[tuple[int, int], MaskCrop]
"""Masks by chosen frame and number of the person."""


def read_folder(folder: Path, frames: FrameRange) -> Imported:
    """Read a folder of pictures, or of one folder of pictures per person.

    Raises:
        RefusedError: There are none, one is damaged, or they do not belong to the video.
    """
    persons = [entry for entry in natural_order(_shown(folder)) if entry.is_dir()]
    files = _pictures(folder)
    if not files and len(persons) == 1:
        return read_folder(persons[0], frames)
    if files:
        return _from_labels(_by_frame([files], frames)[0], frames)
    if not persons:
        refuse("it holds neither JSON files nor PNG pictures")
    pictures = [_pictures(person) for person in persons]
    for person, own in zip(persons, pictures, strict=True):
        if not own:
            refuse("it holds no PNG pictures", path=person)
    people: People = {}
    for number, in_frame in enumerate(_by_frame(pictures, frames)):
        for frame, file in in_frame.items():
            labels = read_labels(file, frames)
            people[frame, number] = MaskCrop.of(
                resized(labels >= threshold(labels), frames.size_wh)
            )
    return from_masks(people, frames)


def _from_labels(files: Mapping[int, Path], frames: FrameRange) -> Imported:
    """Pictures that hold everybody."""
    people: People = {}
    for frame, file in files.items():
        labels = read_labels(file, frames)
        if threshold(labels) > 1:
            return _together(files, frames, threshold(labels))
        for label in np.unique(labels[labels != 0]).tolist():
            people[frame, label] = MaskCrop.of(resized(labels == label, frames.size_wh))
    several = len({label for _, label in people}) > 1
    return from_masks(people, frames) if several else _together(files, frames, 1)


def _together(files: Mapping[int, Path], frames: FrameRange, lowest: int) -> Imported:
    """Pictures of one silhouette, at their own size or, if they are larger, at working size."""
    height, width = read_labels(files[0], frames).shape
    size_wh = (width, height) if width <= frames.size_wh[0] else frames.size_wh
    labels = (read_labels(files[frame], frames) for frame in range(frames.num_frames))
    masks = (deflate(resized(values >= lowest, size_wh)) for values in labels)
    return only_silhouettes(MaskStack.of(masks, size_wh), frames.size_wh)


def _by_frame(groups: Sequence[Sequence[Path]], frames: FrameRange) -> list[dict[int, Path]]:
    """Pictures of each group by chosen frame; a person need not be in every frame."""
    by_number = [numbered(files) for files in groups]
    span = require_gapless(set().union(*by_number))
    first = span.start + frames.of_every_frame(len(span)).start
    return [
        {
            number - first: file
            for number, file in files.items()
            if first <= number < first + frames.num_frames
        }
        for files in by_number
    ]


def _shown(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _pictures(folder: Path) -> list[Path]:
    entries = _shown(folder)
    others = [e for e in entries if e.suffix.lower() in (".jpg", ".jpeg", ".webp")]
    files = [entry for entry in entries if entry.suffix.lower() == ".png"]
    if others and not files:
        refuse(f"it holds `{others[0].name}`; pictures of this kind blur masks", "use PNG")
    return files
