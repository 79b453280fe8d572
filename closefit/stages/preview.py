"""Writes `preview.mp4`: what `track` has found, drawn over the input. Not a stage of its own."""

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
from closefit.tracking.crowd import Crowd, gather
from closefit.tracking.preview import Picture, Scene, draw
from closefit.tracking.sightings import Sightings

MAX_HEIGHT_PX = 720


def write_preview(workspace: Workspace, info: VideoInfo, emit: Emit) -> Path:
    """Draw the two people of a folder, and everybody else by letter.

    Raises:
        ArtifactError: `track` has not run, or its result cannot be used.
        OutputError: The file cannot be written.
    """
    track = artifacts.read(workspace.artifact(Track.KIND), Track)
    crowd, kept_wh = _crowd(workspace, float(track.fps))
    scale = min(1.0, MAX_HEIGHT_PX / info.height)
    size_wh = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    scene = Scene(
        track=track,
        crowd=crowd,
        crowd_scale=track.size_wh / kept_wh,
        size_wh=size_wh,
    )
    pictures = _pictures(info, track, size_wh, emit)
    video.write(workspace.preview, draw(scene, pictures), float(track.fps))
    return workspace.preview


def _crowd(workspace: Workspace, fps: float) -> tuple[Crowd | None, np.ndarray]:
    """Everybody who was detected, and the size of the pictures; None where that was not kept."""
    try:
        kept = artifacts.read(workspace.artifact(DetectedPeople.KIND), DetectedPeople)
    except ArtifactError:
        return None, np.ones(2)
    return gather(Sightings.from_record(kept), fps), kept.size_wh


def _pictures(
    info: VideoInfo, track: Track, size_wh: tuple[int, int], emit: Emit
) -> Iterator[Picture]:
    """Stream the frames of the track, reporting progress."""
    for done, picture in enumerate(clip_pictures(info, track, size_wh), start=1):
        yield picture
        emit(Step("preview", done, len(track.time_s)))
