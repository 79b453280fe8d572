"""AlphaPose's JSON: a list of people whose `image_id` is the name of a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from closefit.imports.detections import entries
from closefit.imports.detections.entries import Entry
from closefit.imports.detections.imported import Imported, Listed, finish
from closefit.imports.detections.part import Part, number_in
from closefit.imports.detections.refusals import refuse
from closefit.tracking.mask_crops import MaskCrop


def read_people(path: Path, people: Sequence[Entry], part: Part) -> Imported:
    """Read people with names of pictures such as `12.jpg`, which count from 0 in videos.

    Raises:
        ObservationsError: It does not follow the format or does not belong to the video.
    """
    number = []
    for entry in people:
        name = str(entry.get("image_id"))
        found = number_in(name)
        if found is None:
            refuse(path, f"has an `image_id` `{name}` without a frame number")
        number.append(found)
    frame = part.of_some_frames(path, np.array(number), usual_first=0)
    listed = Listed(
        frame=frame,
        boxes_xyxy=entries.boxes(path, people, "box"),
        # The scores of people add up those of keypoints, and so say nothing about being a person.
        scores=np.ones(len(people)),
        keypoints=entries.keypoints(path, people, "keypoints"),
        masks=[MaskCrop.empty()] * len(people),
        identity=_identities(path, people, frame),
    )
    return finish(path, part, listed)


def _identities(
    path: Path, people: Sequence[Entry], frame: Int[np.ndarray, " detection"]
) -> Int[np.ndarray, " detection"]:
    """`idx` of each person; without tracking everybody has the same, which says nothing."""
    identity = entries.identities(path, people, "idx")
    if len(np.unique(identity)) == 1 and len(np.unique(frame)) < len(frame):
        return np.full(len(people), -1)
    return identity
