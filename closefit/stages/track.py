"""Stage `track`: boxes, keypoints and masks of two people in every frame of a video."""

from collections.abc import Callable

import numpy as np

from closefit import video
from closefit.config import PerceptionBackend
from closefit.events import Notice
from closefit.perception import full, imported, lite, yolo
from closefit.perception.clip import Clip
from closefit.records import Track
from closefit.stages.camera_motion import with_camera_motion
from closefit.storage.job import Job
from closefit.storage.run_record import TrackFigures
from closefit.tracking.gaps import listed, runs_of
from closefit.tracking.repair import doubtful_frames

BACKENDS: dict[PerceptionBackend, Callable[[Clip], Track]] = {
    "import": imported.perceive,
    "yolo": yolo.perceive,
    "lite": lite.perceive,
    "full": full.perceive,
}


def run(job: Job) -> None:
    """Find and follow the two people, and write `artifacts/track.npz`.

    Raises:
        InputError: The video, the detections or the corrections cannot be used.
        WeightsError: A network is missing or damaged.
        PeopleError: The clip does not show two people together, or not those who were chosen.
    """
    settings = job.config.track
    clip = Clip(job, video.frame_times(job.video, settings.start_s, settings.end_s))
    if settings.corrections is not None:  # invalid ones are refused before the long work
        job.emit(Notice(f"{clip.corrections.count} corrections from `{settings.corrections}`"))
    track = with_camera_motion(job, BACKENDS[settings.backend(job.device)](clip))
    job.save(track)
    _report(job, track)


def _report(job: Job, track: Track) -> None:
    """Report the frames in which a person was not seen or the identity is doubtful."""
    for person, seen in enumerate(track.seen.T):
        if seen.all():
            continue
        filled = int(track.filled[:, person].sum())
        job.emit(
            Notice(
                f"person {person} was not found in {int((~seen).sum())} of {len(seen)} frames "
                f"({filled} filled in): {listed(~seen)}",
                warning=bool(seen.mean() < 0.8),
            )
        )
    known = track.seen | track.filled
    doubtful = doubtful_frames(known, track.identity_confidence)
    if doubtful.any():
        job.emit(
            Notice(
                f"who is who is doubtful in {int(doubtful.sum())} of {len(doubtful)} frames: "
                f"{listed(doubtful)}; look at them with `closefit stage track DIR --preview`",
                warning=True,
            )
        )
    confidence = track.identity_confidence[known].astype(np.float64)
    job.report(
        TrackFigures(
            frames=len(track.seen),
            both_seen=round(float(track.seen.all(axis=1).mean()), 4),
            not_seen_frames=[np.flatnonzero(~seen).tolist() for seen in track.seen.T],
            doubtful_frames=[(int(run[0]), int(run[-1])) for run in runs_of(doubtful)],
            identity_confidence={
                "mean": round(float(confidence.mean()), 4),
                "least": round(float(confidence.min()), 4),
            },
        )
    )
