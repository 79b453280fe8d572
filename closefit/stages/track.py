"""Stage `track`: a video in, two people's boxes, keypoints and masks in every frame out."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from closefit import video
from closefit.config import PerceptionBackend
from closefit.events import Notice
from closefit.perception import full, imported, lite, yolo
from closefit.perception.clip import Clip
from closefit.perception.evidence import Evidence
from closefit.records import Track
from closefit.storage.job import Job
from closefit.tracking.identify import Identified
from closefit.tracking.repair import doubtful_frames

BACKENDS: dict[PerceptionBackend, Callable[[Clip], Evidence]] = {
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
    if settings.corrections is not None:  # wrong ones are refused before the long work
        job.emit(Notice(f"{clip.corrections.count} corrections from `{settings.corrections}`"))
    evidence = BACKENDS[settings.backend(job.device)](clip)
    job.save(_record(clip, evidence))
    _report(clip, evidence.people)


def _record(clip: Clip, evidence: Evidence) -> Track:
    info, repaired = clip.job.video, evidence.repaired
    return Track(
        time_s=clip.time_s,
        fps=np.array(info.fps),
        size_wh=np.array([info.width, info.height]),
        boxes_xyxy=repaired.boxes_xyxy.astype(np.float32),
        keypoints=repaired.keypoints.astype(np.float32),
        keypoint_set=np.array("coco17"),
        landmarks_3d_m=evidence.landmarks_3d_m.astype(np.float32),
        features=evidence.features.astype(np.float32, copy=False),
        union_mask_bytes=evidence.union_masks.joined,
        union_mask_ends=evidence.union_masks.ends,
        person_mask_bytes=evidence.person_masks.joined,
        person_mask_ends=evidence.person_masks.ends,
        mask_size_wh=np.array(evidence.union_masks.size_wh),
        seen=repaired.seen,
        filled=repaired.filled,
        identity_confidence=repaired.identity_confidence.astype(np.float32),
    )


def _report(clip: Clip, people: Identified) -> None:
    """Report the frames in which a person was not seen, or may be the other one."""
    repaired = people.repaired
    for person, seen in enumerate(repaired.seen.T):
        if seen.all():
            continue
        filled = int(repaired.filled[:, person].sum())
        clip.job.emit(
            Notice(
                f"person {person} was not found in {int((~seen).sum())} of {len(seen)} frames "
                f"({filled} filled in): {_ranges(np.flatnonzero(~seen))}",
                warning=bool(seen.mean() < 0.8),
            )
        )
    doubtful = doubtful_frames(repaired)
    if doubtful.any():
        frames = np.flatnonzero(doubtful)
        clip.job.emit(
            Notice(
                f"who is who is doubtful in {len(frames)} of {len(doubtful)} frames: "
                f"{_ranges(frames)}; look at them with `closefit stage track DIR --preview`",
                warning=True,
            )
        )
    known = repaired.identity_confidence[repaired.seen | repaired.filled]
    clip.job.report(
        {
            "frames": len(repaired.seen),
            "both_seen": round(float(repaired.seen.all(axis=1).mean()), 4),
            "not_seen_frames": [np.flatnonzero(~seen).tolist() for seen in repaired.seen.T],
            "swapped_frames": np.flatnonzero(repaired.exchanged).tolist(),
            "doubtful_frames": [[int(run[0]), int(run[-1])] for run in _runs(doubtful)],
            "identity_confidence": {
                "mean": round(float(known.mean()), 4),
                "least": round(float(known.min()), 4),
            },
            "people": people.crowd.described(clip.scale),
        }
    )


def _runs(chosen: Bool[np.ndarray, " frame"]) -> list[Int[np.ndarray, " number"]]:
    """Numbers of the chosen frames, one array for each unbroken run."""
    numbers = np.flatnonzero(chosen)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [run for run in runs if len(run)]


def _ranges(numbers: Int[np.ndarray, " number"]) -> str:
    """Write sorted numbers as `3-8, 20`."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
