"""AlphaPose's JSON: a list of people whose `image_id` is the name of a picture."""

from collections.abc import Sequence

import numpy as np

from closefit.boundary.values import refuse, shown
from closefit.imports.detections import json_people
from closefit.imports.detections.frame_range import FrameRange, number_in
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.json_people import Entry
from closefit.imports.detections.listed import Listed, finish


def read_people(people: Sequence[Entry], frames: FrameRange) -> Imported:
    """Read people with names of pictures such as `12.jpg`, which count from 0 in videos."""
    number = [number_in(entry["image_id"]) for entry in people]
    if None in number:
        name = shown(people[number.index(None)]["image_id"])
        refuse(f"it has an `image_id` `{name}` without a frame number")
    frame = frames.of_some_frames(np.array(number), usual_first=0)
    identity = json_people.identities(people, "idx")
    # Without tracking everybody has the same number.
    if len(np.unique(identity)) == 1 and len(np.unique(frame)) < len(frame):
        identity = np.full(len(people), -1)
    # The score of a person is a sum over keypoints, not a confidence; it is left out.
    boxes, keypoints = json_people.boxes(people, "box"), json_people.keypoints(people, "keypoints")
    return finish(frames, Listed(frame, boxes, keypoints=keypoints, identity=identity))
