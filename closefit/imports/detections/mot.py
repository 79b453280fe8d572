"""Text of the MOT challenge, which most trackers write: `frame, id, left, top, width, height, ...`.

Frames count from 1. A confidence of 0 marks a row that does not count. Files of true boxes have
nine columns, the eighth of which is a class; only people (1) are read.
"""

import configparser
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.imports.detections.imported import (
    Imported,
    Listed,
    boxes_from_xywh,
    finish,
)
from closefit.imports.detections.part import COUNT_HINT, Part
from closefit.imports.detections.refusals import int_or_none, read_text, refuse
from closefit.tracking.mask_crops import MaskCrop

MIN_COLUMNS, CONFIDENCE, CLASS, TRUTH_COLUMNS = 6, 6, 7, 9
PERSON = 1


def read_rows(path: Path, part: Part) -> Imported:
    """Read boxes and the numbers of people.

    Raises:
        ObservationsError: It does not follow the format or does not belong to the video.
    """
    rows = np.array([_row(path, n, line) for n, line in enumerate(_lines(path), start=1) if line])
    _check_sequence(path, part)
    counts = rows[:, CONFIDENCE] != 0
    counts &= ~((rows[:, -1] == TRUTH_COLUMNS) & ~np.isin(rows[:, CLASS], (PERSON, -1)))
    rows = rows[counts]
    if len(rows) == 0:
        refuse(path, "holds no row that counts (confidence 0 means: ignore)")
    confidence = rows[:, CONFIDENCE]
    listed = Listed(
        frame=part.of_some_frames(path, rows[:, 0].astype(np.int64), usual_first=1),
        boxes_xyxy=boxes_from_xywh(path, rows[:, 2:6]),
        scores=np.where(confidence < 0, 1.0, confidence),
        keypoints=np.zeros((len(rows), 0, 3)),
        masks=[MaskCrop.empty()] * len(rows),
        identity=rows[:, 1].astype(np.int64).clip(min=-1),
    )
    return finish(path, part, listed)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines()]


def _row(path: Path, number: int, line: str) -> Float[np.ndarray, "9"]:
    """The first eight columns of a line, -1 where it has fewer, and how many it has."""
    try:
        values = [float(field) for field in line.replace(",", " ").split()]
    except ValueError:
        refuse(path, f"has no numbers, separated by commas, in line {number}")
    if len(values) < MIN_COLUMNS:
        refuse(path, f"has {len(values)} numbers in line {number} instead of at least 6")
    for value, name in zip(values[:2], ("frame", "person"), strict=True):
        if value != int_or_none(value):
            refuse(path, f"has {name} {value:g} in line {number}, which is no whole number")
    first = (values + [-1.0] * CLASS)[: CLASS + 1]
    return np.array([*first, len(values)])


def _check_sequence(path: Path, part: Part) -> None:
    """Compare with the `seqinfo.ini` that the challenge's folders have, if there is one."""
    candidates = (folder / "seqinfo.ini" for folder in (path.parent, path.parent.parent))
    info = next((file for file in candidates if file.is_file()), None)
    if info is None:
        return
    parser = configparser.ConfigParser()
    try:
        parser.read_string(read_text(info))
        sequence = parser["Sequence"]
        rate, length = sequence.getfloat("frameRate"), sequence.getint("seqLength")
        width, height = sequence.getint("imWidth"), sequence.getint("imHeight")
    except (configparser.Error, KeyError, ValueError):
        refuse(info, "is not a description of a MOT sequence")
    if rate is not None:
        part.check_fps(info, rate)
    if length is not None and abs(length - part.video.num_frames) > 1:
        refuse(info, f"says {length} frames, but the video has {part.video.num_frames}", COUNT_HINT)
    if width is not None and height is not None:
        part.check_size(info, width, height)
