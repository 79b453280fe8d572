"""Text of the MOT challenge, which most trackers write: `frame, id, left, top, width, height, ...`.

Frames count from 1. A confidence of 0 marks a row that does not count. Files of true boxes have
nine columns, the eighth of which is a class; only people (1) are read.
"""

import configparser
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.boundary.files import read_text
from closefit.boundary.values import refuse, whole_numbers, within
from closefit.imports.detections.frame_range import COUNT_HINT, FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.listed import Listed, boxes_from_xywh, finish

MIN_COLUMNS, CONFIDENCE, CLASS, TRUTH_COLUMNS = 6, 6, 7, 9
PERSON = 1


def read_rows(path: Path, frames: FrameRange) -> Imported:
    """Read boxes and the numbers of people."""
    lines = (line.strip() for line in read_text(path).splitlines())
    rows = np.array([_row(place, line) for place, line in enumerate(lines, start=1) if line])
    _check_sequence(path, frames)
    counts = rows[:, CONFIDENCE] != 0
    counts &= ~((rows[:, -1] == TRUTH_COLUMNS) & ~np.isin(rows[:, CLASS], (PERSON, -1)))
    rows = rows[counts]
    if len(rows) == 0:
        refuse("it holds no row that counts (confidence 0 means: ignore)")
    number, identity = whole_numbers(rows[:, :2], "frame and person", None, 2, low=-(2**53)).T
    confidence = rows[:, CONFIDENCE]
    listed = Listed(
        frames.of_some_frames(number, usual_first=1),
        boxes_from_xywh(rows[:, 2:6]),
        np.where(confidence < 0, 1.0, confidence),
        identity=identity.clip(min=-1),
    )
    return finish(frames, listed)


def _row(place: int, line: str) -> Float[np.ndarray, "9"]:
    """The first eight columns of a line, -1 where it has fewer, and how many it has."""
    try:
        values = [float(field) for field in line.replace(",", " ").split()]
    except ValueError:
        refuse(f"it has no numbers, separated by commas, in line {place}")
    if len(values) < MIN_COLUMNS:
        refuse(f"it has {len(values)} numbers in line {place} instead of at least 6")
    for value, name in zip(values[:2], ("frame", "person"), strict=True):
        if not math.isfinite(value) or value != math.floor(value):
            refuse(f"it has {name} {value:g} in line {place}, which is no whole number")
    first = (values + [-1.0] * CLASS)[: CLASS + 1]
    return np.array([*first, len(values)])


def _check_sequence(path: Path, frames: FrameRange) -> None:
    """Compare with the `seqinfo.ini` that the challenge's folders have, if there is one."""
    candidates = (folder / "seqinfo.ini" for folder in (path.parent, path.parent.parent))
    info = next((file for file in candidates if file.is_file()), None)
    if info is None:
        return
    with within(info):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(read_text(info))
            sequence = parser["Sequence"]
            rate = sequence.getfloat("frameRate")
            length, width, height = (
                sequence.getint(key) for key in ("seqLength", "imWidth", "imHeight")
            )
        except (configparser.Error, KeyError, ValueError):
            refuse("it is not a description of a MOT sequence")
        if rate is not None:
            frames.check_fps(rate)
        if length is not None and abs(length - frames.video.num_frames) > 1:
            refuse(
                f"it is of {length} frames, but the video has {frames.video.num_frames}", COUNT_HINT
            )
        if width is not None and height is not None:
            frames.check_size(width, height)
