"""Long videos: the shots between hard cuts, and in them the stretches with two people together."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypedDict

from closefit import ffmpeg
from closefit.batch.clips import Clip
from closefit.batch.json_lines import JsonLines
from closefit.batch.task import Task

CUT_SCORE = 0.3
"""Least change of the picture at a hard cut, as ffmpeg's filter `select` counts it."""

SAMPLE_S = 0.4
"""People are looked for this often."""

GAP_S = 1.3
"""Two people who hide each other for no longer than this are still together."""

MERGED_S = 6.0
"""The same where one person is seen in their place all the time: a detector's view of a hug."""

Look = Literal["near", "one", "apart"]
"""Two people near each other; one in the place of two who were; neither."""

Piece = tuple[float, float]


@dataclass(frozen=True)
class ShotRule:
    """Which pieces of a long video are clips.

    Attributes:
        least_s: How long two people have to be together.
    """

    least_s: float


class Found(TypedDict):
    """A line of `shots.jsonl`: the pieces of one video.

    Attributes:
        key: What they depend on.
        clip: Path of the video.
        pieces: First and last moment of each.
    """

    key: str
    clip: str
    pieces: list[Piece]


def known_pieces(lines: JsonLines) -> dict[str, list[Piece]]:
    """Return the pieces that were found before; damaged lines are searched again."""
    found, damaged = lines.read(Found)
    if damaged:
        lines.replace(found)
    return {entry["key"]: entry["pieces"] for entry in found}


def remember_pieces(lines: JsonLines, key: str, clip: str, pieces: Sequence[Piece]) -> None:
    """Record the pieces of a video."""
    lines.append(Found(key=key, clip=clip, pieces=list(pieces)))


def pieces_as_clips(clip: Clip, pieces: Iterable[Piece]) -> list[Clip]:
    """Return a clip for each piece, with its time in the source."""
    clips = []
    for start_s, end_s in pieces:
        name = None if clip.name is None else f"{clip.name}_{start_s:.2f}-{end_s:.2f}"
        values = {**clip.values, "track.start_s": start_s, "track.end_s": end_s}
        clips.append(replace(clip, values=values, name=name))
    return clips


def find_pieces(task: Task) -> list[Piece]:
    """Look for the stretches of a long video in which two people are together.

    Raises:
        InputError: The video cannot be read.
        WeightsError: The detector is not here and cannot be fetched.
    """
    from closefit import settings, video
    from closefit.batch.together import people_together

    config = settings.build_config(values=task.values)
    info = video.probe(Path(task.video))
    times = video.frame_times(info, config.track.start_s, config.track.end_s)
    first_s, last_s = float(times[0]), float(times[-1]) + 1.0 / info.fps
    cuts = [cut for cut in find_cuts(Path(task.video)) if first_s < cut < last_s]
    edges = [first_s, *cuts, last_s]
    shots = list(pairwise(edges))
    looks = list(people_together(info, config))
    return [piece for shot in shots for piece in stretches(looks, shot, task.least_s)]


def find_cuts(path: Path) -> list[float]:
    """Return the times of the first picture after each hard cut, in seconds from frame 0."""
    filters = "scale=160:-2,select='gte(scene,0)',metadata=print:key=lavfi.scene_score:file=-"
    arguments = ["-copyts", *ffmpeg.input_of(path), "-map", "0:V:0", "-vf", filters]
    text = ffmpeg.run([*arguments, "-f", "null", "-"]).stdout.decode(errors="replace")
    pattern = r"pts_time:(-?[\d.]+)\s+lavfi\.scene_score=([\d.]+)"
    scores = [(float(time), float(score)) for time, score in re.findall(pattern, text)]
    return [round(time - scores[0][0], 6) for time, score in scores if score >= CUT_SCORE]


def stretches(looks: Iterable[tuple[float, Look]], shot: Piece, least_s: float) -> list[Piece]:
    """Return the stretches of one shot in which two people are together for long enough.

    Args:
        looks: Moments, and what is seen in them.
        shot: First and last moment.
        least_s: Shortest stretch.
    """
    runs: list[list[float]] = []
    longest_s = GAP_S
    for moment, look in looks:
        if not shot[0] <= moment < shot[1]:
            continue
        if look != "near":
            longest_s = GAP_S if look == "apart" else longest_s
            continue
        gap_s, longest_s = longest_s, MERGED_S
        if runs and moment - runs[-1][1] <= gap_s:
            runs[-1][1] = moment
        else:
            runs.append([moment, moment])
    pieces = []
    for start_s, end_s in runs:
        # What lies between two samples is not known; what lies between one and a cut is as it.
        start_s = shot[0] if start_s - shot[0] < SAMPLE_S else start_s - SAMPLE_S / 2
        end_s = shot[1] if shot[1] - end_s <= SAMPLE_S else end_s + SAMPLE_S / 2
        if end_s - start_s >= least_s:
            pieces.append((round(start_s, 3), round(end_s, 3)))
    return pieces
