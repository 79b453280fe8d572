"""The backend `import`."""

from closefit.errors import ObservationsError
from closefit.imports.detections.imported import Imported
from closefit.perception.clip import Clip
from closefit.perception.people import choose
from closefit.perception.result import to_track
from closefit.records import DetectedPeople, Track
from closefit.tracking.detections import DetectionCollector


def perceive(clip: Clip) -> Track:
    """Imported detections; the video only adds the colours of the clothes."""
    given = clip.given
    assert given is not None
    if given.lacks is not None:
        named = ", ".join(f"`{path}`" for path in clip.job.config.track.observations)
        raise ObservationsError(
            f"{named}: {given.lacks}",
            hint="add `--perception yolo` (or another detector), which finds what is missing",
        )
    return to_track(clip, choose(clip, lambda: _read_given(clip, given)))


def _read_given(clip: Clip, given: Imported) -> DetectedPeople:
    """All imported people, with the colours of their clothes from the video."""
    collector = DetectionCollector()
    for frame, picture in enumerate(clip.images("reading")):
        collector.add(picture, given.detections(frame))
    return collector.finish(clip.time_s)
