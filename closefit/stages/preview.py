"""Writes `preview.mp4`: the result of `track`, drawn over the input. Not a stage of its own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from closefit import video
from closefit.errors import ArtifactError
from closefit.events import Emit, Step
from closefit.records import DetectedPeople, Track, VideoInfo
from closefit.stages.inputs import clip_pictures
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from closefit.tracking.crowd import gather
from closefit.tracking.preview import Picture, draw

MAX_HEIGHT_PX = 720


def write_preview(workspace: Workspace, info: VideoInfo, emit: Emit) -> Path:
    """Draw the two people of a folder, and everybody else by letter.

    Raises:
        ArtifactError: `track` has not run, or its result cannot be used.
        OutputError: The file cannot be written.
    """
    track = artifacts.read(workspace.artifact(Track.KIND), Track)
    people, owner = None, np.zeros(0, dtype=np.int64)
    try:
        people = artifacts.read(workspace.artifact(DetectedPeople.KIND), DetectedPeople)
        owner = gather(people, float(track.fps))
    except ArtifactError:
        pass  # the detections were not kept: only the two people are drawn
    pictures = draw(_pictures(info, track, emit), track, people, owner)
    video.write(workspace.preview, pictures, float(track.fps))
    return workspace.preview


def _pictures(info: VideoInfo, track: Track, emit: Emit) -> Iterator[Picture]:
    """Stream the frames of the track, reporting progress."""
    scale = min(1.0, MAX_HEIGHT_PX / info.height)
    size_wh = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    for done, picture in enumerate(clip_pictures(info, track, size_wh), start=1):
        yield picture
        emit(Step("preview", done, len(track.time_s)))
