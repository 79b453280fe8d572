"""OpenPose's folder: one JSON file per frame, in the order of the numbers in their names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from closefit.imports.detections import entries
from closefit.imports.detections.entries import Entry
from closefit.imports.detections.imported import Imported, Listed, finish
from closefit.imports.detections.part import Part, natural_order, numbered, require_gapless
from closefit.imports.detections.refusals import read_json, refuse
from closefit.tracking.mask_crops import MaskCrop

POINTS, PERSON = "pose_keypoints_2d", "person_id"


def read_folder(folder: Path, files: Sequence[Path], part: Part) -> Imported:
    """Read one file per frame.

    Raises:
        ObservationsError: One does not follow the format, or they do not belong to the video.
    """
    ordered = natural_order(files)
    number = numbered(folder, [file.name for file in ordered])
    require_gapless(folder, number)
    chosen = part.of_every_frame(folder, len(ordered))
    ordered = [ordered[place] for place in np.argsort(number)]
    people: list[Entry] = []
    frame: list[int] = []
    for place, file in enumerate(ordered[chosen]):
        found = _people(file)
        people += found
        frame += [place] * len(found)
    if not any(entry.get(POINTS) for entry in people):
        refuse(folder, "has no person in any of its files")
    listed = Listed(
        frame=np.array(frame, dtype=np.int64),
        boxes_xyxy=np.full((len(people), 4), np.nan),
        scores=np.ones(len(people)),
        keypoints=entries.keypoints(folder, people, POINTS),
        masks=[MaskCrop.empty()] * len(people),
        identity=entries.identities(folder, people, PERSON),
    )
    return finish(folder, part, listed)


def _people(file: Path) -> list[Entry]:
    content = read_json(file)
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(entry, dict) for entry in people):
        refuse(file, "has no list `people`, as OpenPose writes it")
    return people
