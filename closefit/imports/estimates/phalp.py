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
from typing import Any

import numpy as np

from closefit.boundary.values import entry, named, numbers, refuse, whole_number
from closefit.imports.estimates.tracks import (
    MAX_FRAME,
    SMPL_PELVIS_M,
    PersonTrack,
    camera_of,
    from_matrices,
    on_one_axis,
)  # fmt: skip
from closefit.records import PersonEstimates, VideoInfo

TOOL = "4D-Humans"

FOCAL_PER_SIZE = 5000.0 / 256.0
"""Its focal length over the longer side of the picture."""

PER_TRACK = ("tid", "tracked_time", "camera", "smpl", "size")

Detection = Mapping[str, Any]
"""The entries of `PER_TRACK` of one track in one frame."""


def is_result(content: object) -> bool:
    """Whether unpickled content has this layout."""
    frames = list(content.values()) if isinstance(content, dict) else []
    return bool(frames) and all(
        isinstance(frame, Mapping) and {"tid", "smpl"} <= frame.keys() for frame in frames
    )


def read(content: Mapping[Any, Any], video: VideoInfo) -> PersonEstimates:
    """Read the people of an unpickled result."""
    by_id: dict[int, dict[int, Detection]] = defaultdict(dict)
    for frame in content.values():
        number = whole_number(entry(frame, "time"), "time", high=MAX_FRAME)
        for detection in _detections(number, frame):
            # A frame may list a track twice; the later entry, of the confirmed person, counts.
            by_id[whole_number(detection["tid"], "tid")][number] = detection
    if not by_id:
        refuse(f"it holds nobody in any of its {len(content)} frames")
    first = next(iter(next(iter(by_id.values())).values()))
    height, width = numbers(first["size"], "size", 2)
    focal_px = FOCAL_PER_SIZE * max(height, width)
    K = camera_of(focal_px, np.array([width, height]) / 2.0, video)
    return on_one_axis([_track(key, by_id[key]) for key in sorted(by_id)], K, TOOL)


def _detections(number: int, frame: Mapping[str, Any]) -> Iterator[Detection]:
    """Yield everybody who was detected in this very frame."""
    columns = [entry(frame, key) for key in PER_TRACK]
    lengths = {len(column) if isinstance(column, list) else -1 for column in columns}
    if len(lengths) != 1 or -1 in lengths:
        refuse(f"{named(PER_TRACK)} of frame {number} are not lists of one length")
    for values in zip(*columns, strict=True):
        detection = dict(zip(PER_TRACK, values, strict=True))
        if whole_number(detection["tracked_time"], "tracked_time") == 0:
            yield detection


def _track(track_id: int, by_frame: Mapping[int, Detection]) -> PersonTrack:
    frames = np.array(sorted(by_frame))
    chosen = [by_frame[frame] for frame in frames.tolist()]
    name = f"smpl of track {track_id}"
    matrices = np.stack(
        [
            np.concatenate(
                [
                    numbers(entry(one["smpl"], "global_orient"), name, 1, 3, 3),
                    numbers(entry(one["smpl"], "body_pose"), name, 23, 3, 3),
                ]
            )
            for one in chosen
        ]
    )
    camera = np.stack([numbers(one["camera"], "camera", 3) for one in chosen])
    return PersonTrack(frames, from_matrices(matrices, name), camera + SMPL_PELVIS_M)
