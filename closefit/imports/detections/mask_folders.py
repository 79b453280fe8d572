"""Masks as PNG pictures: one folder per person, or one folder with a number per person.

Any picture whose pixels have just one value besides 0 is the mask of everybody together. This is
also how SAM 2's tools write their results.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from closefit.imports.detections.imported import (
    Imported,
    Listed,
    finish,
    only_silhouettes,
)
from closefit.imports.detections.part import Part, natural_order, numbered, require_gapless
from closefit.imports.detections.pictures import read_labels, resized
from closefit.imports.detections.refusals import refuse
from closefit.mask_stack import MaskStack, deflate
from closefit.tracking.mask_crops import MaskCrop

MAX_LABELS = 16
"""Pictures with more values than this have soft edges instead of labels."""

HALF = 128

People = dict[tuple[int, int], MaskCrop]
"""Masks by frame of the part and number of the person."""


def read_folder(folder: Path, part: Part) -> Imported:
    """Read a folder of pictures, or of one folder of pictures per person.

    Raises:
        ObservationsError: There are none, one is damaged, or they do not belong to the video.
    """
    persons = [entry for entry in natural_order(_shown(folder)) if entry.is_dir()]
    files = _pictures(folder)
    if not files and len(persons) == 1:
        return read_folder(persons[0], part)
    if files:
        return _from_labels(folder, _by_frame(folder, [files], part)[0], part)
    if not persons:
        refuse(folder, "holds neither JSON files nor PNG pictures")
    pictures = [_pictures(person) for person in persons]
    for person, own in zip(persons, pictures, strict=True):
        if not own:
            refuse(person, "holds no PNG pictures")
    people: People = {}
    for number, in_frame in enumerate(_by_frame(folder, pictures, part)):
        for frame, file in in_frame.items():
            labels = read_labels(file)
            part.check_shape(file, labels.shape[1], labels.shape[0])
            mask = labels >= (HALF if _is_soft(labels) else 1)
            people[frame, number] = MaskCrop.of(resized(mask, part.size_wh))
    return _listed(folder, people, part)


def _from_labels(folder: Path, files: dict[int, Path], part: Part) -> Imported:
    """Pictures that hold everybody."""
    people: People = {}
    for frame, file in files.items():
        labels = read_labels(file)
        part.check_shape(file, labels.shape[1], labels.shape[0])
        if _is_soft(labels):
            return _union(files, part, threshold=HALF)
        for label in np.unique(labels[labels != 0]).tolist():
            people[frame, label] = MaskCrop.of(resized(labels == label, part.size_wh))
    several = len({label for _, label in people}) > 1
    return _listed(folder, people, part) if several else _union(files, part, threshold=1)


def _union(files: dict[int, Path], part: Part, threshold: int) -> Imported:
    """Pictures of one silhouette, at their own size or, if they are larger, at working size."""
    masks = list[bytes]()
    size_wh: tuple[int, int] | None = None
    for frame in range(part.num_frames):
        labels = read_labels(files[frame])
        mask = labels >= threshold
        if size_wh is None:
            own = (mask.shape[1], mask.shape[0])
            size_wh = own if own[0] <= part.size_wh[0] else part.size_wh
        part.check_shape(files[frame], mask.shape[1], mask.shape[0])
        masks.append(deflate(resized(mask, size_wh)))
    assert size_wh is not None
    return only_silhouettes(MaskStack.of(masks, size_wh))


def _listed(folder: Path, people: People, part: Part) -> Imported:
    """Bring masks of single people into the common form."""
    shown = {place: mask for place, mask in people.items() if not mask.is_empty}
    if not shown:
        refuse(folder, "shows nobody: all its pictures are black")
    places = np.array(sorted(shown))
    listed = Listed(
        frame=places[:, 0],
        boxes_xyxy=np.full((len(places), 4), np.nan),
        scores=np.ones(len(places)),
        keypoints=np.zeros((len(places), 0, 3)),
        masks=[shown[frame, number] for frame, number in places.tolist()],
        identity=places[:, 1],
    )
    return finish(folder, part, listed)


def _by_frame(folder: Path, groups: Sequence[Sequence[Path]], part: Part) -> list[dict[int, Path]]:
    """Pictures of each group by frame of the part; a person need not be in every frame."""
    named = [
        dict(zip(numbered(files[0].parent, [file.name for file in files]), files, strict=True))
        for files in groups
    ]
    span = require_gapless(folder, set().union(*named))
    chosen = part.of_every_frame(folder, len(span))
    first = span.start + chosen.start
    return [
        {
            number - first: file
            for number, file in files.items()
            if first <= number < first + part.num_frames
        }
        for files in named
    ]


def _is_soft(labels: Int[np.ndarray, "height width"]) -> bool:
    return len(np.unique(labels)) > MAX_LABELS + 1


def _shown(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _pictures(folder: Path) -> list[Path]:
    entries = natural_order(_shown(folder))
    others = [e for e in entries if e.suffix.lower() in (".jpg", ".jpeg", ".webp")]
    files = [entry for entry in entries if entry.suffix.lower() == ".png"]
    if others and not files:
        refuse(folder, f"holds `{others[0].name}`; pictures of this kind blur masks", "use PNG")
    return files
