"""Detects everybody in a clip, and chooses the two people to follow."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from closefit.errors import NeverTogetherError, NobodyError, OnePersonError
from closefit.events import Notice
from closefit.perception.clip import Clip, Image, batches
from closefit.perception.kept_detections import keep_detections, kept_detections
from closefit.tracking.detections import Detections
from closefit.tracking.identify import Identified, Wishes, identify, scaled_choice
from closefit.tracking.sightings import Sightings, SightingsBuilder


@runtime_checkable
class Detector(Protocol):
    """Finds everybody in pictures given in order of time, `batch_size` of them at once."""

    batch_size: int

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the people in RGB pictures of one size."""


def detect(clip: Clip, detector: Detector) -> Sightings:
    """Detect everybody; what an import knows is believed."""
    builder = SightingsBuilder()
    seen = (
        pair
        for pictures in batches(clip.images("people"), detector.batch_size)
        for pair in zip(pictures, detector.detect(pictures), strict=True)
    )
    for frame, (picture, found) in enumerate(seen):
        builder.add(picture, found if clip.given is None else clip.given.complete(frame, found))
    return builder.finish()


def choose(clip: Clip, find: Callable[[], Sightings]) -> Identified:
    """Choose the two people and tell them apart, unless an import has done so.

    `find` is called only if no detections are kept from before.
    """
    job, given = clip.job, clip.given
    settings, info = job.config.track, job.video
    kept = kept_detections(job.workspace, job.provenance)
    if kept is not None:
        job.emit(Notice("the detections are up to date; only who is who is decided again"))
        sightings = Sightings.from_record(kept)
    else:
        sightings = find() if given is None else given.identified(find())
        record = sightings.to_record(clip.time_s, clip.size_wh)
        keep_detections(job.workspace, job.provenance, record)
    across, down = 1.0 / clip.scale
    people = settings.chosen_people
    wishes = Wishes(
        people=people and scaled_choice(people, across, down),
        corrections=clip.corrections.scaled(across, down),
        identities_known=given is not None and given.knows_identities,
        video=info.path,
    )
    try:
        return identify(sightings, clip.time_s, info.fps, settings.max_gap_s, wishes)
    except (NobodyError, OnePersonError, NeverTogetherError) as error:
        if given is None:
            raise
        raise type(error)(
            error.message,
            hint="what `--observations` names decides who is there, even with a detector: it must "
            "hold both people, in the same frames (docs/importing.md)",
        ) from error
