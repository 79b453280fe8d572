"""OpenPose's folder: one JSON file per frame, in the order of the numbers in their names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from closefit.boundary.files import read_json
from closefit.boundary.values import refuse, within
from closefit.imports.detections import json_people
from closefit.imports.detections.frame_range import FrameRange, numbered, require_gapless
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.json_people import Entry
from closefit.imports.detections.listed import Listed, finish

POINTS, PERSON = "pose_keypoints_2d", "person_id"


def read_folder(files: Sequence[Path], frames: FrameRange) -> Imported:
    """Read one file per frame.

    Raises:
        RefusedError: One does not follow the format, or they do not belong to the video.
    """
    by_number = numbered(files)
    span = require_gapless(by_number)
    people: list[Entry] = []
    frame: list[int] = []
    for place, number in enumerate(span[frames.of_every_frame(len(span))]):
        found = _people(by_number[number])
        people += found
        frame += [place] * len(found)
    if not any(entry.get(POINTS) for entry in people):
        refuse("it has no person in any of its files")
    keypoints = json_people.keypoints(people, POINTS)
    identity = json_people.identities(people, PERSON)
    return finish(frames, Listed(np.array(frame), keypoints=keypoints, identity=identity))


def _people(file: Path) -> list[Entry]:
    content = read_json(file)
    with within(file):
        people = content.get("people") if isinstance(content, dict) else None
        return json_people.entries_of(people, "`people`, as OpenPose writes it")
