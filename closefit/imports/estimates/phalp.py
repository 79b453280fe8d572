"""Results of 4D-Humans (and of PHALP, its tracker): `results/demo_NAME.pkl`, from `track.py`.

A compressed joblib dictionary by frame, in the order of the video; each frame is a dictionary of

- `time`: number of the frame, from 0;
- lists with one entry per track: `tid` (track id), `tracked_time` (frames since the person was
  last detected: 0 where the entry is from this frame), `size` ([height, width] of the picture),
  `camera` (3,), `smpl`, a dictionary of rotation matrices `global_orient` (1, 3, 3) and `body_pose`
  (23, 3, 3) and of `betas` (10,), and others that are not used.

`camera` is the SMPL translation for a focal length of 5000 px in a picture of 256 px: far away
through a very long lens. Poses are therefore as seen almost without perspective.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closefit.imports.estimates.tracks import (
    SMPL_PELVIS_M,
    PersonTrack,
    camera_of,
    entry,
    from_matrices,
    named,
    numbers,
    on_one_axis,
    refuse,
)
from closefit.records import PersonEstimates, VideoInfo

TOOL = "4D-Humans"

FOCAL_PER_SIZE = 5000.0 / 256.0
"""Its focal length over the longer side of the picture."""

PER_TRACK = ("tid", "tracked_time", "camera", "smpl", "size")

Detection = tuple[int, Mapping[str, Any]]
"""Frame number, and the entries of `PER_TRACK` of one track."""


def is_result(content: object) -> bool:
    """Whether unpickled content has this layout."""
    frames = list(content.values()) if isinstance(content, Mapping) else []
    return bool(frames) and all(
        isinstance(frame, Mapping) and {"tid", "smpl"} <= frame.keys() for frame in frames
    )


def read(path: Path, content: Mapping[Any, Any], video: VideoInfo) -> PersonEstimates:
    """Read the people of an unpickled result.

    Raises:
        InputError: It is not as documented.
    """
    by_id: dict[int, list[Detection]] = defaultdict(list)
    for frame in content.values():
        for track_id, detection in _detections(path, frame):
            by_id[track_id].append(detection)
    if not by_id:
        refuse(path, f"it holds nobody in any of its {len(content)} frames")
    height, width = numbers(path, "size", next(iter(by_id.values()))[0][1]["size"], 2)
    focal_px = FOCAL_PER_SIZE * max(height, width)
    K = camera_of(path, focal_px, np.array([width, height]) / 2.0, video)
    return on_one_axis([_track(path, by_id[key]) for key in sorted(by_id)], K, TOOL)


def _detections(path: Path, frame: Mapping[str, Any]) -> Iterator[tuple[int, Detection]]:
    """Yield track id and detection of everybody who was really seen in this frame."""
    number = int(numbers(path, "time", entry(path, frame, "time")))
    columns = [entry(path, frame, key) for key in PER_TRACK]
    lengths = {len(column) if isinstance(column, list) else -1 for column in columns}
    if len(lengths) != 1 or -1 in lengths or number < 0:
        refuse(path, f"{named(PER_TRACK)} of frame {number} are not lists of one length")
    for values in zip(*columns, strict=True):
        detection = dict(zip(PER_TRACK, values, strict=True))
        if numbers(path, "tracked_time", detection["tracked_time"]) == 0:
            yield int(numbers(path, "tid", detection["tid"])), (number, detection)


def _track(path: Path, detections: list[Detection]) -> PersonTrack:
    # A frame may list a track twice, when it is confirmed late: the later entry is the same person.
    by_frame = dict(detections)
    frames = np.array(sorted(by_frame))
    chosen = [by_frame[frame] for frame in frames.tolist()]
    name = f"smpl of track {chosen[0]['tid']}"
    matrices = np.stack(
        [
            np.concatenate(
                [
                    numbers(path, name, entry(path, one["smpl"], "global_orient"), 1, 3, 3),
                    numbers(path, name, entry(path, one["smpl"], "body_pose"), 23, 3, 3),
                ]
            )
            for one in chosen
        ]
    )
    camera = np.stack([numbers(path, "camera", one["camera"], 3) for one in chosen])
    return PersonTrack(frames, from_matrices(path, name, matrices), camera + SMPL_PELVIS_M)
