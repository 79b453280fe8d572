"""Detects everybody in a clip, and chooses the two people to follow."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from closefit.errors import NeverTogetherError, NobodyError, OnePersonError
from closefit.events import Notice
from closefit.perception.clip import Clip, Image, batches
from closefit.perception.kept_detections import keep_detections, kept_detections
from closefit.records import DetectedPeople
from closefit.storage.run_record import ChoiceFigures
from closefit.tracking.crowd import described, gather
from closefit.tracking.detections import DetectionCollector, Detections
from closefit.tracking.identify import UserInput, identify
from closefit.tracking.repair import IdentifiedPair


@runtime_checkable
class Detector(Protocol):
    """Finds everybody in pictures given in order of time, `batch_size` of them at once."""

    batch_size: int

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the people in RGB pictures of one size."""


def detect(clip: Clip, detector: Detector) -> DetectedPeople:
    """Detect everybody; imported people take precedence."""
    collector = DetectionCollector()
    seen = (
        pair
        for pictures in batches(clip.images("people"), detector.batch_size)
        for pair in zip(pictures, detector.detect(pictures), strict=True)
    )
    for frame, (picture, found) in enumerate(seen):
        collector.add(picture, found if clip.given is None else clip.given.complete(frame, found))
    return collector.finish(clip.time_s)


def choose(clip: Clip, find: Callable[[], DetectedPeople]) -> IdentifiedPair:
    """Choose the two people and identify them in every frame.

    `find` is called only if no detections are kept from an earlier run.
    """
    job, given, fps = clip.job, clip.given, clip.job.video.fps
    people = kept_detections(job.workspace, job.provenance)
    if people is not None:
        job.emit(Notice("the detections are up to date; only who is who is decided again"))
    else:
        people = find() if given is None else given.identified(find())
        keep_detections(job.workspace, job.provenance, people)
    owner = gather(people, fps)
    user = UserInput(
        chosen=clip.chosen_people,
        corrections=clip.corrections,
        identities_known=given is not None and given.knows_identities,
        video=job.video.path,
    )
    try:
        found = identify(people, owner, fps, job.config.track.max_gap_s, user)
    except (NobodyError, OnePersonError, NeverTogetherError) as error:
        if given is None:
            raise
        raise type(error)(
            error.message,
            hint="what `--observations` names decides who is there, even with a detector: it must "
            "hold both people, in the same frames (docs/importing.md)",
        ) from error
    swapped = np.flatnonzero(found.swapped).tolist()
    job.report(ChoiceFigures(swapped_frames=swapped, people=described(people, owner, clip.scale)))
    return found
